#include "cli/records.h"

#include "base/assert.h"

static bool has_ending(kal_bytes path, const char *ending)
{
    kal_bytes text = kal_cstr(ending);
    return path.len > text.len &&
           kal_bytes_equal_nocase(kal_bytes_of(path.ptr + path.len - text.len, text.len), text);
}

/* Formats that are met often and cannot be read: said by name rather than as broken text. */
static kal_status refuse_binary(const kal_source *source, kal_error *err)
{
    static const struct {
        kal_bytes start;
        const char *what;
    } formats[] = {
        {KAL_STR("PAR1"), "a Parquet file"},
        {KAL_STR("ARROW1"), "an Arrow file"},
        {KAL_STR("\x1F\x8B"), "packed with gzip"},
        {KAL_STR("\x28\xB5\x2F\xFD"), "packed with zstd"},
        {KAL_STR("PK\x03\x04"), "a zip file (as those of spreadsheets are)"},
        {KAL_STR("SQLite format 3"), "an SQLite database"},
    };
    kal_bytes bytes = kal_source_bytes(source);
    const char *what = bytes.len > 0 && memchr(bytes.ptr, 0, bytes.len < 512 ? bytes.len : 512)
                           ? "not a text file"
                           : NULL;

    for (size_t i = 0; i < KAL_ARRAY_LEN(formats); i++) {
        if (kal_bytes_starts_with(bytes, formats[i].start))
            what = formats[i].what;
    }
    if (what == NULL)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.300s' is %s", source->path, what);
    kal_error_hint(err, "CSV and JSON files can be imported");
    return KAL_INVALID;
}

static kal_status decide_kind(kal_bytes path, kal_records *records, kal_error *err)
{
    if (has_ending(path, ".csv") || has_ending(path, ".tsv"))
        return KAL_OK;
    records->is_json =
        has_ending(path, ".json") || has_ending(path, ".jsonl") || has_ending(path, ".ndjson");
    if (records->is_json)
        return KAL_OK;
    kal_bytes bytes = kal_source_bytes(&records->source);
    if (bytes.len == 0) {
        kal_status status = kal_source_more(&records->source, err);
        if (status != KAL_OK && status != KAL_END)
            return status;
        bytes = kal_source_bytes(&records->source);
    }
    size_t at = 0;
    while (at < bytes.len && (bytes.ptr[at] == ' ' || bytes.ptr[at] == '\t' ||
                              bytes.ptr[at] == '\r' || bytes.ptr[at] == '\n'))
        at++;
    records->is_json = at < bytes.len && (bytes.ptr[at] == '{' || bytes.ptr[at] == '[');
    return KAL_OK;
}

static kal_status too_many_columns(kal_error *err)
{
    return kal_error_set(err, KAL_LIMIT, "the file has more than %u columns",
                         KAL_RECORD_COLUMNS_MAX);
}

/* The names of the columns, on the first pass; on the second they are known. */
static kal_status read_csv_header(kal_records *records, kal_error *err)
{
    KAL_TRY(kal_csv_reader_init(&records->csv, &records->source, err));
    kal_status status = kal_csv_next(&records->csv, err);
    if (status == KAL_END)
        return kal_error_set(err, KAL_INVALID, "the file is empty");
    KAL_TRY(status);
    if (records->names.len > 0)
        return KAL_OK;
    if (records->csv.fields.len > KAL_RECORD_COLUMNS_MAX)
        return too_many_columns(err);
    for (size_t i = 0; i < records->csv.fields.len; i++) {
        kal_bytes name = records->csv.fields.items[i].text;
        if (!kal_utf8_valid(name))
            return kal_error_set(err, KAL_INVALID, "line %llu: column name %zu is not valid UTF-8",
                                 (unsigned long long)records->csv.line, i + 1);
        kal_vec_push(&records->names, kal_arena_copy(&records->arena, name));
    }
    return KAL_OK;
}

static kal_status start(kal_records *records, kal_error *err)
{
    records->number = 0;
    if (!records->is_json)
        return read_csv_header(records, err);
    kal_json_records_init(&records->json, &records->source);
    return KAL_OK;
}

kal_status kal_records_open(kal_bytes path, kal_records *records_out, kal_error *err)
{
    *records_out = (kal_records){.source.fd = -1};
    kal_arena_init(&records_out->arena, NULL);
    kal_map_init(&records_out->index);
    kal_status status = kal_source_open(path, &records_out->source, err);
    if (status == KAL_OK)
        status = refuse_binary(&records_out->source, err);
    if (status == KAL_OK)
        status = decide_kind(path, records_out, err);
    if (status == KAL_OK)
        status = start(records_out, err);
    if (status != KAL_OK)
        kal_records_release(records_out);
    return status;
}

static void release_readers(kal_records *records)
{
    kal_csv_reader_release(&records->csv);
    if (records->json.source != NULL)
        kal_json_records_release(&records->json);
    records->json.source = NULL;
}

void kal_records_release(kal_records *records)
{
    release_readers(records);
    kal_source_release(&records->source);
    kal_arena_release(&records->arena);
    kal_map_release(&records->index);
    kal_vec_release(&records->names);
    kal_vec_release(&records->cells);
}

kal_status kal_records_rewind(kal_records *records, kal_error *err)
{
    release_readers(records);
    KAL_TRY(kal_source_rewind(&records->source, err));
    return start(records, err);
}

static kal_status not_utf8(const kal_records *records, size_t column, kal_error *err)
{
    kal_error_set(err, KAL_INVALID, "line %llu: column '%.*s' is not valid UTF-8",
                  (unsigned long long)records->line, KAL_FMT(records->names.items[column]));
    kal_error_hint(err, "convert the file first: iconv -f WINDOWS-1252 -t UTF-8");
    return KAL_INVALID;
}

static kal_status next_csv(kal_records *records, kal_error *err)
{
    KAL_TRY(kal_csv_next(&records->csv, err));
    records->line = records->csv.line;
    records->cells.len = 0;
    for (size_t i = 0; i < records->csv.fields.len; i++) {
        const kal_csv_field *field = &records->csv.fields.items[i];
        kal_cell cell = {.kind = KAL_CELL_FIELD, .text = field->text};
        if (!kal_utf8_valid(field->text))
            return not_utf8(records, i, err);
        if (field->text.len == 0)
            cell.kind = field->quoted ? KAL_CELL_STRING : KAL_CELL_NULL;
        kal_vec_push(&records->cells, cell);
    }
    return KAL_OK;
}

static kal_cell cell_of_json(const kal_json *json)
{
    switch (json->kind) {
    case KAL_JSON_NULL:
        break;
    case KAL_JSON_BOOL:
        return (kal_cell){.kind = KAL_CELL_BOOL,
                          .text = json->boolean ? KAL_STR("true") : KAL_STR("false")};
    case KAL_JSON_NUMBER:
        return (kal_cell){.kind = KAL_CELL_NUMBER, .text = json->text};
    case KAL_JSON_STRING:
        return (kal_cell){.kind = KAL_CELL_STRING, .text = json->text};
    case KAL_JSON_ARRAY:
    case KAL_JSON_OBJECT:
        return (kal_cell){.kind = KAL_CELL_NESTED, .json = json};
    }
    return (kal_cell){.kind = KAL_CELL_NULL};
}

/* Index of the column with this name, which is added when it is new. */
static size_t column_of(kal_records *records, kal_bytes name)
{
    uintptr_t known = (uintptr_t)kal_map_find(&records->index, name);
    if (known != 0)
        return known - 1;
    kal_vec_push(&records->names, kal_arena_copy(&records->arena, name));
    kal_map_put(&records->index, name, (void *)(uintptr_t)records->names.len);
    return records->names.len - 1;
}

static kal_status next_json(kal_records *records, kal_error *err)
{
    const kal_json *object = NULL;
    KAL_TRY(kal_json_records_next(&records->json, &object, err));
    records->line = records->json.line;
    records->cells.len = 0;
    for (size_t i = 0; i < records->names.len; i++)
        kal_vec_push(&records->cells, ((kal_cell){.kind = KAL_CELL_NULL}));
    for (size_t i = 0; i < object->len; i++) {
        /* Objects mostly have their members in the same order. */
        size_t column = i;
        if (i >= records->names.len || !kal_bytes_equal(records->names.items[i], object->keys[i]))
            column = column_of(records, object->keys[i]);
        if (column >= KAL_RECORD_COLUMNS_MAX)
            return too_many_columns(err);
        if (column == records->cells.len)
            kal_vec_push(&records->cells, ((kal_cell){.kind = KAL_CELL_NULL}));
        records->cells.items[column] = cell_of_json(&object->items[i]);
    }
    return KAL_OK;
}

kal_status kal_records_next(kal_records *records, kal_error *err)
{
    KAL_TRY(records->is_json ? next_json(records, err) : next_csv(records, err));
    records->number++;
    return KAL_OK;
}
