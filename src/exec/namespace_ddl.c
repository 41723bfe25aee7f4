/*
 * namespace_ddl.c: CREATE and DROP NAMESPACE, and the commit that all schema statements share.
 */
#include "exec/ddl.h"

kal_status kal_run_commit_change(kal_run *run, kal_catalog_change *change, kal_error *err)
{
    kal_write *write = kal_write_open(run->exec->tables, run->budget); /* owned */
    kal_write_set_change(write, change);
    kal_status status = kal_write_commit(write, err);
    kal_write_close(write);
    return status;
}

kal_status kal_ddl_finish(kal_run *run, kal_catalog_change *change, kal_status status,
                          bool is_needed, uint32_t position, kal_error *err)
{
    if (status == KAL_OK && is_needed)
        status = kal_run_commit_change(run, change, err);
    kal_catalog_end(change);
    if (status != KAL_OK)
        kal_error_at(err, position);
    return status;
}

kal_status kal_run_create_namespace(kal_run *run, kal_error *err)
{
    const kal_sql_namespace_stmt *s = &run->statement->namespace_stmt;
    bool existed = false;

    KAL_TRY(kal_may_manage(run->principal, "namespace operations", err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status =
        kal_catalog_create_namespace(change, s->name.text, s->if_not_exists, &existed, err);
    KAL_TRY(kal_ddl_finish(run, change, status, !existed, s->name.position, err));
    kal_result_message(run->result, 0, "Namespace '%.*s' %s", KAL_FMT(s->name.text),
                       existed ? "already exists" : "created successfully");
    return KAL_OK;
}

kal_status kal_run_drop_namespace(kal_run *run, kal_error *err)
{
    const kal_sql_namespace_stmt *s = &run->statement->namespace_stmt;
    bool existed = false;

    KAL_TRY(kal_may_manage(run->principal, "namespace operations", err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status =
        kal_catalog_drop_namespace(change, s->name.text, s->if_exists, s->cascade, &existed, err);
    KAL_TRY(kal_ddl_finish(run, change, status, existed, s->name.position, err));
    kal_result_message(run->result, 0, "Namespace '%.*s' %s", KAL_FMT(s->name.text),
                       existed ? "dropped successfully" : "does not exist (skipped)");
    return KAL_OK;
}

static kal_status set_options(kal_run *run, kal_catalog_change *change, kal_error *err)
{
    const kal_sql_namespace_stmt *s = &run->statement->namespace_stmt;
    for (size_t i = 0; i < s->option_count; i++) {
        kal_value value = kal_value_null(kal_type_of(KAL_TYPE_TEXT));
        kal_status status = KAL_OK;
        if (s->options[i].kind != KAL_SQL_OPTION_NULL)
            status = kal_ddl_option_value(&s->options[i], &value, err);
        if (status == KAL_OK)
            status = kal_catalog_set_namespace_option(change, s->name.text, s->options[i].name,
                                                      &value, err);
        if (status != KAL_OK) {
            kal_error_at(err, status == KAL_NOT_FOUND ? s->name.position : s->options[i].position);
            return status;
        }
    }
    return kal_run_commit_change(run, change, err);
}

kal_status kal_run_alter_namespace(kal_run *run, kal_error *err)
{
    KAL_TRY(kal_may_manage(run->principal, "namespace operations", err));
    kal_catalog_change *change = kal_catalog_begin(run->exec->catalog, run->principal);
    kal_status status = set_options(run, change, err);
    kal_catalog_end(change);
    if (status == KAL_OK)
        kal_result_message(run->result, 0, "Namespace '%.*s' updated successfully",
                           KAL_FMT(run->statement->namespace_stmt.name.text));
    return status;
}
