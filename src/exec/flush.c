/*
 * flush.c: FLUSH and STORAGE COMPACT, of one table or of all, for service, dba and system.
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

static kal_status may_flush(const kal_run *run, kal_error *err)
{
    if (run->principal->role >= KAL_ROLE_SERVICE)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "only service, dba and system may flush tables");
}

static kal_status move_rows(kal_run *run, uint32_t table_id, kal_flush_result *result,
                            kal_error *err)
{
    const kal_cold_actor actor = {run->principal, run->worker, check_stop, run};
    kal_cold *cold = run->exec->cold;
    return run->statement->kind == KAL_STMT_FLUSH
               ? kal_cold_flush(cold, &actor, table_id, result, err)
               : kal_cold_compact(cold, &actor, table_id, true, result, err);
}

static const char *done(const kal_run *run)
{
    return run->statement->kind == KAL_STMT_FLUSH ? "Flushed" : "Compacted";
}

/* ---- one table ---- */

static kal_status move_one(kal_run *run, kal_error *err)
{
    const kal_sql_object *name = &run->statement->flush.table;
    kal_flush_result result;
    kal_table *table = NULL;

    KAL_TRY(kal_run_table(run, name, &table, err));
    const kal_table_definition *def = table->def;
    kal_status status = kal_storage_is_used_by(def)
                            ? move_rows(run, def->table_id, &result, err)
                            : kal_error_set(err, KAL_INVALID, "%s '%.*s.%.*s' has no segments",
                                            def->table_type == KAL_TABLE_VIEW ? "view" : "table",
                                            KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    if (status != KAL_OK) {
        kal_error_at(err, name->name.position);
        return status;
    }
    kal_result_message(
        run->result, result.row_count, "%s table '%.*s.%.*s': %llu rows, %llu segments, %llu bytes",
        done(run), KAL_FMT(def->namespace_id), KAL_FMT(def->table_name),
        (unsigned long long)result.row_count, (unsigned long long)result.segment_count,
        (unsigned long long)result.size_bytes);
    return KAL_OK;
}

/* ---- all tables ---- */

typedef struct all_tables {
    kal_run *run;
    KAL_VEC(uint32_t) ids; /* arena */
} all_tables;

static kal_status note_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    all_tables *all = context;
    (void)ns, (void)name;
    if (!kal_vec_try_push_in(all->run->arena, &all->ids, table_id))
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    return KAL_OK;
}

/* KAL_NOT_FOUND: it was dropped, or has no rows of its own. */
static kal_status move_of_all(kal_run *run, uint32_t table_id, kal_flush_result *result,
                              kal_error *err)
{
    kal_table *table = NULL;

    KAL_TRY(kal_catalog_get_table_by_id(run->worker, table_id, &table, err));
    if (!kal_storage_is_used_by(table->def))
        return KAL_NOT_FOUND;
    return move_rows(run, table_id, result, err);
}

static kal_status move_everything(kal_run *run, kal_error *err)
{
    kal_bytes ns = run->statement->flush.namespace_name.text;
    all_tables all = {.run = run};
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
        kal_status status = move_of_all(run, all.ids.items[i], &result, err);
        if (status == KAL_NOT_FOUND || status == KAL_BUSY)
            continue; /* gone, or on its way already */
        KAL_TRY(status);
        rows += result.row_count;
        tables += result.segment_count > 0;
    }
    kal_result_message(run->result, rows, "%s %llu tables: %llu rows", done(run),
                       (unsigned long long)tables, (unsigned long long)rows);
    return KAL_OK;
}

kal_status kal_run_flush(kal_run *run, kal_error *err)
{
    KAL_TRY(may_flush(run, err));
    return run->statement->flush.all ? move_everything(run, err) : move_one(run, err);
}
