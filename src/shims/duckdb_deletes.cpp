#include "shims/duckdb_deletes.h"
#include "shims/duckdb_bounds.h"

#include <cstdio>
#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp>
#include <duckdb/common/exception.hpp>
#include <duckdb/common/multi_file/base_file_reader.hpp>
#include <duckdb/common/multi_file/multi_file_data.hpp>
#include <duckdb/common/multi_file/multi_file_reader.hpp>
#include <duckdb/common/multi_file/multi_file_states.hpp>
#include <duckdb/function/table_function.hpp>
#include <duckdb/main/client_context.hpp>
#include <duckdb/main/connection.hpp>
#include <duckdb/main/database.hpp>
#include <duckdb/parser/parsed_data/create_scalar_function_info.hpp>
#include <duckdb/parser/parsed_data/create_table_function_info.hpp>
#include <duckdb/parser/tableref/table_function_ref.hpp>
#include <string>

namespace
{

const char *const NAME = "kal_parquet";

/* What the function's readers get from the function itself. */
struct deletes_info final : duckdb::TableFunctionInfo {
    explicit deletes_info(const kal_duckdb_deletes &given) : deletes(given)
    {
    }
    kal_duckdb_deletes deletes;
};

/* Of one file that is read. */
struct live_rows final : duckdb::DeleteFilter {
    live_rows(const kal_duckdb_deletes &given, const void *of_file) : deletes(given), found(of_file)
    {
    }

    /* DuckDB looks at the selection only if rows are missing. Vectors keep it: each has its own. */
    duckdb::idx_t Filter(duckdb::row_t first, duckdb::idx_t count,
                         duckdb::SelectionVector &selection) override
    {
        auto row = static_cast<uint64_t>(first);
        size_t alive = deletes.live(found, row, count, nullptr);
        if (alive < count) {
            selection.Initialize(STANDARD_VECTOR_SIZE);
            deletes.live(found, row, count, selection.data());
        }
        return alive;
    }

    kal_duckdb_deletes deletes;
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
        const kal_duckdb_deletes &deletes = static_cast<const deletes_info &>(*info).deletes;
        const std::string &path = file.reader->file.path;
        const void *found = nullptr;
        if (!deletes.find(deletes.context, context.GetConnectionId(), path.c_str(), &found))
            throw duckdb::IOException("the statement has no file \"%s\"", path);
        if (found != nullptr)
            file.reader->deletion_filter = duckdb::make_uniq<live_rows>(deletes, found);
        return MultiFileReader::InitializeReader(file, bind_data, columns, column_ids, filters,
                                                 context, state);
    }

    duckdb::shared_ptr<duckdb::TableFunctionInfo> info;
};

/* read_parquet under our name, with our reader. */
duckdb::TableFunctionSet make_functions(duckdb::ClientContext &context,
                                        const kal_duckdb_deletes &deletes)
{
    auto &catalog = duckdb::Catalog::GetSystemCatalog(context);
    auto &parquet = catalog.GetEntry<duckdb::TableFunctionCatalogEntry>(context, DEFAULT_SCHEMA,
                                                                        "read_parquet");
    auto info = duckdb::make_shared_ptr<deletes_info>(deletes);
    duckdb::TableFunctionSet set = parquet.functions;

    set.name = NAME;
    for (auto &function : set.functions) {
        function.name = NAME;
        function.function_info = info;
        function.get_multi_file_reader = deletes_reader::Create;
        kal_duckdb_bound_files(function);
        function.get_partition_stats = nullptr; /* they count dead rows */
    }
    return set;
}

bool is_one_version(const kal_duckdb_deletes &deletes)
{
    return std::string(deletes.duckdb_version) == KAL_DUCKDB_VERSION &&
           duckdb::DuckDB::LibraryVersion() == std::string(KAL_DUCKDB_VERSION) &&
           deletes.struct_size == sizeof deletes;
}

} // namespace

bool kal_duckdb_deletes_register(void *connection, const kal_duckdb_deletes *deletes,
                                 char *message_out, size_t message_size)
{
    try {
        if (!is_one_version(*deletes)) {
            snprintf(message_out, message_size, "the module is of another version");
            return false;
        }
        auto &context = *static_cast<duckdb::Connection *>(connection)->context;
        context.RunFunctionInTransaction([&] {
            auto &catalog = duckdb::Catalog::GetSystemCatalog(context);
            duckdb::CreateTableFunctionInfo parquet(make_functions(context, *deletes));
            duckdb::CreateScalarFunctionInfo bounded(kal_duckdb_bounded());
            catalog.CreateTableFunction(context, parquet);
            catalog.CreateFunction(context, bounded);
        });
        return true;
    } catch (const std::exception &e) {
        snprintf(message_out, message_size, "%s", e.what());
    } catch (...) {
        snprintf(message_out, message_size, "unknown exception");
    }
    return false;
}
