#include "schema/schema_version.h"

kal_status kal_schema_version_validate(const kal_schema_version *v, kal_error *err)
{
    if (v->version == 0)
        return kal_error_set(err, KAL_INVALID, "schema versions start at 1");
    if (v->changes.len == 0)
        return kal_error_set(err, KAL_INVALID, "schema version %u says nothing of its changes",
                             v->version);
    if (!kal_utf8_valid(v->changes))
        return kal_error_set(err, KAL_INVALID,
                             "the changes of schema version %u are not valid "
                             "UTF-8",
                             v->version);
    if (v->version == 1 && !kal_bytes_equal(v->changes, KAL_STR(KAL_SCHEMA_INITIAL_CHANGES)))
        return kal_error_set(err, KAL_INVALID, "schema version 1 must read '%s'",
                             KAL_SCHEMA_INITIAL_CHANGES);
    if (v->column_count == 0)
        return kal_error_set(err, KAL_INVALID, "schema version %u has no column", v->version);
    return KAL_OK;
}

void kal_schema_version_write_json(const kal_schema_version *v, kal_bytes arrow_schema_json,
                                   kal_json_writer *w)
{
    kal_json_begin_object(w);
    kal_json_key(w, "version");
    kal_json_u64(w, v->version);
    kal_json_key(w, "created_at");
    kal_json_i64(w, v->created_at_us);
    kal_json_key(w, "changes");
    kal_json_string(w, v->changes);
    kal_json_key(w, "column_count");
    kal_json_u64(w, v->column_count);
    kal_json_key(w, "arrow_schema_json");
    kal_json_string(w, arrow_schema_json);
    kal_json_end_object(w);
}

static bool json_number(const kal_json *object, const char *key, int64_t low, int64_t high,
                        int64_t *out)
{
    const kal_json *json = kal_json_find(object, key);
    return json != NULL && json->kind == KAL_JSON_NUMBER && kal_parse_i64(json->text, out) &&
           *out >= low && *out <= high;
}

kal_status kal_schema_version_from_json(const kal_json *json, kal_arena *arena,
                                        kal_schema_version *out, kal_error *err)
{
    const kal_json *changes = kal_json_find(json, "changes");
    int64_t version = 0;
    int64_t columns = 0;

    *out = (kal_schema_version){0};
    if (!json_number(json, "version", 1, UINT32_MAX, &version) ||
        !json_number(json, "created_at", INT64_MIN, INT64_MAX, &out->created_at_us) ||
        !json_number(json, "column_count", 1, UINT32_MAX, &columns) || changes == NULL ||
        changes->kind != KAL_JSON_STRING)
        return kal_error_set(
            err, KAL_INVALID,
            "a schema version needs 'version', 'created_at', 'changes' and 'column_count'");
    out->version = (uint32_t)version;
    out->column_count = (uint32_t)columns;
    out->changes = kal_arena_copy(arena, changes->text);
    return kal_schema_version_validate(out, err);
}

void kal_schema_version_encode(const kal_schema_version *v, kal_buf *out)
{
    kal_buf_append_le32(out, v->version);
    kal_buf_append_le64(out, (uint64_t)v->created_at_us);
    kal_buf_append_le32(out, v->column_count);
    kal_buf_append_le32(out, (uint32_t)v->changes.len);
    kal_buf_append_bytes(out, v->changes);
}

kal_status kal_schema_version_decode(kal_bytes *input, kal_arena *arena, kal_schema_version *out,
                                     kal_error *err)
{
    uint64_t created_at = 0;
    kal_bytes changes;

    *out = (kal_schema_version){0};
    if (!kal_bytes_take_le32(input, &out->version) || !kal_bytes_take_le64(input, &created_at) ||
        !kal_bytes_take_le32(input, &out->column_count) || !kal_bytes_take_text(input, &changes))
        return kal_error_set(err, KAL_CORRUPT, "stored schema version is damaged");
    out->created_at_us = (int64_t)created_at;
    out->changes = kal_arena_copy(arena, changes);
    if (kal_schema_version_validate(out, NULL) != KAL_OK)
        return kal_error_set(err, KAL_CORRUPT, "stored schema version is damaged");
    return KAL_OK;
}
