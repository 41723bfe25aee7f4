#include "schema/schema_version.h"

kal_status kal_schema_version_validate(const kal_schema_version *v, kal_error *err)
{
    if (v->version == 0)
        return kal_error_set(err, KAL_INVALID, "schema versions start at 1");
    if (v->changes.len == 0)
        return kal_error_set(err, KAL_INVALID, "schema version %u says nothing of its changes",
                             v->version);
    bool initial = v->changes.items[0].kind == KAL_SCHEMA_INITIAL;
    if ((v->version == 1) != initial || (initial && v->changes.len != 1))
        return kal_error_set(err, KAL_INVALID, "schema version 1, and no other, must read '%s'",
                             KAL_SCHEMA_INITIAL_CHANGES);
    if (v->column_count == 0)
        return kal_error_set(err, KAL_INVALID, "schema version %u has no column", v->version);
    if (!kal_utf8_valid(v->actor))
        return kal_error_set(err, KAL_INVALID, "the actor of schema version %u is not valid UTF-8",
                             v->version);
    return kal_schema_changes_validate(&v->changes, err);
}

void kal_schema_version_text(const kal_schema_version *v, kal_buf *out)
{
    kal_schema_changes_to_text(&v->changes, out);
}

static void write_text(const kal_schema_version *v, kal_json_writer *w)
{
    kal_buf text; /* owned */
    kal_buf_init(&text, NULL);
    kal_schema_version_text(v, &text);
    kal_json_string(w, kal_buf_bytes(&text));
    kal_buf_release(&text);
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
    write_text(v, w);
    kal_json_key(w, "change_list");
    kal_schema_changes_write_json(&v->changes, w);
    kal_json_key(w, "column_count");
    kal_json_u64(w, v->column_count);
    kal_json_key(w, "actor");
    kal_json_string(w, v->actor);
    kal_json_key(w, "commit_seq");
    kal_json_u64(w, v->commit_seq);
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
    const kal_json *actor = kal_json_find(json, "actor");
    int64_t version = 0;
    int64_t columns = 0;
    int64_t commit_seq = 0;

    *out = (kal_schema_version){0};
    if (!json_number(json, "version", 1, UINT32_MAX, &version) ||
        !json_number(json, "created_at", INT64_MIN, INT64_MAX, &out->created_at_us) ||
        !json_number(json, "column_count", 1, UINT32_MAX, &columns) ||
        !json_number(json, "commit_seq", 0, INT64_MAX, &commit_seq) || actor == NULL ||
        actor->kind != KAL_JSON_STRING)
        return kal_error_set(err, KAL_INVALID,
                             "a schema version needs 'version', 'created_at', 'change_list', "
                             "'column_count', 'actor' and 'commit_seq'");
    out->version = (uint32_t)version;
    out->column_count = (uint32_t)columns;
    out->commit_seq = (uint64_t)commit_seq;
    out->actor = kal_arena_copy(arena, actor->text);
    KAL_TRY(kal_schema_changes_from_json(kal_json_find(json, "change_list"), arena, &out->changes,
                                         err));
    return kal_schema_version_validate(out, err);
}

void kal_schema_version_encode(const kal_schema_version *v, kal_buf *out)
{
    kal_buf_append_le32(out, v->version);
    kal_buf_append_le64(out, (uint64_t)v->created_at_us);
    kal_buf_append_le32(out, v->column_count);
    kal_buf_append_le64(out, v->commit_seq);
    kal_buf_append_le32(out, (uint32_t)v->actor.len);
    kal_buf_append_bytes(out, v->actor);
    kal_schema_changes_encode(&v->changes, out);
}

/* Format 1 knew two texts: the first version's and that of an upgrade. */
static bool decode_changes_1(kal_bytes *input, kal_arena *arena, kal_schema_version *out)
{
    kal_bytes changes;
    kal_bytes actor;

    if (!kal_bytes_take_text(input, &changes) || !kal_bytes_take_text(input, &actor))
        return false;
    out->actor = kal_arena_copy(arena, actor);
    out->changes =
        kal_schema_changes_of(out->version == 1 ? KAL_SCHEMA_INITIAL : KAL_SCHEMA_UPGRADE, arena);
    return true;
}

static bool decode_changes(kal_bytes *input, kal_arena *arena, kal_schema_version *out)
{
    kal_bytes actor;

    if (!kal_bytes_take_le64(input, &out->commit_seq) || !kal_bytes_take_text(input, &actor))
        return false;
    out->actor = kal_arena_copy(arena, actor);
    return kal_schema_changes_decode(input, arena, &out->changes, NULL) == KAL_OK;
}

kal_status kal_schema_version_decode(kal_bytes *input, uint8_t format, kal_arena *arena,
                                     kal_schema_version *out, kal_error *err)
{
    uint64_t created_at = 0;

    *out = (kal_schema_version){0};
    bool whole =
        kal_bytes_take_le32(input, &out->version) && kal_bytes_take_le64(input, &created_at) &&
        kal_bytes_take_le32(input, &out->column_count) &&
        (format == 1 ? decode_changes_1(input, arena, out) : decode_changes(input, arena, out));
    out->created_at_us = (int64_t)created_at;
    if (!whole || kal_schema_version_validate(out, NULL) != KAL_OK)
        return kal_error_set(err, KAL_CORRUPT, "stored schema version is damaged");
    return KAL_OK;
}
