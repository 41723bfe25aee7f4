/*
 * storage_check.c: STORAGE CHECK: one row that says whether a storage works, from a probe that uses
 * it. What fails is in the row; the statement fails only when there is no such storage.
 */
#include "exec/cold.h"
#include "exec/storages.h"
#include "storage/object_store_s3.h"
#include "storage/probe.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

kal_status kal_exec_open_storage(kal_exec *exec, const kal_storage *storage,
                                 kal_object_store **store_out, kal_error *err)
{
    char path[PATH_MAX];

    if (kal_storage_is_s3(storage)) {
        *store_out = kal_object_store_open_s3(kal_cold_s3(exec->cold), &storage->s3, 0);
        return KAL_OK;
    }
    if (storage->base_directory.len > 0)
        snprintf(path, sizeof path, "%.*s", KAL_FMT(storage->base_directory));
    else {
        char *data = realpath(exec->options.data_dir, NULL); /* owned */
        int len = snprintf(path, sizeof path, "%s/%s", data == NULL ? "" : data,
                           KAL_STORAGE_LOCAL_FOLDER);
        bool resolved = data != NULL && len < (int)sizeof path;
        free(data);
        if (!resolved)
            return kal_error_set(err, KAL_IO, "cannot resolve the data directory");
        KAL_TRY(kal_files_make_dir(exec->options.files, path, err));
    }
    return kal_object_store_open_files(path, store_out, err);
}

static void probe_storage(kal_run *run, const kal_storage *storage, kal_storage_probe *probe)
{
    const kal_object_poll poll = {kal_run_time_hook, run};
    kal_object_store *store = NULL; /* owned */

    *probe = (kal_storage_probe){.error = KAL_ERROR_INIT};
    if (kal_exec_open_storage(run->exec, storage, &store, &probe->error) != KAL_OK)
        return;
    kal_object_store_watch(store, &poll);
    kal_storage_probe_run(store, run->exec->options.clock, run->statement->storage.extended, probe);
    kal_object_store_close(store);
}

static kal_value bytes_or_null(const kal_storage_probe *probe, uint64_t bytes)
{
    if (!probe->has_space)
        return kal_value_null(kal_type_of(KAL_TYPE_BIGINT));
    return kal_value_bigint(bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes);
}

static kal_status write_row(kal_run *run, const kal_storage *storage,
                            const kal_storage_probe *probe, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_type boolean = kal_type_of(KAL_TYPE_BOOLEAN);
    const kal_type bigint = kal_type_of(KAL_TYPE_BIGINT);
    const kal_result_column columns[] = {
        {.name = KAL_STR("storage_id"),
         .type = text}, /* check: system-columns (as in the original) */
        {.name = KAL_STR("status"), .type = text},
        {.name = KAL_STR("readable"), .type = boolean},
        {.name = KAL_STR("writable"), .type = boolean},
        {.name = KAL_STR("listable"), .type = boolean},
        {.name = KAL_STR("deletable"), .type = boolean},
        {.name = KAL_STR("latency_ms"), .type = bigint},
        {.name = KAL_STR("total_bytes"), .type = bigint},
        {.name = KAL_STR("used_bytes"), .type = bigint},
        {.name = KAL_STR("error"), .type = text},
        {.name = KAL_STR("tested_at"), .type = kal_type_of(KAL_TYPE_TIMESTAMP)},
    };
    const kal_value row[] = {
        kal_value_text(storage->storage_id),
        kal_value_text(kal_cstr(kal_storage_probe_status(probe))),
        kal_value_boolean(probe->is_readable),
        kal_value_boolean(probe->is_writable),
        kal_value_boolean(probe->is_listable),
        kal_value_boolean(probe->is_deletable),
        kal_value_bigint((int64_t)((probe->latency_ns + 999999) / 1000000)),
        bytes_or_null(probe, probe->space.total_bytes),
        bytes_or_null(probe, probe->space.used_bytes),
        probe->error.status == KAL_OK ? kal_value_null(text)
                                      : kal_value_text(kal_cstr(probe->error.message)),
        kal_value_integer(KAL_TYPE_TIMESTAMP, kal_clock_wall_us(run->exec->options.clock)),
    };

    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    KAL_TRY(kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err));
    kal_result_end(run->result);
    return KAL_OK;
}

kal_status kal_run_storage_check(kal_run *run, kal_error *err)
{
    const kal_sql_name *name = &run->statement->storage.name;
    kal_storage storage;
    kal_storage_probe probe;

    KAL_TRY(kal_may_manage(run->principal, "storage operations", err));
    kal_status status =
        kal_catalog_get_storage(run->exec->catalog, name->text, run->arena, &storage, err);
    if (status != KAL_OK) {
        kal_error_at(err, name->position);
        return status;
    }
    probe_storage(run, &storage, &probe);
    return write_row(run, &storage, &probe, err);
}
