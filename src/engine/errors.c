/*
 * errors.c: DuckDB's errors in our words: one level, one line, a place in the user's own text.
 */
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "engine/engine_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *type;
    kal_status status;
} KINDS[] = {
    {"Parser", KAL_SYNTAX},
    {"Syntax", KAL_SYNTAX},
    {"Binder", KAL_SYNTAX},
    {"Catalog", KAL_SYNTAX},
    {"Parameter Not Resolved", KAL_SYNTAX},
    {"Parameter Not Allowed", KAL_SYNTAX},
    {"Permission", KAL_DENIED},
    {"Not implemented", KAL_UNSUPPORTED},
    {"Out of Memory", KAL_LIMIT},
    {"Object Size", KAL_LIMIT},
    {"INTERRUPT", KAL_CANCELLED},
    {"INTERNAL", KAL_INTERNAL},
    {"FATAL", KAL_INTERNAL},
    {"IO", KAL_INTERNAL},
};

static kal_status status_of(const char *type)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(KINDS); i++) {
        if (strcmp(KINDS[i].type, type) == 0)
            return KINDS[i].status;
    }
    return KAL_INVALID; /* conversions, overflow, bad arguments: what the values do */
}

/* The first line, without a closing mark, with a small letter in front of a word. */
static void clean_message(const char *text, char out[KAL_ERROR_MESSAGE_BYTES])
{
    size_t len = strcspn(text, "\n");
    if (len >= KAL_ERROR_MESSAGE_BYTES)
        len = KAL_ERROR_MESSAGE_BYTES - 1;
    while (len > 0 && (text[len - 1] == '!' || text[len - 1] == '.' || text[len - 1] == ' '))
        len--;
    memcpy(out, text, len);
    out[len] = '\0';
    if (isupper((unsigned char)out[0]) && islower((unsigned char)out[1]))
        out[0] = (char)tolower((unsigned char)out[0]);
}

static const char *member_text(const kal_json *json, const char *key, kal_arena *arena)
{
    const kal_json *member = kal_json_find(json, key);
    return member == NULL || member->kind != KAL_JSON_STRING ? ""
                                                             : kal_arena_cstr(arena, member->text);
}

/* The first name of a list such as `"name", "number"`. */
static void hint_candidate(const char *candidates, kal_error *err)
{
    char first[128];
    size_t len = strcspn(candidates, ",");
    const char *start = candidates;

    while (len > 0 && (*start == '"' || *start == ' ')) {
        start++;
        len--;
    }
    while (len > 0 && (start[len - 1] == '"' || start[len - 1] == ' '))
        len--;
    if (len == 0 || len >= sizeof first)
        return;
    memcpy(first, start, len);
    first[len] = '\0';
    kal_error_hint(err, "did you mean '%s'?", first);
}

static void set_position(const kal_json *json, const kal_rewrite *rewrite, kal_error *err,
                         kal_arena *arena)
{
    int64_t position = 0;
    const char *text = member_text(json, "position", arena);
    if (text[0] != '\0' && kal_parse_i64(kal_cstr(text), &position) && position >= 0)
        kal_error_at(err, kal_rewrite_origin(rewrite, (size_t)position));
}

/* Of a sub-select DuckDB says it only in words. */
static bool is_missing_column(const char *message, char name[128])
{
    static const char WORDS[] = " does not have a column named \"";
    const char *found = strstr(message, WORDS);
    if (found == NULL)
        return false;
    found += sizeof WORDS - 1;
    size_t len = strcspn(found, "\"");
    snprintf(name, 128, "%.*s", (int)(len < 127 ? len : 127), found);
    return found[len] == '"';
}

static kal_status from_json(const kal_json *json, const kal_rewrite *rewrite, kal_arena *arena,
                            kal_error *err)
{
    char message[KAL_ERROR_MESSAGE_BYTES];
    char column[128];
    const char *subtype = member_text(json, "error_subtype", arena);
    kal_status status = status_of(member_text(json, "exception_type", arena));

    clean_message(member_text(json, "exception_message", arena), message);
    if (strcmp(subtype, "COLUMN_NOT_FOUND") == 0) {
        kal_error_set(err, KAL_SYNTAX, "column '%s' does not exist",
                      member_text(json, "name", arena));
        kal_error_code(err, "COLUMN_NOT_FOUND");
        hint_candidate(member_text(json, "candidates", arena), err);
    } else if (is_missing_column(message, column)) {
        kal_error_set(err, KAL_SYNTAX, "column '%s' does not exist", column);
        kal_error_code(err, "COLUMN_NOT_FOUND");
    } else {
        kal_error_set(err, status, "%s", message);
    }
    set_position(json, rewrite, err, arena);
    return err->status;
}

kal_status kal_engine_error(const char *text, const kal_rewrite *rewrite, kal_error *err)
{
    kal_arena arena;
    kal_error local = KAL_ERROR_INIT;
    kal_json *json = NULL;
    char message[KAL_ERROR_MESSAGE_BYTES];

    if (err == NULL)
        err = &local;
    kal_arena_init(&arena, NULL);
    if (text != NULL && text[0] == '{' &&
        kal_json_parse(kal_cstr(text), &arena, &json, NULL) == KAL_OK) {
        kal_status status = from_json(json, rewrite, &arena, err);
        kal_arena_release(&arena);
        return status;
    }
    clean_message(text == NULL || text[0] == '\0' ? "the query engine failed" : text, message);
    kal_arena_release(&arena);
    return kal_error_set(err, KAL_INVALID, "%s", message);
}
