#include "shims/duckdb_module.h"
#include "shims/duckdb_bounds.h"
#include "shims/duckdb_deletes.h"

#include <cstdio>
#include <duckdb/catalog/catalog.hpp>
#include <duckdb/common/exception.hpp>
#include <duckdb/common/exception/binder_exception.hpp>
#include <duckdb/main/client_context.hpp>
#include <duckdb/main/connection.hpp>
#include <duckdb/main/database.hpp>
#include <duckdb/parser/parsed_data/create_scalar_function_info.hpp>
#include <duckdb/parser/parsed_data/create_table_function_info.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/parser/statement/select_statement.hpp>
#include <duckdb/parser/tableref/subqueryref.hpp>
#include <string>

namespace
{

/* ---- kal_files(table) ---- */

struct files_info final : duckdb::TableFunctionInfo {
    explicit files_info(const kal_duckdb_module_ops &given) : ops(given)
    {
    }
    kal_duckdb_module_ops ops;
};

duckdb::unique_ptr<duckdb::TableRef> replace_files(duckdb::ClientContext &context,
                                                   duckdb::TableFunctionBindInput &input)
{
    const auto &ops = input.info->Cast<files_info>().ops;
    auto table = static_cast<uint64_t>(input.inputs[0].GetValue<int64_t>());
    const char *select = ops.select(ops.context, context.GetConnectionId(), table);

    if (select == nullptr)
        throw duckdb::BinderException("there is no such table in this statement");
    duckdb::Parser parser(context.GetParserOptions());
    parser.ParseQuery(select);
    auto statement = duckdb::unique_ptr_cast<duckdb::SQLStatement, duckdb::SelectStatement>(
        std::move(parser.statements[0]));
    return duckdb::make_uniq<duckdb::SubqueryRef>(std::move(statement));
}

duckdb::TableFunction make_files(const kal_duckdb_module_ops &ops)
{
    duckdb::TableFunction function("kal_files", {duckdb::LogicalType::BIGINT}, nullptr, nullptr);

    function.bind_replace = replace_files;
    function.function_info = duckdb::make_shared_ptr<files_info>(ops);
    return function;
}

/* ---- all ---- */

bool is_one_version(const kal_duckdb_module_ops &ops)
{
    return std::string(ops.duckdb_version) == KAL_DUCKDB_VERSION &&
           duckdb::DuckDB::LibraryVersion() == std::string(KAL_DUCKDB_VERSION) &&
           ops.struct_size == sizeof ops;
}

void register_all(duckdb::ClientContext &context, const kal_duckdb_module_ops &ops)
{
    auto &catalog = duckdb::Catalog::GetSystemCatalog(context);
    duckdb::CreateTableFunctionInfo files(make_files(ops));
    duckdb::CreateTableFunctionInfo parquet(kal_duckdb_parquet(context, ops));
    duckdb::CreateScalarFunctionInfo bounded(kal_duckdb_bounded());

    catalog.CreateTableFunction(context, files);
    catalog.CreateTableFunction(context, parquet);
    catalog.CreateFunction(context, bounded);
}

} // namespace

bool kal_duckdb_module_register(void *connection, const kal_duckdb_module_ops *ops,
                                char *message_out, size_t message_size)
{
    try {
        if (!is_one_version(*ops)) {
            snprintf(message_out, message_size, "the module is of another version");
            return false;
        }
        auto &context = *static_cast<duckdb::Connection *>(connection)->context;
        context.RunFunctionInTransaction([&] { register_all(context, *ops); });
        return true;
    } catch (const std::exception &e) {
        snprintf(message_out, message_size, "%s", e.what());
    } catch (...) {
        snprintf(message_out, message_size, "unknown exception");
    }
    return false;
}
