#include "shims/duckdb_bounds.h"

#include <duckdb/common/multi_file/multi_file_states.hpp>
#include <duckdb/planner/expression/bound_function_expression.hpp>
#include <duckdb/storage/statistics/base_statistics.hpp>
#include <duckdb/storage/statistics/numeric_stats.hpp>

namespace
{

/* NULL: nothing is said. */
duckdb::unique_ptr<duckdb::BaseStatistics> bounds_of(const duckdb::LogicalType &type)
{
    switch (type.id()) {
    case duckdb::LogicalTypeId::SMALLINT: {
        auto bounds = duckdb::BaseStatistics::CreateUnknown(type).ToUnique();
        duckdb::NumericStats::SetMin(*bounds, duckdb::Value::MinimumValue(type));
        duckdb::NumericStats::SetMax(*bounds, duckdb::Value::MaximumValue(type));
        return bounds;
    }
    case duckdb::LogicalTypeId::INTEGER:
    case duckdb::LogicalTypeId::BIGINT:
        return duckdb::BaseStatistics::CreateUnknown(type).ToUnique();
    default:
        return nullptr;
    }
}

/* ---- kal_bounded(x) ---- */

duckdb::unique_ptr<duckdb::FunctionData>
bind(duckdb::ClientContext &, duckdb::ScalarFunction &function,
     duckdb::vector<duckdb::unique_ptr<duckdb::Expression>> &arguments)
{
    function.arguments[0] = arguments[0]->return_type;
    function.return_type = arguments[0]->return_type;
    return nullptr;
}

void run(duckdb::DataChunk &arguments, duckdb::ExpressionState &, duckdb::Vector &result)
{
    result.Reference(arguments.data[0]);
}

duckdb::unique_ptr<duckdb::BaseStatistics> bounds_of_result(duckdb::ClientContext &,
                                                            duckdb::FunctionStatisticsInput &input)
{
    return bounds_of(input.expr.return_type);
}

/* ---- files ---- */

duckdb::table_statistics_t bounds_of_one;

duckdb::unique_ptr<duckdb::BaseStatistics> bounds_of_files(duckdb::ClientContext &context,
                                                           const duckdb::FunctionData *bind_data,
                                                           duckdb::column_t column)
{
    const auto &types = bind_data->Cast<duckdb::MultiFileBindData>().types;
    auto found = bounds_of_one(context, bind_data, column);

    if (found != nullptr || column >= types.size()) /* a virtual column has a number beyond all */
        return found;
    return bounds_of(types[column]);
}

} // namespace

duckdb::ScalarFunction kal_duckdb_bounded()
{
    duckdb::ScalarFunction function("kal_bounded", {duckdb::LogicalType::ANY},
                                    duckdb::LogicalType::ANY, run, bind);

    function.statistics = bounds_of_result;
    function.null_handling = duckdb::FunctionNullHandling::SPECIAL_HANDLING;
    return function;
}

void kal_duckdb_bound_files(duckdb::TableFunction &function)
{
    bounds_of_one = function.statistics;
    function.statistics = bounds_of_files;
}
