/*
 * flush.c: FLUSH TABLE, FLUSH ALL, SHOW MANIFEST and the rows of system.segments, for service, dba
 * and system.
 *
 * A flush takes as long as the rows take to be written, so the statement's time limit is not its;
 * the client that leaves and the server that stops end it between two segments or inside one.
 */
#include "base/assert.h"
#include "catalog/storages.h"
#include "exec/cold.h"

static kal_status check_stop(const void *run, kal_error *err)
{
    return kal_run_check_stop(run, err);
}

static kal_cold_actor actor_of(const kal_run *run)
{
    return (kal_cold_actor){run->principal, run->worker, check_stop, run};
}

static kal_status may_flush(const kal_run *run, kal_error *err)
{
    if (run->principal->role >= KAL_ROLE_SERVICE)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "only service, dba and system may flush tables");
}

/* ---- FLUSH TABLE ---- */

static kal_status flush_one(kal_run *run, kal_error *err)
{
    const kal_sql_object *name = &run->statement->flush.table;
    const kal_cold_actor actor = actor_of(run);
    kal_flush_result result;
    kal_table *table = NULL;

    KAL_TRY(kal_run_table(run, name, &table, err));
    const kal_table_definition *def = table->def;
    kal_status status =
        kal_storage_is_used_by(def)
            ? kal_cold_flush(run->exec->cold, &actor, def->table_id, &result, err)
            : kal_error_set(err, KAL_INVALID, "%s '%.*s.%.*s' has no rows to be flushed",
                            def->table_type == KAL_TABLE_VIEW ? "view" : "table",
                            KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    if (status != KAL_OK) {
        kal_error_at(err, name->name.position);
        return status;
    }
    kal_result_message(
        run->result, result.row_count,
        "Flushed table '%.*s.%.*s': %llu rows to %llu segments, %llu bytes",
        KAL_FMT(def->namespace_id), KAL_FMT(def->table_name), (unsigned long long)result.row_count,
        (unsigned long long)result.segment_count, (unsigned long long)result.size_bytes);
    return KAL_OK;
}

/* ---- FLUSH ALL ---- */

typedef struct flush_all {
    kal_run *run;
    KAL_VEC(uint32_t) ids; /* arena */
} flush_all;

static kal_status note_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    flush_all *all = context;
    (void)ns, (void)name;
    if (!kal_vec_try_push_in(all->run->arena, &all->ids, table_id))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    return KAL_OK;
}

/* KAL_NOT_FOUND: it was dropped, or has no rows of its own. */
static kal_status flush_of_all(kal_run *run, uint32_t table_id, kal_flush_result *result,
                               kal_error *err)
{
    const kal_cold_actor actor = actor_of(run);
    kal_table *table = NULL;

    KAL_TRY(kal_catalog_get_table_by_id(run->worker, table_id, &table, err));
    if (!kal_storage_is_used_by(table->def))
        return KAL_NOT_FOUND;
    return kal_cold_flush(run->exec->cold, &actor, table_id, result, err);
}

static kal_status flush_everything(kal_run *run, kal_error *err)
{
    kal_bytes ns = run->statement->flush.namespace_name.text;
    flush_all all = {.run = run};
    uint64_t rows = 0;
    uint64_t tables = 0;

    if (ns.len > 0 && !kal_catalog_has_namespace(run->exec->catalog, ns)) {
        kal_status status = kal_catalog_unknown_namespace(run->exec->catalog, ns, err);
        kal_error_at(err, run->statement->flush.namespace_name.position);
        return status;
    }
    KAL_TRY(kal_catalog_scan_tables(run->exec->catalog, ns, note_table, &all, err));
    for (size_t i = 0; i < all.ids.len; i++) {
        kal_flush_result result = {0};
        kal_status status = flush_of_all(run, all.ids.items[i], &result, err);
        if (status == KAL_NOT_FOUND || status == KAL_BUSY)
            continue; /* gone, or on its way already */
        KAL_TRY(status);
        rows += result.row_count;
        tables += result.segment_count > 0;
    }
    kal_result_message(run->result, rows, "Flushed %llu tables: %llu rows",
                       (unsigned long long)tables, (unsigned long long)rows);
    return KAL_OK;
}

kal_status kal_run_flush(kal_run *run, kal_error *err)
{
    KAL_TRY(may_flush(run, err));
    if (run->statement->kind == KAL_STMT_COMPACT)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "STORAGE COMPACT is not available in this version");
    return run->statement->flush.all ? flush_everything(run, err) : flush_one(run, err);
}
