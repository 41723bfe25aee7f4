#include "cli/render.h"

#include "base/json_writer.h"
#include "base/map.h"
#include "types/json.h"
#include "types/text.h"

#include <stdio.h>
#include <utf8proc.h>

#define DIM   "\033[2m"
#define RED   "\033[1;31m"
#define BOLD  "\033[1m"
#define RESET "\033[0m"

/* --- cells -------------------------------------------------------------------------------------*/

static void append_tree(const kal_json *json, kal_buf *out)
{
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    kal_json_write_tree(json, &w);
}

void kal_render_cell(const kal_json *cell, kal_type type, kal_arena *scratch, kal_buf *out)
{
    kal_value value;
    if (cell->kind == KAL_JSON_NULL)
        return;
    bool is_text = type.tag == KAL_TYPE_TEXT || type.tag == KAL_TYPE_JSON;
    if (cell->kind == KAL_JSON_STRING && (is_text || type.tag == KAL_TYPE_NULL)) {
        kal_buf_append_bytes(out, cell->text);
        return;
    }
    if (type.tag != KAL_TYPE_NULL && !is_text &&
        kal_value_from_json(type, cell, scratch, &value, NULL) == KAL_OK)
        kal_value_to_text(&value, out);
    else if (cell->kind == KAL_JSON_STRING || cell->kind == KAL_JSON_NUMBER)
        kal_buf_append_bytes(out, cell->text);
    else
        append_tree(cell, out);
    kal_arena_reset(scratch);
}

static kal_type column_type(const kal_reply_column *column)
{
    kal_type type;
    if (kal_type_from_json(column->data_type, &type, NULL) != KAL_OK)
        return (kal_type){0};
    return type;
}

/* --- widths ------------------------------------------------------------------------------------*/

/* One code point at the front of text: its bytes and its columns. */
static size_t next_char(kal_bytes text, size_t *columns_out)
{
    utf8proc_int32_t code = -1;
    utf8proc_ssize_t len =
        utf8proc_iterate(text.ptr, (utf8proc_ssize_t)(text.len > 4 ? 4 : text.len), &code);
    if (len <= 0) {
        *columns_out = 1;
        return 1;
    }
    int width = utf8proc_charwidth(code);
    *columns_out = width < 0 ? 0 : (size_t)width;
    return (size_t)len;
}

static bool is_printable_ascii(kal_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7E)
            return false;
    }
    return true;
}

size_t kal_text_columns(kal_bytes text)
{
    size_t columns = 0;
    if (is_printable_ascii(text))
        return text.len;
    for (size_t at = 0; at < text.len;) {
        size_t width = 0;
        at += next_char(kal_bytes_of(text.ptr + at, text.len - at), &width);
        columns += width;
    }
    return columns;
}

/* --- table -------------------------------------------------------------------------------------*/

/* Where the text of a cell lies in the buffer of all cells. */
typedef struct shown_cell {
    size_t begin;
    size_t len;
    size_t columns;
    bool is_null;
} shown_cell;

typedef struct shown_table {
    kal_buf text;              /* of all cells, header first */
    KAL_VEC(shown_cell) cells; /* (1 + rows) * columns */
    KAL_VEC(size_t) widths;    /* one a column */
    KAL_VEC(bool) right;       /* numbers stand to the right */
    size_t column_count;
    size_t row_count;
    bool any_cut;
} shown_table;

/* True for what a terminal would act upon: C0 and C1 controls, DEL, and the characters that turn
 * the direction of writing. */
static bool is_control(utf8proc_int32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x200E && code <= 0x200F) ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

static void append_escape(utf8proc_int32_t code, kal_buf *out)
{
    switch (code) {
    case '\n':
        kal_buf_append_cstr(out, "\\n");
        break;
    case '\r':
        kal_buf_append_cstr(out, "\\r");
        break;
    case '\t':
        kal_buf_append_cstr(out, "\\t");
        break;
    default:
        kal_buf_printf(out, code < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)code);
        break;
    }
}

/* Appends text with controls escaped, cut to columns_max columns (0: not cut). */
static size_t append_visible(kal_bytes text, size_t columns_max, kal_buf *out, bool *cut_out)
{
    size_t columns = 0;
    size_t limit = columns_max == 0 ? SIZE_MAX : columns_max - 1; /* the last is for the dots */
    size_t last_fit = out->len;                                   /* where a cut would be made */
    size_t last_columns = 0;
    for (size_t at = 0; at < text.len;) {
        utf8proc_int32_t code = -1;
        size_t width = 0;
        size_t len = next_char(kal_bytes_of(text.ptr + at, text.len - at), &width);
        size_t before = out->len;
        if (utf8proc_iterate(text.ptr + at, (utf8proc_ssize_t)len, &code) <= 0)
            code = 0xFFFD;
        if (is_control(code)) {
            append_escape(code, out);
            width = out->len - before;
        } else if (code == 0xFFFD) {
            kal_buf_append_cstr(out, "\xEF\xBF\xBD");
            width = 1;
        } else {
            kal_buf_append(out, text.ptr + at, len);
        }
        columns += width;
        at += len;
        if (columns <= limit) {
            last_fit = out->len;
            last_columns = columns;
        } else if (columns > limit + 1) {
            kal_buf_truncate(out, last_fit);
            kal_buf_append_cstr(out, "\xE2\x80\xA6"); /* ellipsis */
            *cut_out = true;
            return last_columns + 1;
        }
    }
    return columns;
}

static void add_cell(shown_table *table, kal_bytes text, bool is_null, size_t column,
                     unsigned columns_max)
{
    shown_cell cell = {.begin = table->text.len, .is_null = is_null};
    if (is_null) {
        kal_buf_append_cstr(&table->text, "NULL");
        cell.columns = 4;
    } else {
        cell.columns = append_visible(text, columns_max, &table->text, &table->any_cut);
    }
    cell.len = table->text.len - cell.begin;
    if (cell.columns > table->widths.items[column])
        table->widths.items[column] = cell.columns;
    kal_vec_push(&table->cells, cell);
}

static void fill_table(shown_table *table, const kal_reply_result *result,
                       const kal_render_options *options)
{
    kal_arena scratch;
    kal_buf cell;
    KAL_VEC(kal_type) types = {0};
    kal_arena_init(&scratch, NULL);
    kal_buf_init(&cell, NULL);
    table->column_count = result->column_count;
    table->row_count = result->rows == NULL ? 0 : result->rows->len;
    for (size_t c = 0; c < result->column_count; c++) {
        kal_type type = column_type(&result->columns[c]);
        kal_vec_push(&types, type);
        kal_vec_push(&table->right, kal_type_is_numeric(type));
        kal_vec_push(&table->widths, 0);
        add_cell(table, result->columns[c].name, false, c, options->cell_columns_max);
    }
    for (size_t r = 0; r < table->row_count; r++) {
        for (size_t c = 0; c < result->column_count; c++) {
            const kal_json *json = kal_reply_cell(result, r, c);
            kal_buf_clear(&cell);
            kal_render_cell(json, types.items[c], &scratch, &cell);
            add_cell(table, kal_buf_bytes(&cell), json->kind == KAL_JSON_NULL, c,
                     options->cell_columns_max);
        }
    }
    kal_vec_release(&types);
    kal_buf_release(&cell);
    kal_arena_release(&scratch);
}

static void release_table(shown_table *table)
{
    kal_buf_release(&table->text);
    kal_vec_release(&table->cells);
    kal_vec_release(&table->widths);
    kal_vec_release(&table->right);
}

typedef struct box_lines {
    const char *left[3]; /* top, middle, bottom */
    const char *cross[3];
    const char *right[3];
    const char *across;
    const char *down;
} box_lines;

static const box_lines UNICODE_LINES = {
    .left = {"\u250C", "\u251C", "\u2514"},
    .cross = {"\u252C", "\u253C", "\u2534"},
    .right = {"\u2510", "\u2524", "\u2518"},
    .across = "\u2500",
    .down = "\u2502",
};
static const box_lines ASCII_LINES = {
    .left = {"+", "+", "+"},
    .cross = {"+", "+", "+"},
    .right = {"+", "+", "+"},
    .across = "-",
    .down = "|",
};

static void append_repeated(const char *text, size_t count, kal_buf *out)
{
    for (size_t i = 0; i < count; i++)
        kal_buf_append_cstr(out, text);
}

static void append_rule(const shown_table *table, const box_lines *lines, int which, kal_buf *out)
{
    kal_buf_append_cstr(out, lines->left[which]);
    for (size_t c = 0; c < table->column_count; c++) {
        if (c > 0)
            kal_buf_append_cstr(out, lines->cross[which]);
        append_repeated(lines->across, table->widths.items[c] + 2, out);
    }
    kal_buf_append_cstr(out, lines->right[which]);
    kal_buf_append_byte(out, '\n');
}

static void append_shown(const shown_table *table, const shown_cell *cell, const char *style,
                         kal_buf *out)
{
    kal_buf_append_cstr(out, style);
    kal_buf_append(out, table->text.ptr + cell->begin, cell->len);
    if (style[0] != '\0')
        kal_buf_append_cstr(out, RESET);
}

static const char *style_of(const shown_cell *cell, bool is_header, bool color)
{
    if (!color)
        return "";
    return is_header ? BOLD : cell->is_null ? DIM : "";
}

/* row 0 is the header. */
static void append_row(const shown_table *table, const box_lines *lines, size_t row, bool color,
                       kal_buf *out)
{
    for (size_t c = 0; c < table->column_count; c++) {
        const shown_cell *cell = &table->cells.items[row * table->column_count + c];
        size_t padding = table->widths.items[c] - cell->columns;
        bool right = table->right.items[c];
        kal_buf_append_cstr(out, lines->down);
        append_repeated(" ", 1 + (right ? padding : 0), out);
        append_shown(table, cell, style_of(cell, row == 0, color), out);
        append_repeated(" ", 1 + (right ? 0 : padding), out);
    }
    kal_buf_append_cstr(out, lines->down);
    kal_buf_append_byte(out, '\n');
}

static void append_box(const shown_table *table, const kal_render_options *options, kal_buf *out)
{
    const box_lines *lines = options->ascii ? &ASCII_LINES : &UNICODE_LINES;
    append_rule(table, lines, 0, out);
    append_row(table, lines, 0, options->color, out);
    append_rule(table, lines, 1, out);
    for (size_t r = 1; r <= table->row_count; r++)
        append_row(table, lines, r, options->color, out);
    append_rule(table, lines, 2, out);
}

/* One line a value: names to the left, values to the right. */
static void append_expanded(const shown_table *table, const kal_render_options *options,
                            kal_buf *out)
{
    size_t name_width = 0;
    for (size_t c = 0; c < table->column_count; c++) {
        if (table->cells.items[c].columns > name_width)
            name_width = table->cells.items[c].columns;
    }
    for (size_t r = 1; r <= table->row_count; r++) {
        kal_buf_printf(out, "-[ row %zu ]-\n", r);
        for (size_t c = 0; c < table->column_count; c++) {
            const shown_cell *name = &table->cells.items[c];
            const shown_cell *cell = &table->cells.items[r * table->column_count + c];
            append_shown(table, name, options->color ? BOLD : "", out);
            append_repeated(" ", name_width - name->columns, out);
            kal_buf_append_cstr(out, " | ");
            append_shown(table, cell, style_of(cell, false, options->color), out);
            kal_buf_append_byte(out, '\n');
        }
    }
}

void kal_render_count(uint64_t value, kal_buf *out)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            kal_buf_append_byte(out, ',');
        kal_buf_append_byte(out, (uint8_t)digits[i]);
    }
}

static void append_footer(const char *text, double took_ms, const kal_render_options *options,
                          kal_buf *out)
{
    kal_buf_append_cstr(out, options->color ? DIM : "");
    kal_buf_append_cstr(out, text);
    if (options->timing)
        kal_buf_printf(out, "%sTook: %.3f ms", text[0] == '\0' ? "" : "  ", took_ms);
    kal_buf_append_cstr(out, options->color ? RESET "\n" : "\n");
}

static void render_table(const kal_reply_result *result, double took_ms,
                         const kal_render_options *options, kal_buf *out)
{
    shown_table table = {0};
    kal_buf footer;
    kal_buf_init(&table.text, NULL);
    kal_buf_init(&footer, NULL);
    fill_table(&table, result, options);
    if (options->expanded)
        append_expanded(&table, options, out);
    else
        append_box(&table, options, out);
    kal_buf_append_byte(&footer, '(');
    kal_render_count(table.row_count, &footer);
    kal_buf_append_cstr(&footer, table.row_count == 1 ? " row)" : " rows)");
    if (table.any_cut)
        kal_buf_append_cstr(&footer, "  long values are cut, \\x shows them");
    kal_buf_append_byte(&footer, 0);
    append_footer((const char *)footer.ptr, took_ms, options, out);
    kal_buf_release(&footer);
    release_table(&table);
}

/* --- CSV ---------------------------------------------------------------------------------------*/

static bool needs_quotes(kal_bytes text)
{
    if (text.len == 0)
        return true; /* tells an empty text from NULL */
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte == ',' || byte == '"' || byte == '\n' || byte == '\r')
            return true;
    }
    return false;
}

static void append_csv_field(kal_bytes text, kal_buf *out)
{
    if (!needs_quotes(text)) {
        kal_buf_append_bytes(out, text);
        return;
    }
    kal_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            kal_buf_append_byte(out, '"');
        kal_buf_append_byte(out, text.ptr[i]);
    }
    kal_buf_append_byte(out, '"');
}

static void render_csv(const kal_reply_result *result, kal_buf *out)
{
    kal_arena scratch;
    kal_buf cell;
    KAL_VEC(kal_type) types = {0};
    kal_arena_init(&scratch, NULL);
    kal_buf_init(&cell, NULL);
    for (size_t c = 0; c < result->column_count; c++) {
        kal_vec_push(&types, column_type(&result->columns[c]));
        kal_buf_append_cstr(out, c == 0 ? "" : ",");
        append_csv_field(result->columns[c].name, out);
    }
    kal_buf_append_byte(out, '\n');
    size_t row_count = result->rows == NULL ? 0 : result->rows->len;
    for (size_t r = 0; r < row_count; r++) {
        for (size_t c = 0; c < result->column_count; c++) {
            const kal_json *json = kal_reply_cell(result, r, c);
            kal_buf_append_cstr(out, c == 0 ? "" : ",");
            if (json->kind == KAL_JSON_NULL)
                continue;
            kal_buf_clear(&cell);
            kal_render_cell(json, types.items[c], &scratch, &cell);
            append_csv_field(kal_buf_bytes(&cell), out);
        }
        kal_buf_append_byte(out, '\n');
    }
    kal_vec_release(&types);
    kal_buf_release(&cell);
    kal_arena_release(&scratch);
}

/* --- JSON --------------------------------------------------------------------------------------*/

/* Names of members are distinct: a second "a" is written as "a_2". */
static void distinct_names(const kal_reply_result *result, kal_arena *arena, kal_bytes *names)
{
    kal_map taken;
    kal_map_init(&taken);
    for (size_t c = 0; c < result->column_count; c++) {
        names[c] = result->columns[c].name;
        for (size_t n = 2; kal_map_find(&taken, names[c]) != NULL; n++)
            names[c] =
                kal_cstr(kal_arena_printf(arena, "%.*s_%zu", KAL_FMT(result->columns[c].name), n));
        kal_map_put(&taken, names[c], (void *)(uintptr_t)1);
    }
    kal_map_release(&taken);
}

static void render_json(const kal_reply_result *result, kal_buf *out)
{
    kal_json_writer w;
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    kal_bytes *names = kal_arena_alloc(&arena, result->column_count * sizeof *names);
    distinct_names(result, &arena, names);
    size_t row_count = result->rows == NULL ? 0 : result->rows->len;
    kal_buf_append_byte(out, '[');
    for (size_t r = 0; r < row_count; r++) {
        kal_buf_append_cstr(out, r == 0 ? "\n" : ",\n");
        kal_json_writer_init(&w, out);
        kal_json_begin_object(&w);
        for (size_t c = 0; c < result->column_count; c++) {
            kal_json_key_bytes(&w, names[c]);
            kal_json_write_tree(kal_reply_cell(result, r, c), &w);
        }
        kal_json_end_object(&w);
    }
    kal_buf_append_cstr(out, row_count == 0 ? "]\n" : "\n]\n");
    kal_arena_release(&arena);
}

static void render_message(const kal_reply_result *result, double took_ms,
                           const kal_render_options *options, kal_buf *out)
{
    kal_buf text;
    bool cut = false;
    if (options->format != KAL_CLI_FORMAT_TABLE)
        return;
    kal_buf_init(&text, NULL);
    if (result->message.len > 0)
        append_visible(result->message, 0, &text, &cut);
    else
        kal_buf_append_cstr(&text, "OK");
    kal_buf_append_byte(&text, 0);
    append_footer((const char *)text.ptr, took_ms, options, out);
    kal_buf_release(&text);
}

void kal_render_result(const kal_reply_result *result, double took_ms,
                       const kal_render_options *options, kal_buf *out)
{
    if (result->column_count == 0) {
        render_message(result, took_ms, options, out);
        return;
    }
    switch (options->format) {
    case KAL_CLI_FORMAT_TABLE:
        render_table(result, took_ms, options, out);
        break;
    case KAL_CLI_FORMAT_CSV:
        render_csv(result, out);
        break;
    case KAL_CLI_FORMAT_JSON:
        render_json(result, out);
        break;
    }
}

/* --- errors ------------------------------------------------------------------------------------*/

#define EXCERPT_COLUMNS_MAX 100u

/* Shows at most EXCERPT_COLUMNS_MAX bytes of the line, around the position. */
static void append_excerpt(const kal_render_error *error, kal_buf *out)
{
    size_t position = (size_t)error->position;
    kal_bytes sql = error->sql;
    size_t begin = position;
    size_t end = position;
    bool cut = false;
    while (begin > 0 && sql.ptr[begin - 1] != '\n')
        begin--;
    while (end < sql.len && sql.ptr[end] != '\n')
        end++;
    if (position - begin > EXCERPT_COLUMNS_MAX / 2)
        begin = position - EXCERPT_COLUMNS_MAX / 2;
    if (end - begin > EXCERPT_COLUMNS_MAX)
        end = begin + EXCERPT_COLUMNS_MAX;
    while (begin < position && (sql.ptr[begin] & 0xC0) == 0x80)
        begin++; /* not inside a character */
    while (end > position && end < sql.len && (sql.ptr[end] & 0xC0) == 0x80)
        end--;
    kal_buf_append_cstr(out, "  ");
    append_visible(kal_bytes_of(sql.ptr + begin, position - begin), 0, out, &cut);
    append_visible(kal_bytes_of(sql.ptr + position, end - position), 0, out, &cut);
    kal_buf before;
    kal_buf_init(&before, NULL);
    size_t columns =
        append_visible(kal_bytes_of(sql.ptr + begin, position - begin), 0, &before, &cut);
    kal_buf_release(&before);
    kal_buf_append_cstr(out, "\n  ");
    append_repeated(" ", columns, out);
    kal_buf_append_cstr(out, "^\n");
}

void kal_render_error_text(const kal_render_error *error, bool color, kal_buf *out)
{
    bool cut = false;
    bool has_place =
        error->position >= 0 && (uint64_t)error->position <= error->sql.len && error->sql.len > 0;
    kal_buf_append_cstr(out, color ? RED "error:" RESET " " : "error: ");
    if (error->file != NULL) {
        uint64_t line = error->line;
        for (size_t i = 0; has_place && i < (size_t)error->position; i++)
            line += error->sql.ptr[i] == '\n';
        kal_buf_printf(out, "%s:%llu: ", error->file, (unsigned long long)line);
    }
    append_visible(error->message, 0, out, &cut);
    if (error->code.len > 0 && !kal_bytes_equal(error->code, error->message)) {
        kal_buf_append_cstr(out, color ? DIM " (" : " (");
        append_visible(error->code, 0, out, &cut);
        kal_buf_append_cstr(out, color ? ")" RESET : ")");
    }
    kal_buf_append_byte(out, '\n');
    if (has_place)
        append_excerpt(error, out);
    if (error->hint.len > 0) {
        kal_buf_append_cstr(out, "hint: ");
        append_visible(error->hint, 0, out, &cut);
        kal_buf_append_byte(out, '\n');
    }
}
