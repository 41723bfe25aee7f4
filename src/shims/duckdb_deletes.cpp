#include "shims/duckdb_deletes.h"
#include "shims/duckdb_bounds.h"

#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp>
#include <duckdb/common/exception.hpp>
#include <duckdb/common/multi_file/base_file_reader.hpp>
#include <duckdb/common/multi_file/multi_file_data.hpp>
#include <duckdb/common/multi_file/multi_file_function.hpp>
#include <duckdb/common/multi_file/multi_file_reader.hpp>
#include <duckdb/common/multi_file/multi_file_states.hpp>
#include <duckdb/main/client_context.hpp>
#include <string>

namespace
{

const char *const NAME = "kal_parquet";

/* What the function has of its own. */
struct parquet_info final : duckdb::TableFunctionInfo {
    explicit parquet_info(const kal_duckdb_module_ops &given) : ops(given)
    {
    }
    kal_duckdb_module_ops ops;
    duckdb::table_function_bind_t bind = nullptr; /* read_parquet's */
    duckdb::table_statistics_t statistics = nullptr;
};

/* ---- which rows ---- */

/* Of one file that is read. */
struct live_rows final : duckdb::DeleteFilter {
    live_rows(const kal_duckdb_module_ops &given, const void *of_file) : ops(given), found(of_file)
    {
    }

    /* DuckDB looks at the selection only if rows are missing. Vectors keep it: each has its own. */
    duckdb::idx_t Filter(duckdb::row_t first, duckdb::idx_t count,
                         duckdb::SelectionVector &selection) override
    {
        auto row = static_cast<uint64_t>(first);
        size_t alive = ops.live(found, row, count, nullptr);
        if (alive < count) {
            selection.Initialize(STANDARD_VECTOR_SIZE);
            ops.live(found, row, count, selection.data());
        }
        return alive;
    }

    kal_duckdb_module_ops ops;
    const void *found;
};

struct deletes_reader final : duckdb::MultiFileReader {
    explicit deletes_reader(const duckdb::shared_ptr<duckdb::TableFunctionInfo> &of_function)
        : info(of_function)
    {
    }

    static duckdb::unique_ptr<duckdb::MultiFileReader> Create(const duckdb::TableFunction &function)
    {
        return duckdb::make_uniq<deletes_reader>(function.function_info);
    }

    duckdb::unique_ptr<duckdb::MultiFileReader> Copy() const override
    {
        auto copy = duckdb::make_uniq<deletes_reader>(info);
        copy->function_name = function_name;
        return copy;
    }

    /* Every file of every scan comes by here, after it was opened and before it is read. */
    duckdb::ReaderInitializeType
    InitializeReader(duckdb::MultiFileReaderData &file, const duckdb::MultiFileBindData &bind_data,
                     const duckdb::vector<duckdb::MultiFileColumnDefinition> &columns,
                     const duckdb::vector<duckdb::ColumnIndex> &column_ids,
                     duckdb::optional_ptr<duckdb::TableFilterSet> filters,
                     duckdb::ClientContext &context, duckdb::MultiFileGlobalState &state) override
    {
        const kal_duckdb_module_ops &ops = info->Cast<parquet_info>().ops;
        const std::string &path = file.reader->file.path;
        const void *found = nullptr;
        if (!ops.find(ops.context, context.GetConnectionId(), path.c_str(), &found))
            throw duckdb::IOException("the statement has no file \"%s\"", path);
        if (found != nullptr)
            file.reader->deletion_filter = duckdb::make_uniq<live_rows>(ops, found);
        return MultiFileReader::InitializeReader(file, bind_data, columns, column_ids, filters,
                                                 context, state);
    }

    duckdb::shared_ptr<duckdb::TableFunctionInfo> info;
};

/* ---- what DuckDB plans by ---- */

/* A statement is prepared for one run, and its files stay: it need not be planned again, unless it
 * has parameters, whose values DuckDB plans with only then. */
struct parquet_bind final : duckdb::MultiFileBindData {
    explicit parquet_bind(duckdb::MultiFileBindData &from)
    {
        bind_data = std::move(from.bind_data);
        file_list = std::move(from.file_list);
        multi_file_reader = std::move(from.multi_file_reader);
        interface = std::move(from.interface);
        columns = std::move(from.columns);
        reader_bind = std::move(from.reader_bind);
        file_options = std::move(from.file_options);
        types = std::move(from.types);
        names = std::move(from.names);
        virtual_columns = std::move(from.virtual_columns);
        table_columns = std::move(from.table_columns);
        initial_reader = std::move(from.initial_reader);
        union_readers = std::move(from.union_readers);
    }

    bool SupportStatementCache() const override
    {
        return true;
    }
};

duckdb::unique_ptr<duckdb::FunctionData> bind(duckdb::ClientContext &context,
                                              duckdb::TableFunctionBindInput &input,
                                              duckdb::vector<duckdb::LogicalType> &types,
                                              duckdb::vector<duckdb::string> &names)
{
    const auto &info = input.info->Cast<parquet_info>();
    auto bound = info.bind(context, input, types, names);

    if (info.ops.has_parameters(info.ops.context, context.GetConnectionId()))
        return bound;
    return duckdb::make_uniq<parquet_bind>(bound->Cast<duckdb::MultiFileBindData>());
}

/* Of one file DuckDB knows bounds. */
duckdb::unique_ptr<duckdb::BaseStatistics> statistics(duckdb::ClientContext &context,
                                                      const duckdb::FunctionData *data,
                                                      duckdb::column_t column)
{
    const auto &bound = data->Cast<duckdb::MultiFileBindData>();
    const auto &reader = static_cast<const deletes_reader &>(*bound.multi_file_reader);
    auto found = reader.info->Cast<parquet_info>().statistics(context, data, column);

    if (found != nullptr || column >= bound.types.size()) /* virtual columns have larger numbers */
        return found;
    return kal_duckdb_bounds(bound.types[column]);
}

} // namespace

duckdb::TableFunctionSet kal_duckdb_parquet(duckdb::ClientContext &context,
                                            const kal_duckdb_module_ops &ops)
{
    auto &catalog = duckdb::Catalog::GetSystemCatalog(context);
    duckdb::TableFunctionSet set =
        catalog.GetEntry<duckdb::TableFunctionCatalogEntry>(context, DEFAULT_SCHEMA, "read_parquet")
            .functions;

    set.name = NAME;
    for (auto &function : set.functions) {
        auto info = duckdb::make_shared_ptr<parquet_info>(ops);
        info->bind = function.bind;
        info->statistics = function.statistics;
        function.name = NAME;
        function.function_info = info;
        function.bind = bind;
        function.statistics = statistics;
        function.get_multi_file_reader = deletes_reader::Create;
        function.get_partition_stats = nullptr; /* they count dead rows */
    }
    return set;
}
