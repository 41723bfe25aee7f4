#include "cli/json_records.h"

void kal_json_records_init(kal_json_records *records, kal_source *source)
{
    *records = (kal_json_records){.source = source};
    kal_arena_init(&records->arena, NULL);
}

void kal_json_records_release(kal_json_records *records)
{
    kal_arena_release(&records->arena);
}

/* The next byte that is not blank, left in place. KAL_END at the end of the file. */
static kal_status peek(kal_source *source, uint8_t *byte_out, kal_error *err)
{
    for (;;) {
        kal_bytes bytes = kal_source_bytes(source);
        size_t blanks = 0;
        while (blanks < bytes.len && (bytes.ptr[blanks] == ' ' || bytes.ptr[blanks] == '\t' ||
                                      bytes.ptr[blanks] == '\n' || bytes.ptr[blanks] == '\r'))
            blanks++;
        kal_source_consume(source, blanks);
        if (blanks < bytes.len) {
            *byte_out = bytes.ptr[blanks];
            return KAL_OK;
        }
        KAL_TRY(kal_source_more(source, err));
    }
}

static kal_status invalid_at(const kal_source *source, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_INVALID, "line %llu: %s", (unsigned long long)source->line, what);
}

/* Bytes of the object at `start`, braces included. Depth is counted, not stacked: brackets that do
 * not match are found when the object is parsed. */
static kal_status object_extent(kal_source *source, size_t *len_out, kal_error *err)
{
    size_t at = 0;
    size_t depth = 0;
    bool in_string = false;
    for (;;) {
        kal_bytes bytes = kal_source_bytes(source);
        for (; at < bytes.len; at++) {
            uint8_t byte = bytes.ptr[at];
            if (in_string) {
                if (byte == '\\' && at + 1 >= bytes.len)
                    break; /* what it escapes is still to be read */
                if (byte == '\\')
                    at++;
                else if (byte == '"')
                    in_string = false;
            } else if (byte == '"') {
                in_string = true;
            } else if (byte == '{' || byte == '[') {
                depth++;
            } else if ((byte == '}' || byte == ']') && --depth == 0) {
                *len_out = at + 1;
                return KAL_OK;
            }
        }
        kal_status status = kal_source_more(source, err);
        if (status == KAL_END)
            return invalid_at(source, "the object that begins here has no end", err);
        KAL_TRY(status);
    }
}

static kal_status read_object(kal_json_records *records, const kal_json **object_out,
                              kal_error *err)
{
    kal_source *source = records->source;
    kal_error inner = KAL_ERROR_INIT;
    kal_json *json = NULL;
    size_t len = 0;
    records->line = source->line;
    KAL_TRY(object_extent(source, &len, err));
    kal_bytes text = kal_bytes_of(source->buf + source->start, len);
    kal_arena_reset(&records->arena);
    kal_status status = kal_json_parse(text, &records->arena, &json, &inner);
    if (status != KAL_OK) {
        uint64_t line = source->line;
        for (size_t i = 0; inner.position > 0 && i < (size_t)inner.position && i < len; i++)
            line += text.ptr[i] == '\n';
        return kal_error_set(err, status, "line %llu: %s", (unsigned long long)line, inner.message);
    }
    kal_source_consume(source, len);
    records->number++;
    *object_out = json;
    return KAL_OK;
}

/* Finds out what kind of file this is. */
static kal_status begin(kal_json_records *records, kal_error *err)
{
    uint8_t byte = 0;
    KAL_TRY(peek(records->source, &byte, err));
    records->is_started = true;
    records->is_array = byte == '[';
    if (records->is_array)
        kal_source_consume(records->source, 1);
    return KAL_OK;
}

/* *byte is what follows '[' or an object. Moves past a comma, with *byte behind it. */
static kal_status next_in_array(kal_json_records *records, uint8_t *byte, bool *closed_out,
                                kal_error *err)
{
    *closed_out = *byte == ']';
    if (*closed_out || records->number == 0)
        return KAL_OK;
    if (*byte != ',')
        return invalid_at(records->source, "expected ',' or ']' after an object", err);
    kal_source_consume(records->source, 1);
    kal_status status = peek(records->source, byte, err);
    return status == KAL_END ? invalid_at(records->source, "the array has no end", err) : status;
}

static kal_status expect_end(kal_json_records *records, kal_error *err)
{
    uint8_t byte = 0;
    kal_status status = peek(records->source, &byte, err);
    if (status == KAL_OK)
        return invalid_at(records->source, "text follows the end of the array", err);
    return status;
}

kal_status kal_json_records_next(kal_json_records *records, const kal_json **object_out,
                                 kal_error *err)
{
    kal_source *source = records->source;
    uint8_t byte = 0;
    bool closed = false;
    *object_out = NULL;
    if (records->is_ended)
        return expect_end(records, err);
    if (!records->is_started)
        KAL_TRY(begin(records, err));
    kal_status status = peek(source, &byte, err);
    if (status == KAL_END && records->is_array)
        return invalid_at(source, "the array has no end", err);
    KAL_TRY(status);
    if (records->is_array)
        KAL_TRY(next_in_array(records, &byte, &closed, err));
    if (closed) {
        kal_source_consume(source, 1);
        records->is_ended = true;
        return expect_end(records, err);
    }
    if (byte != '{')
        return invalid_at(source, "expected an object, as in {\"name\": value}", err);
    return read_object(records, object_out, err);
}
