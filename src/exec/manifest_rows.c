/*
 * manifest_rows.c: what is shown of segments: system.segments, and SHOW MANIFEST with the
 * original's columns.
 */
#include "base/assert.h"
#include "catalog/system_tables.h"
#include "exec/cold.h"
#include "segment/statistics.h"
#include "types/json.h"
#include "types/key.h"

#include <stdio.h>

/* ---- system.segments ---- */

typedef struct segment_rows {
    kal_exec *exec;
    const kal_kv_snapshot *snapshot;
    kal_system_sink *sink;
} segment_rows;

static kal_status add_segment(const segment_rows *s, kal_bytes ns, kal_bytes name,
                              const kal_segment_info *info, kal_error *err)
{
    kal_value row[KAL_SEGMENTS_END_OF_COLUMNS];
    uint64_t dead = 0;

    KAL_TRY(kal_dead_count(s->exec->kv, s->snapshot, info->segment_id, &dead, err));
    row[KAL_SEGMENTS_SEGMENT_ID] = kal_value_bigint(info->segment_id);
    row[KAL_SEGMENTS_NAMESPACE_ID] = kal_value_text(ns);
    row[KAL_SEGMENTS_TABLE_NAME] = kal_value_text(name);
    row[KAL_SEGMENTS_STORAGE_ID] = kal_value_text(info->storage_id);
    row[KAL_SEGMENTS_PATH] = kal_value_text(info->object);
    row[KAL_SEGMENTS_ROW_COUNT] = kal_value_bigint((int64_t)info->row_count);
    row[KAL_SEGMENTS_DEAD_ROWS] = kal_value_bigint((int64_t)dead);
    row[KAL_SEGMENTS_SIZE_BYTES] = kal_value_bigint((int64_t)info->size_bytes);
    row[KAL_SEGMENTS_SCHEMA_VERSION] = kal_value_integer(KAL_TYPE_INT, info->schema_version);
    row[KAL_SEGMENTS_MIN_SEQ] = kal_value_bigint((int64_t)info->seq_min);
    row[KAL_SEGMENTS_MAX_SEQ] = kal_value_bigint((int64_t)info->seq_max);
    row[KAL_SEGMENTS_CREATED_AT] = kal_value_integer(KAL_TYPE_TIMESTAMP, info->created_at_us);
    return kal_system_sink_add(s->sink, row, KAL_ARRAY_LEN(row), err);
}

static kal_status add_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                            kal_error *err)
{
    const segment_rows *s = context;
    kal_segment_info *infos = NULL;
    size_t count = 0;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_catalog_segments(s->exec->catalog, s->snapshot, table_id, &arena, &infos, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++)
        status = add_segment(s, ns, name, &infos[i], err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_cold_segment_rows(void *exec, const kal_kv_snapshot *snapshot, kal_system_sink *sink,
                                 kal_error *err)
{
    segment_rows s = {exec, snapshot, sink};
    return kal_catalog_scan_tables(s.exec->catalog, (kal_bytes){0}, add_table, &s, err);
}

/* ---- SHOW MANIFEST ---- */

/* A bound that was cut is no value, and is left out. */
static void write_bound(kal_json_writer *w, const char *name, kal_bytes key, kal_type type)
{
    kal_value value;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    if (key.len > 0 && kal_key_decode(&key, type, &arena, &value, NULL) == KAL_OK && key.len == 0) {
        kal_json_key(w, name);
        kal_value_write_json(&value, w);
    }
    kal_arena_release(&arena);
}

/* By column_id, as the original does. Bounds are values of somebody's rows: of a USER table, whose
 * rows nobody else may see, they are not shown. */
static void write_statistics(kal_json_writer *w, const kal_segment_info *info, bool has_bounds)
{
    kal_statistics_reader reader;
    kal_column_statistics column;

    kal_json_key(w, "column_stats");
    kal_json_begin_object(w);
    bool known = kal_statistics_read(info->statistics, &reader);
    while (known && kal_statistics_next(&reader, &column)) {
        char id[16];
        snprintf(id, sizeof id, "%u", column.column_id);
        kal_json_key(w, id);
        kal_json_begin_object(w);
        if (has_bounds) {
            write_bound(w, "min", column.least, column.type);
            write_bound(w, "max", column.greatest, column.type);
        }
        kal_json_key(w, "null_count");
        kal_json_u64(w, column.null_count);
        kal_json_key(w, "filter_bytes");
        kal_json_u64(w, column.filter.len);
        kal_json_end_object(w);
    }
    kal_json_end_object(w);
    kal_json_key(w, "user_filter_bytes");
    kal_json_u64(w, known ? reader.user_filter.len : 0);
}

static void write_segment(kal_json_writer *w, const kal_segment_info *info, bool is_shared)
{
    kal_json_begin_object(w);
    kal_json_key(w, "id");
    kal_json_u64(w, info->segment_id);
    kal_json_key(w, "path");
    kal_json_string(w, info->object);
    kal_json_key(w, "min_seq"); /* check: system-columns (the original's) */
    kal_json_u64(w, info->seq_min);
    kal_json_key(w, "max_seq"); /* check: system-columns (likewise) */
    kal_json_u64(w, info->seq_max);
    kal_json_key(w, "row_count");
    kal_json_u64(w, info->row_count);
    kal_json_key(w, "size_bytes"); /* check: system-columns (likewise) */
    kal_json_u64(w, info->size_bytes);
    kal_json_key(w, "schema_version");
    kal_json_u64(w, info->schema_version);
    kal_json_key(w, "created_at_us");
    kal_json_i64(w, info->created_at_us);
    write_statistics(w, info, is_shared);
    kal_json_key(w, "status");
    kal_json_cstr(w, "committed");
    kal_json_end_object(w);
}

static void write_manifest(kal_buf *out, kal_bytes ns, kal_bytes name, bool is_shared,
                           const kal_manifest_head *head, const kal_segment_info *infos,
                           size_t count)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "table_id");
    kal_json_begin_object(&w);
    kal_json_key(&w, "namespace_id");
    kal_json_string(&w, ns);
    kal_json_key(&w, "table_name");
    kal_json_string(&w, name);
    kal_json_end_object(&w);
    kal_json_key(&w, "version");
    kal_json_u64(&w, head->version);
    kal_json_key(&w, "is_flushing");
    kal_json_bool(&w, head->frozen_hot_id != 0);
    kal_json_key(&w, "segments");
    kal_json_begin_array(&w);
    for (size_t i = 0; i < count; i++)
        write_segment(&w, &infos[i], is_shared);
    kal_json_end_array(&w);
    kal_json_end_object(&w);
}

static kal_status show_table(void *context, kal_bytes ns, kal_bytes name, uint32_t table_id,
                             kal_error *err)
{
    kal_run *run = context;
    kal_catalog *catalog = run->exec->catalog;
    const kal_kv_snapshot *snapshot = run->view->snapshot;
    kal_manifest_head head;
    kal_segment_info *infos = NULL;
    kal_table *table = NULL;
    size_t count = 0;
    kal_buf json; /* owned */

    kal_status status =
        kal_catalog_manifest_head(catalog, snapshot, table_id, run->arena, &head, err);
    if (status == KAL_OK)
        status = kal_catalog_get_table_by_id(run->worker, table_id, &table, err);
    if (status != KAL_OK)
        return status == KAL_NOT_FOUND ? KAL_OK : status;
    bool is_shared = table->def->table_type == KAL_TABLE_SHARED;
    const char *scope = is_shared ? "shared" : "user";
    KAL_TRY(kal_catalog_segments(catalog, snapshot, table_id, run->arena, &infos, &count, err));
    kal_value refreshed =
        count == 0 ? kal_value_null(kal_type_of(KAL_TYPE_TIMESTAMP))
                   : kal_value_integer(KAL_TYPE_TIMESTAMP, infos[count - 1].created_at_us);
    kal_buf_init(&json, run->budget);
    write_manifest(&json, ns, name, is_shared, &head, infos, count);
    const kal_value row[] = {
        kal_value_text(kal_cstr(
            kal_arena_printf(run->arena, "%.*s:%.*s:%s", KAL_FMT(ns), KAL_FMT(name), scope))),
        kal_value_text(ns),
        kal_value_text(name),
        kal_value_text(kal_cstr(scope)),
        kal_value_text(
            kal_cstr(kal_arena_printf(run->arena, "%llu", (unsigned long long)head.version))),
        refreshed,
        kal_value_null(kal_type_of(KAL_TYPE_TIMESTAMP)),
        kal_value_boolean(true),
        kal_value_text(kal_cstr(head.frozen_hot_id == 0 ? "in_sync" : "pending_write")),
        kal_value_bytes(kal_type_of(KAL_TYPE_JSON), kal_buf_bytes(&json)),
    };
    status = kal_buf_failed(&json)
                 ? kal_error_set(err, KAL_LIMIT, "the manifests exceed the statement's memory")
                 : kal_result_row(run->result, row, KAL_ARRAY_LEN(row), err);
    kal_buf_release(&json);
    return status;
}

kal_status kal_run_show_manifest(kal_run *run, kal_error *err)
{
    const kal_type text = kal_type_of(KAL_TYPE_TEXT);
    const kal_type time = kal_type_of(KAL_TYPE_TIMESTAMP);
    const kal_result_column columns[] = {
        {.name = KAL_STR("cache_key"), .type = text}, /* check: system-columns (the original's) */
        {.name = KAL_STR("namespace_id"), .type = text},
        {.name = KAL_STR("table_name"), .type = text},
        {.name = KAL_STR("scope"), .type = text},
        {.name = KAL_STR("etag"), .type = text},
        {.name = KAL_STR("last_refreshed"), .type = time},
        {.name = KAL_STR("last_accessed"), .type = time},
        {.name = KAL_STR("in_memory"), .type = kal_type_of(KAL_TYPE_BOOLEAN)},
        {.name = KAL_STR("sync_state"), .type = text},
        {.name = KAL_STR("manifest_json"), .type = kal_type_of(KAL_TYPE_JSON)},
    };

    KAL_TRY(kal_may_manage(run->principal, "manifests", err));
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    kal_status status =
        kal_catalog_scan_tables(run->exec->catalog, (kal_bytes){0}, show_table, run, err);
    if (status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    return status;
}
