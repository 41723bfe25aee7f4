/*
 * csv_reader.c: a record is split in one go over the bytes that are there; when they end before the
 * record does, more are read and the record is split again from its start. As the buffer doubles,
 * that costs at most twice the work for a very long record and nothing for ordinary ones. Fields
 * with "" in them are unescaped in place, once the record is whole.
 */
#include "cli/csv_reader.h"

#include "base/assert.h"

typedef enum split_result {
    SPLIT_DONE, /* the record is whole */
    SPLIT_MORE, /* the bytes end first */
    SPLIT_TAIL, /* text behind a closing quote */
    SPLIT_MANY, /* more fields than anyone means */
} split_result;

/* Whether the bytes at `at` end a line; *len_out is 1 or 2 then. */
static bool line_end_at(kal_bytes bytes, size_t at, size_t *len_out)
{
    if (bytes.ptr[at] == '\n') {
        *len_out = 1;
        return true;
    }
    *len_out = 2;
    return bytes.ptr[at] == '\r' && at + 1 < bytes.len && bytes.ptr[at + 1] == '\n';
}

/* Behind the closing quote of the quoted field that begins at `at`, or SIZE_MAX. */
static size_t quoted_end(kal_bytes bytes, size_t at)
{
    for (size_t i = at + 1; i < bytes.len;) {
        const uint8_t *quote = memchr(bytes.ptr + i, '"', bytes.len - i);
        if (quote == NULL)
            return SIZE_MAX;
        i = (size_t)(quote - bytes.ptr) + 1;
        if (i < bytes.len && bytes.ptr[i] == '"')
            i++;
        else
            return i;
    }
    return SIZE_MAX;
}

/* Behind the unquoted field that begins at `at`. A CR that ends no line is text like any other. */
static size_t unquoted_end(kal_bytes bytes, size_t at, uint8_t delimiter)
{
    size_t ending = 0;
    while (at < bytes.len && bytes.ptr[at] != delimiter && !line_end_at(bytes, at, &ending))
        at++;
    return at;
}

/* The fields of the record at the front of bytes; quoted ones still with quotes. */
static split_result split_record(kal_csv_reader *reader, kal_bytes bytes, bool at_end,
                                 size_t *record_len_out)
{
    size_t at = 0;
    size_t ending = 0;
    reader->fields.len = 0;
    for (;;) {
        size_t begin = at;
        bool quoted = at < bytes.len && bytes.ptr[at] == '"';
        at = quoted ? quoted_end(bytes, at) : unquoted_end(bytes, at, reader->delimiter);
        if (at == SIZE_MAX)
            return SPLIT_MORE;
        /* The byte that follows a quote or a CR decides what they mean. */
        if (!at_end && (at >= bytes.len || (bytes.ptr[at] == '\r' && at + 1 >= bytes.len)))
            return SPLIT_MORE;
        if (reader->fields.len == KAL_CSV_FIELD_COUNT_MAX)
            return SPLIT_MANY;
        kal_vec_push(&reader->fields,
                     ((kal_csv_field){.text = kal_bytes_of(bytes.ptr + begin, at - begin),
                                      .quoted = quoted}));
        if (at >= bytes.len || line_end_at(bytes, at, &ending)) {
            *record_len_out = at >= bytes.len ? at : at + ending;
            return SPLIT_DONE;
        }
        if (bytes.ptr[at] != reader->delimiter)
            return SPLIT_TAIL;
        at++;
    }
}

/* Takes the quotes off and makes "" one quote, in place. */
static void unescape(kal_source *source, kal_csv_field *field)
{
    uint8_t *base = source->buf + (field->text.ptr - source->buf) + 1;
    size_t len = field->text.len - 2;
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        base[out++] = base[i];
        if (base[i] == '"')
            i++; /* its twin */
    }
    field->text = kal_bytes_of(base, out);
}

static kal_status split_error(const kal_csv_reader *reader, split_result result, kal_error *err)
{
    unsigned long long line = reader->line;
    switch (result) {
    case SPLIT_TAIL:
        kal_error_set(err, KAL_INVALID, "line %llu: text follows the closing quote of field %zu",
                      line, reader->fields.len);
        kal_error_hint(err, "a quote inside a quoted field is written twice");
        return KAL_INVALID;
    case SPLIT_MANY:
        return kal_error_set(err, KAL_LIMIT, "line %llu: more than %u fields", line,
                             KAL_CSV_FIELD_COUNT_MAX);
    default:
        return kal_error_set(err, KAL_INVALID,
                             "line %llu: a quoted field that begins in this record has no end",
                             line);
    }
}

/* One record, blank or not. */
static kal_status read_record(kal_csv_reader *reader, kal_error *err)
{
    size_t len = 0;
    kal_source *source = reader->source;
    for (;;) {
        kal_bytes bytes = kal_source_bytes(source);
        if (bytes.len == 0 && source->at_end)
            return KAL_END;
        reader->line = source->line;
        split_result result =
            bytes.len == 0 ? SPLIT_MORE : split_record(reader, bytes, source->at_end, &len);
        if (result == SPLIT_DONE)
            break;
        if (result != SPLIT_MORE || source->at_end)
            return split_error(reader, result, err);
        kal_status status = kal_source_more(source, err);
        if (status != KAL_OK && status != KAL_END)
            return status;
    }
    kal_source_consume(source, len); /* before unescaping: it counts lines */
    for (size_t i = 0; i < reader->fields.len; i++) {
        if (reader->fields.items[i].quoted)
            unescape(source, &reader->fields.items[i]);
    }
    return KAL_OK;
}

static bool is_blank(const kal_csv_reader *reader)
{
    return reader->fields.len == 1 && !reader->fields.items[0].quoted &&
           reader->fields.items[0].text.len == 0;
}

kal_status kal_csv_next(kal_csv_reader *reader, kal_error *err)
{
    do {
        KAL_TRY(read_record(reader, err));
    } while (is_blank(reader) && reader->field_count != 1);
    if (reader->field_count == 0)
        reader->field_count = reader->fields.len;
    if (reader->fields.len == reader->field_count)
        return KAL_OK;
    return kal_error_set(err, KAL_INVALID, "line %llu: %zu fields, expected %zu",
                         (unsigned long long)reader->line, reader->fields.len, reader->field_count);
}

static uint8_t guess_delimiter(kal_bytes bytes)
{
    static const uint8_t candidates[] = {',', ';', '\t', '|'};
    size_t counts[KAL_ARRAY_LEN(candidates)] = {0};
    bool quoted = false;
    for (size_t i = 0; i < bytes.len && (quoted || bytes.ptr[i] != '\n'); i++) {
        quoted ^= bytes.ptr[i] == '"';
        for (size_t c = 0; !quoted && c < KAL_ARRAY_LEN(candidates); c++)
            counts[c] += bytes.ptr[i] == candidates[c];
    }
    size_t best = 0;
    for (size_t c = 1; c < KAL_ARRAY_LEN(candidates); c++) {
        if (counts[c] > counts[best])
            best = c;
    }
    return candidates[best];
}

kal_status kal_csv_reader_init(kal_csv_reader *reader, kal_source *source, kal_error *err)
{
    *reader = (kal_csv_reader){.source = source};
    kal_bytes bytes = kal_source_bytes(source);
    while (!source->at_end && memchr(bytes.ptr, '\n', bytes.len) == NULL) {
        kal_status status = kal_source_more(source, err);
        if (status != KAL_OK && status != KAL_END)
            return status;
        bytes = kal_source_bytes(source);
    }
    reader->delimiter = guess_delimiter(bytes);
    return KAL_OK;
}

void kal_csv_reader_release(kal_csv_reader *reader)
{
    kal_vec_release(&reader->fields);
}
