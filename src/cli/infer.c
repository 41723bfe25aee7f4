#include "cli/infer.h"

#include "base/json_writer.h"
#include "types/text.h"

/* In the order in which they are preferred. */
enum {
    CAN_BOOLEAN = 1 << 0,
    CAN_BIGINT = 1 << 1,
    CAN_DOUBLE = 1 << 2,
    CAN_DATE = 1 << 3,
    CAN_TIMESTAMP = 1 << 4,
    CAN_DATETIME = 1 << 5,
    CAN_TEXT = 1 << 6,
    CAN_ALL = (1 << 7) - 1,
    SEEN_NESTED = 1 << 7, /* not a candidate: decides for JSON */
};

#define DOUBLE_EXACT_MAX (INT64_C(1) << 53)

void kal_infer_init(kal_infer *infer)
{
    *infer = (kal_infer){.possible = CAN_ALL, .ascending = true};
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* A number as people and JSON write it: no leading zeros, no plus sign. *whole_out: an integer. */
static bool is_number(kal_bytes text, bool *whole_out)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t first = at;
    while (at < text.len && is_digit(text.ptr[at]))
        at++;
    size_t digits = at - first;
    if (digits > 1 && text.ptr[first] == '0')
        return false;
    *whole_out = at == text.len;
    if (at < text.len && text.ptr[at] == '.') {
        size_t dot = at++;
        while (at < text.len && is_digit(text.ptr[at]))
            at++;
        digits += at - dot - 1;
    }
    if (digits == 0)
        return false;
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-'))
            at++;
        size_t exponent = at;
        while (at < text.len && is_digit(text.ptr[at]))
            at++;
        if (at == exponent)
            return false;
    }
    return at == text.len;
}

static unsigned classify_integer(int64_t value)
{
    bool exact = value >= -DOUBLE_EXACT_MAX && value <= DOUBLE_EXACT_MAX;
    return CAN_TEXT | CAN_BIGINT | (exact ? CAN_DOUBLE : 0u);
}

static unsigned classify_number(kal_bytes text)
{
    bool whole = false;
    int64_t integer = 0;
    double value = 0;
    if (!is_number(text, &whole))
        return CAN_TEXT;
    if (whole && kal_parse_i64(text, &integer))
        /* "-0" is no integer that would come back as it was */
        return integer == 0 && text.len > 1 ? CAN_TEXT | CAN_DOUBLE : classify_integer(integer);
    if (whole || !kal_parse_double(text, &value))
        return CAN_TEXT;
    return CAN_TEXT | CAN_DOUBLE;
}

/* The shape YYYY-MM-DD, so that a parser's leniency does not turn names into dates. */
static bool has_date_shape(kal_bytes text)
{
    static const char shape[] = "dddd-dd-dd";
    if (text.len < 10)
        return false;
    for (size_t i = 0; i < 10; i++) {
        if (shape[i] == 'd' ? !is_digit(text.ptr[i]) : text.ptr[i] != '-')
            return false;
    }
    return true;
}

static bool parses_as(kal_type_tag tag, kal_bytes text)
{
    kal_value value;
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    kal_status status = kal_value_from_text(kal_type_of(tag), text, &arena, &value, NULL);
    kal_arena_release(&arena);
    return status == KAL_OK;
}

/* The text is a date, a time of day and perhaps Z or an offset. */
static bool has_zone(kal_bytes text)
{
    for (size_t i = 16; i < text.len; i++) {
        if (text.ptr[i] == 'Z' || text.ptr[i] == 'z' || text.ptr[i] == '+' || text.ptr[i] == '-')
            return true;
    }
    return false;
}

static unsigned classify_time(kal_bytes text)
{
    if (!has_date_shape(text))
        return CAN_TEXT;
    if (text.len == 10)
        return parses_as(KAL_TYPE_DATE, text) ? CAN_TEXT | CAN_DATE | CAN_TIMESTAMP : CAN_TEXT;
    if (text.len < 16 || (text.ptr[10] != ' ' && text.ptr[10] != 'T') || text.ptr[13] != ':' ||
        !parses_as(KAL_TYPE_TIMESTAMP, text))
        return CAN_TEXT;
    /* A type without a zone would lose the offset. */
    return CAN_TEXT | (has_zone(text) ? CAN_DATETIME : CAN_TIMESTAMP);
}

static bool is_one_of(kal_bytes text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (kal_bytes_equal_nocase(text, kal_cstr(words[i])))
            return true;
    }
    return false;
}

static unsigned classify_field(kal_bytes text)
{
    static const char *const booleans[] = {"true", "false"};
    static const char *const not_finite[] = {"nan", "inf", "-inf", "infinity", "-infinity"};
    uint8_t first = text.ptr[0];
    if (is_digit(first) || first == '-' || first == '.') {
        unsigned number = classify_number(text);
        if (number != CAN_TEXT)
            return number;
        if (is_digit(first))
            return classify_time(text);
    }
    if (text.len <= 9 && is_one_of(text, booleans, KAL_ARRAY_LEN(booleans)))
        return CAN_TEXT | CAN_BOOLEAN;
    if (text.len <= 9 && is_one_of(text, not_finite, KAL_ARRAY_LEN(not_finite)))
        return CAN_TEXT | CAN_DOUBLE;
    return CAN_TEXT;
}

static unsigned classify(const kal_cell *cell)
{
    switch (cell->kind) {
    case KAL_CELL_FIELD:
        return classify_field(cell->text);
    case KAL_CELL_NUMBER:
        return classify_number(cell->text);
    case KAL_CELL_BOOL:
        return CAN_TEXT | CAN_BOOLEAN;
    case KAL_CELL_STRING:
        /* JSON has no times, so a string may be one; a quoted number was meant as text. */
        return classify_time(cell->text);
    case KAL_CELL_NESTED:
        return SEEN_NESTED;
    case KAL_CELL_NULL:
        break;
    }
    return CAN_ALL;
}

static void track_order(kal_infer *infer, unsigned possible, kal_bytes text)
{
    int64_t value = 0;
    bool integer = (possible & CAN_BIGINT) != 0 && kal_parse_i64(text, &value);
    infer->ascending = integer && (infer->values == 0 || value > infer->last);
    infer->last = value;
}

void kal_infer_add(kal_infer *infer, const kal_cell *cell)
{
    if (cell->kind == KAL_CELL_NULL) {
        infer->nulls++;
        return;
    }
    unsigned possible = classify(cell);
    if (infer->ascending)
        track_order(infer, possible, cell->text);
    if (possible == SEEN_NESTED)
        infer->possible |= SEEN_NESTED;
    else
        infer->possible &= possible | SEEN_NESTED;
    infer->values++;
}

kal_type kal_infer_type(const kal_infer *infer)
{
    static const struct {
        unsigned bit;
        kal_type_tag tag;
    } preferred[] = {{CAN_BOOLEAN, KAL_TYPE_BOOLEAN},     {CAN_BIGINT, KAL_TYPE_BIGINT},
                     {CAN_DOUBLE, KAL_TYPE_DOUBLE},       {CAN_DATE, KAL_TYPE_DATE},
                     {CAN_TIMESTAMP, KAL_TYPE_TIMESTAMP}, {CAN_DATETIME, KAL_TYPE_DATETIME}};
    if ((infer->possible & SEEN_NESTED) != 0)
        return kal_type_of(KAL_TYPE_JSON);
    for (size_t i = 0; infer->values > 0 && i < KAL_ARRAY_LEN(preferred); i++) {
        if ((infer->possible & preferred[i].bit) != 0)
            return kal_type_of(preferred[i].tag);
    }
    return kal_type_of(KAL_TYPE_TEXT);
}

bool kal_infer_is_key(const kal_infer *infer)
{
    return infer->ascending && infer->values > 0 && infer->nulls == 0 &&
           (infer->possible & CAN_BIGINT) != 0;
}
