#include "shims/duckdb_bounds.h"

#include <duckdb/planner/expression/bound_function_expression.hpp>
#include <duckdb/storage/statistics/base_statistics.hpp>
#include <duckdb/storage/statistics/numeric_stats.hpp>

namespace
{

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
    return kal_duckdb_bounds(input.expr.return_type);
}

} // namespace

duckdb::unique_ptr<duckdb::BaseStatistics> kal_duckdb_bounds(const duckdb::LogicalType &type)
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

duckdb::ScalarFunction kal_duckdb_bounded()
{
    duckdb::ScalarFunction function("kal_bounded", {duckdb::LogicalType::ANY},
                                    duckdb::LogicalType::ANY, run, bind);

    function.statistics = bounds_of_result;
    function.null_handling = duckdb::FunctionNullHandling::SPECIAL_HANDLING;
    return function;
}
