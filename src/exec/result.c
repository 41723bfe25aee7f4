/*
 * result.c: the JSON of replies: results with rows or a message, and errors.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"
#include "types/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void kal_result_begin(kal_result *r, const kal_result_column *columns, size_t count)
{
    kal_json_writer *w = &r->json;

    r->start = r->body->len;
    r->json_start = r->json;
    r->row_count = 0;
    kal_json_begin_object(w);
    kal_json_key(w, "schema");
    kal_json_begin_array(w);
    for (size_t i = 0; i < count; i++)
        kal_result_column_write_json(columns[i].name, columns[i].type, i, columns[i].is_key,
                                     columns[i].is_not_null, w);
    kal_json_end_array(w);
    kal_json_key(w, "rows");
    kal_json_begin_array(w);
}

kal_status kal_result_row(kal_result *r, const kal_value *values, size_t count, kal_error *err)
{
    kal_json_begin_array(&r->json);
    for (size_t i = 0; i < count; i++)
        kal_value_write_json(&values[i], &r->json);
    kal_json_end_array(&r->json);
    r->row_count++;
    if (kal_buf_failed(r->body))
        return kal_error_set(err, KAL_LIMIT, "the result exceeds the statement's memory");
    return KAL_OK;
}

static void finish(kal_result *r, const char *message)
{
    kal_json_writer *w = &r->json;
    kal_json_key(w, "row_count");
    kal_json_u64(w, r->row_count);
    if (message != NULL) {
        kal_json_key(w, "message");
        kal_json_cstr(w, message);
    }
    kal_json_key(w, "as_user");
    kal_json_cstr(w, r->principal->user_id);
    kal_json_end_object(w);
}

void kal_result_end(kal_result *r)
{
    kal_json_end_array(&r->json);
    finish(r, NULL);
}

/* What a result begins with, behind a comma perhaps. */
static const char OPENING[] = "{\"schema\":";

kal_bytes kal_result_written(const kal_result *r)
{
    size_t start = r->start + (r->body->ptr[r->start] == ',') + sizeof OPENING - 1;
    return kal_bytes_of(r->body->ptr + start, r->body->len - start);
}

void kal_result_again(kal_result *r, kal_bytes written, uint64_t row_count)
{
    r->start = r->body->len;
    r->json_start = r->json;
    r->row_count = row_count;
    kal_json_begin_object(&r->json);
    kal_json_key(&r->json, "schema");
    kal_json_raw(&r->json, written); /* the member "rows" too, but for its closing bracket */
    kal_buf_append_byte(r->body, ']');
    finish(r, NULL);
}

void kal_result_message(kal_result *r, uint64_t row_count, const char *format, ...)
{
    char short_message[KAL_ERROR_MESSAGE_BYTES];
    char *message = short_message;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(short_message, sizeof short_message, format, args);
    va_end(args);
    if (len >= (int)sizeof short_message) { /* of an ALTER TABLE with many changes */
        va_start(args, format);
        if (vasprintf(&message, format, args) < 0)
            kal_die("out of memory: message");
        va_end(args);
    }
    kal_result_begin(r, NULL, 0);
    r->row_count = row_count;
    kal_json_end_array(&r->json);
    finish(r, message);
    if (message != short_message)
        free(message);
}

void kal_result_restart(kal_result *r)
{
    kal_buf_truncate(r->body, r->start);
    r->json = r->json_start;
    r->row_count = 0;
}

void kal_result_took(kal_json_writer *w, double took_ms)
{
    char took[32];
    snprintf(took, sizeof took, "%.3f", took_ms);
    kal_json_key(w, "took");
    kal_json_raw(w, kal_cstr(took));
}

void kal_result_error(const kal_error *err, kal_bytes details, double took_ms, kal_buf *body)
{
    kal_json_writer w;

    kal_json_writer_init(&w, body);
    kal_json_begin_object(&w);
    kal_json_key(&w, "status");
    kal_json_cstr(&w, "error");
    kal_json_key(&w, "results");
    kal_json_begin_array(&w);
    kal_json_end_array(&w);
    kal_result_took(&w, took_ms);
    kal_json_key(&w, "error");
    kal_json_begin_object(&w);
    kal_json_key(&w, "code");
    kal_json_cstr(&w, err->code);
    kal_json_key(&w, "message");
    kal_json_cstr(&w, err->message);
    if (details.len > 0) {
        kal_json_key(&w, "details");
        kal_json_string(&w, details);
    }
    if (err->hint[0] != '\0') {
        kal_json_key(&w, "hint");
        kal_json_cstr(&w, err->hint);
    }
    if (err->position >= 0) {
        kal_json_key(&w, "position");
        kal_json_i64(&w, err->position);
    }
    if (err->row > 0) {
        kal_json_key(&w, "row");
        kal_json_u64(&w, err->row);
    }
    kal_json_end_object(&w);
    kal_json_end_object(&w);
}

void kal_exec_write_error(const kal_error *err, double took_ms, kal_buf *body)
{
    kal_result_error(err, (kal_bytes){0}, took_ms, body);
}
