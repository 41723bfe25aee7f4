/*
 * flush.c: FLUSH and STORAGE COMPACT, of one table or of all, for service, dba and system.
 *
 * Each table's is a job that the statement waits for, however long it takes; one that moves rows of
 * the table already is waited for first. A client that leaves does not end the job.
 *
 * Of all tables, one that fails is in nobody's way: the others are moved, then the first failure is
 * the statement's.
 */
#include "base/json_writer.h"
#include "catalog/storages.h"
#include "exec/cold.h"

static kal_status may_flush(const kal_run *run, kal_error *err)
{
    if (run->principal->role >= KAL_ROLE_SERVICE)
        return KAL_OK;
    return kal_error_set(err, KAL_DENIED, "only service, dba and system may flush tables");
}

static kal_job_type job_type(const kal_run *run)
{
    return run->statement->kind == KAL_STMT_FLUSH ? KAL_JOB_FLUSH : KAL_JOB_COMPACT;
}

static const char *done(const kal_run *run)
{
    return run->statement->kind == KAL_STMT_FLUSH ? "Flushed" : "Compacted";
}

static const char *moved(const kal_run *run)
{
    return run->statement->kind == KAL_STMT_FLUSH ? "flushed" : "compacted";
}

/* "12 rows, ...": 12. */
static uint64_t rows_of(kal_bytes result)
{
    int64_t rows = 0;
    size_t len = 0;
    while (len < result.len && result.ptr[len] >= '0' && result.ptr[len] <= '9')
        len++;
    return kal_parse_i64(kal_bytes_of(result.ptr, len), &rows) ? (uint64_t)rows : 0;
}

static kal_status run_job(kal_run *run, const kal_table *table, kal_bytes *result_out,
                          kal_error *err)
{
    const kal_job_poll poll = {kal_run_stop_hook, run};
    kal_job_spec spec = kal_cold_job(table, job_type(run), true);

    spec.never_retry = true; /* the statement says how it failed */
    spec.actor = kal_cstr(run->principal->user_id);
    return kal_jobs_run(run->exec->jobs, &spec, true, &poll, run->arena, result_out, err);
}

/* ---- one table ---- */

static kal_status move_one(kal_run *run, kal_error *err)
{
    const kal_sql_object *name = &run->statement->flush.table;
    kal_table *table = NULL;
    kal_bytes result;

    KAL_TRY(kal_run_table(run, name, &table, err));
    const kal_table_definition *def = table->def;
    kal_status status = kal_storage_is_used_by(def)
                            ? run_job(run, table, &result, err)
                            : kal_error_set(err, KAL_INVALID, "%s '%.*s.%.*s' has no segments",
                                            def->table_type == KAL_TABLE_VIEW ? "view" : "table",
                                            KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    if (status != KAL_OK) {
        kal_error_at(err, name->name.position);
        return status;
    }
    kal_result_message(run->result, rows_of(result), "%s table '%.*s.%.*s': %.*s", done(run),
                       KAL_FMT(def->namespace_id), KAL_FMT(def->table_name), KAL_FMT(result));
    return KAL_OK;
}

/* ---- all tables ---- */

/* What has become of the tables that had something to be moved. */
typedef struct move_sum {
    uint64_t rows;
    uint64_t moved;
    uint64_t failed;
    kal_error first;        /* failure */
    const char *first_name; /* its table; arena */
} move_sum;

static void count_failed(kal_run *run, const kal_table *table, const kal_error *why, move_sum *sum)
{
    const kal_table_definition *def = table->def;

    if (sum->failed++ > 0)
        return;
    sum->first = *why;
    sum->first_name = kal_arena_printf(run->arena, "%.*s.%.*s", KAL_FMT(def->namespace_id),
                                       KAL_FMT(def->table_name));
}

/* Tables that have nothing to be moved get no job. */
static void move_table(kal_run *run, const kal_table *table, move_sum *sum)
{
    kal_error why = KAL_ERROR_INIT;
    kal_bytes result;
    bool has_work = false;

    kal_status status = kal_cold_has_work(run->exec, table, job_type(run), &has_work, &why);
    if (status == KAL_OK && !has_work)
        return;
    if (status == KAL_OK)
        status = run_job(run, table, &result, &why);
    if (status != KAL_OK) {
        count_failed(run, table, &why, sum);
        return;
    }
    sum->rows += rows_of(result);
    sum->moved++;
}

/* Fails only with what concerns no single table. */
static kal_status move_of_all(kal_run *run, uint32_t table_id, move_sum *sum, kal_error *err)
{
    kal_table *table = NULL;
    uint64_t failed = sum->failed;

    kal_status status = kal_catalog_get_table_by_id(run->worker, table_id, &table, err);
    if (status == KAL_NOT_FOUND) /* dropped meanwhile */
        return KAL_OK;
    KAL_TRY(status);
    kal_table_retain(table);
    move_table(run, table, sum);
    kal_table_release(table);
    return sum->failed > failed ? kal_run_stop_hook(run, err) : KAL_OK; /* who still waits? */
}

static kal_status first_failure(const kal_run *run, const move_sum *sum, kal_error *err)
{
    const char *hint = sum->first.hint;

    if (err != NULL)
        *err = sum->first;
    kal_error_hint(err, "%llu of %llu tables could not be %s, the first is %s%s%s%s",
                   (unsigned long long)sum->failed, (unsigned long long)(sum->failed + sum->moved),
                   moved(run), sum->first_name, sum->moved > 0 ? "; the others were" : "",
                   hint[0] == '\0' ? "" : "; ", hint);
    return sum->first.status;
}

static kal_status move_everything(kal_run *run, kal_error *err)
{
    kal_bytes ns = run->statement->flush.namespace_name.text;
    uint32_t *ids = NULL;
    size_t count = 0;
    move_sum sum = {0};

    if (ns.len > 0 && !kal_catalog_has_namespace(run->exec->catalog, ns)) {
        kal_status status = kal_catalog_unknown_namespace(run->exec->catalog, ns, err);
        kal_error_at(err, run->statement->flush.namespace_name.position);
        return status;
    }
    KAL_TRY(kal_catalog_table_ids(run->exec->catalog, ns, run->arena, &ids, &count, err));
    for (size_t i = 0; i < count; i++)
        KAL_TRY(move_of_all(run, ids[i], &sum, err));
    if (sum.failed > 0)
        return first_failure(run, &sum, err);
    kal_result_message(run->result, sum.rows, "%s %llu tables: %llu rows", done(run),
                       (unsigned long long)sum.moved, (unsigned long long)sum.rows);
    return KAL_OK;
}

kal_status kal_run_flush(kal_run *run, kal_error *err)
{
    KAL_TRY(may_flush(run, err));
    return run->statement->flush.all ? move_everything(run, err) : move_one(run, err);
}
