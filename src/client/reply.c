#include "client/reply.h"

#include "base/json_writer.h"

void kal_reply_init(kal_reply *reply)
{
    *reply = (kal_reply){.position = -1};
    kal_arena_init(&reply->arena, NULL);
}

void kal_reply_release(kal_reply *reply)
{
    kal_arena_release(&reply->arena);
    kal_reply_init(reply);
}

const kal_json *kal_reply_cell(const kal_reply_result *result, size_t row, size_t column)
{
    return &result->rows->items[row].items[column];
}

static kal_bytes string_member(const kal_json *json, const char *key)
{
    const kal_json *member = kal_json_find(json, key);
    return member != NULL && member->kind == KAL_JSON_STRING ? member->text : (kal_bytes){0};
}

/* A whole number of at least 0, or `missing`. */
static int64_t count_member(const kal_json *json, const char *key, int64_t missing)
{
    const kal_json *member = kal_json_find(json, key);
    int64_t value = 0;
    if (member == NULL || member->kind != KAL_JSON_NUMBER || !kal_parse_i64(member->text, &value) ||
        value < 0)
        return missing;
    return value;
}

static kal_status status_of_http(int http_code)
{
    switch (http_code) {
    case 401:
        return KAL_UNAUTHORIZED;
    case 403:
        return KAL_DENIED;
    case 404:
        return KAL_NOT_FOUND;
    case 408:
        return KAL_TIMEOUT;
    case 409:
        return KAL_CONFLICT;
    case 413:
        return KAL_LIMIT;
    case 429:
        return KAL_BUSY;
    case 499:
        return KAL_CANCELLED;
    default:
        return http_code >= 500 ? KAL_INTERNAL : KAL_INVALID;
    }
}

static kal_status foreign_reply(int http_code, kal_error *err)
{
    kal_error_set(err, KAL_INTERNAL, "the reply is not one of a KalamDB server (HTTP status %d)",
                  http_code);
    kal_error_hint(err, "does the URL lead to the right server and port?");
    return KAL_INTERNAL;
}

/* error: the object of the SQL endpoint, or the string of the endpoints of auth. */
static kal_status read_refusal(const kal_json *json, const kal_json *error, int http_code,
                               kal_reply *reply, kal_error *err)
{
    const kal_json *from = error->kind == KAL_JSON_OBJECT ? error : json;
    reply->refused = true;
    reply->http_code = http_code;
    reply->code = error->kind == KAL_JSON_STRING ? error->text : string_member(error, "code");
    reply->message = string_member(from, "message");
    reply->hint = string_member(from, "hint");
    reply->details = string_member(from, "details");
    reply->position = count_member(from, "position", -1);
    reply->row = (uint64_t)count_member(from, "row", 0);
    if (reply->message.len == 0)
        reply->message = reply->code.len > 0 ? reply->code : KAL_STR("the server gave no reason");

    kal_status status = status_of_http(http_code);
    kal_error_set(err, status, "%.*s", KAL_FMT(reply->message));
    if (reply->hint.len > 0)
        kal_error_hint(err, "%.*s", KAL_FMT(reply->hint));
    if (reply->position >= 0)
        kal_error_at(err, (size_t)reply->position);
    return status;
}

kal_status kal_reply_parse_plain(kal_bytes body, int http_code, kal_reply *reply,
                                 const kal_json **json_out, kal_error *err)
{
    kal_json *json = NULL;
    *json_out = NULL;
    reply->http_code = http_code;
    kal_status status = kal_json_parse(body, &reply->arena, &json, NULL);
    if (status == KAL_LIMIT)
        return kal_error_set(err, KAL_LIMIT, "the reply is too large or nested too deeply");
    if (status != KAL_OK || json->kind != KAL_JSON_OBJECT)
        return foreign_reply(http_code, err);

    const kal_json *error = kal_json_find(json, "error");
    if (error != NULL && (error->kind == KAL_JSON_OBJECT || error->kind == KAL_JSON_STRING))
        return read_refusal(json, error, http_code, reply, err);
    if (http_code < 200 || http_code > 299)
        return foreign_reply(http_code, err);
    *json_out = json;
    return KAL_OK;
}

static bool has_flag(const kal_json *column, const char *flag)
{
    const kal_json *flags = kal_json_find(column, "flags");
    for (size_t i = 0; flags != NULL && flags->kind == KAL_JSON_ARRAY && i < flags->len; i++) {
        if (flags->items[i].kind == KAL_JSON_STRING &&
            kal_bytes_equal(flags->items[i].text, kal_cstr(flag)))
            return true;
    }
    return false;
}

static bool read_columns(const kal_json *schema, kal_arena *arena, kal_reply_result *result)
{
    if (schema == NULL || schema->len == 0)
        return schema == NULL || schema->kind == KAL_JSON_ARRAY;
    if (schema->kind != KAL_JSON_ARRAY)
        return false;
    result->columns = kal_arena_try_array(arena, schema->len, sizeof *result->columns);
    if (result->columns == NULL)
        return false;
    for (size_t i = 0; i < schema->len; i++) {
        const kal_json *column = &schema->items[i];
        const kal_json *name = kal_json_find(column, "name");
        const kal_json *data_type = kal_json_find(column, "data_type");
        if (name == NULL || name->kind != KAL_JSON_STRING || data_type == NULL)
            return false;
        result->columns[i] = (kal_reply_column){.name = name->text,
                                                .data_type = data_type,
                                                .is_key = has_flag(column, "pk"),
                                                .is_not_null = has_flag(column, "nn")};
    }
    result->column_count = schema->len;
    return true;
}

static bool read_rows(const kal_json *rows, kal_reply_result *result)
{
    if (rows == NULL || rows->kind == KAL_JSON_NULL)
        return true;
    if (rows->kind != KAL_JSON_ARRAY)
        return false;
    for (size_t i = 0; i < rows->len; i++) {
        if (rows->items[i].kind != KAL_JSON_ARRAY || rows->items[i].len != result->column_count)
            return false;
    }
    result->rows = rows;
    return true;
}

static bool read_result(const kal_json *json, kal_arena *arena, kal_reply_result *result)
{
    if (json->kind != KAL_JSON_OBJECT ||
        !read_columns(kal_json_find(json, "schema"), arena, result) ||
        !read_rows(kal_json_find(json, "rows"), result))
        return false;
    size_t returned = result->rows == NULL ? 0 : result->rows->len;
    result->row_count =
        result->column_count > 0 ? returned : (size_t)count_member(json, "row_count", 0);
    result->message = string_member(json, "message");
    return true;
}

kal_status kal_reply_parse(kal_bytes body, int http_code, kal_reply *reply, kal_error *err)
{
    const kal_json *json = NULL;
    KAL_TRY(kal_reply_parse_plain(body, http_code, reply, &json, err));
    const kal_json *results = kal_json_find(json, "results");
    if (results == NULL || results->kind != KAL_JSON_ARRAY)
        return foreign_reply(http_code, err);

    reply->results = kal_arena_try_array(&reply->arena, results->len, sizeof *reply->results);
    if (reply->results == NULL)
        return foreign_reply(http_code, err);
    for (size_t i = 0; i < results->len; i++) {
        if (!read_result(&results->items[i], &reply->arena, &reply->results[i]))
            return foreign_reply(http_code, err);
    }
    reply->result_count = results->len;
    const kal_json *took = kal_json_find(json, "took");
    if (took == NULL || took->kind != KAL_JSON_NUMBER ||
        !kal_parse_double(took->text, &reply->took_ms))
        reply->took_ms = 0;
    return KAL_OK;
}
