/*
 * rows.c: numbers as rows and back.
 */
#include "rows.h"

#include "base/assert.h"
#include "types/key.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum column_role { ROLE_NONE, ROLE_ID, ROLE_NAME, ROLE_PLACE, ROLE_NUMBER, ROLE_TEXT } role;

typedef struct shape_spec {
    role columns[SIM_COLUMNS_MAX]; /* in the order of the columns */
    role key[2];                   /* in the order of the key */
} shape_spec;

static const shape_spec SHAPES[SIM_SHAPES] = {
    {{ROLE_ID, ROLE_NUMBER, ROLE_TEXT}, {ROLE_ID}},
    {{ROLE_NAME, ROLE_NUMBER, ROLE_PLACE, ROLE_TEXT}, {ROLE_NAME, ROLE_PLACE}},
    {{ROLE_TEXT, ROLE_NAME, ROLE_PLACE, ROLE_NUMBER}, {ROLE_PLACE, ROLE_NAME}},
};

static const char *const ROLE_NAMES[] = {"", "id", "name", "place", "number", "note"};
static const kal_type_tag ROLE_TYPES[] = {KAL_TYPE_NULL, KAL_TYPE_BIGINT, KAL_TYPE_TEXT,
                                          KAL_TYPE_INT,  KAL_TYPE_BIGINT, KAL_TYPE_TEXT};

/* Ascending; the middle ones are told apart by what follows a common beginning, a NUL among it. */
static const kal_bytes KEY_NAMES[SIM_KEY_GROUP] = {KAL_STR(""), KAL_STR("a"), KAL_STR("a\0"),
                                                   KAL_STR("ab")};

enum { TEXT_BYTES_MAX = 96 };

#define ID_STEP INT64_C(3000000007)

bool sim_image_equal(const sim_image *a, const sim_image *b)
{
    return a->has_number == b->has_number && (!a->has_number || a->number == b->number) &&
           a->text == b->text;
}

static size_t column_count(unsigned shape)
{
    size_t count = 0;
    while (count < SIM_COLUMNS_MAX && SHAPES[shape].columns[count] != ROLE_NONE)
        count++;
    return count;
}

static size_t key_count(unsigned shape)
{
    return SHAPES[shape].key[1] == ROLE_NONE ? 1 : 2;
}

kal_status sim_definition(kal_bytes ns, kal_bytes name, kal_table_type type, unsigned shape,
                          int64_t now_us, kal_arena *arena, kal_table_definition **out,
                          kal_error *err)
{
    const shape_spec *spec = &SHAPES[shape];
    kal_table_options options = kal_table_options_default(type);
    kal_column columns[SIM_COLUMNS_MAX];
    kal_bytes key_names[2];

    options.ttl_seconds = type == KAL_TABLE_STREAM ? INT64_MAX : 0; /* time is another test's */

    for (size_t i = 0; i < column_count(shape); i++) {
        role r = spec->columns[i];
        columns[i] = kal_column_simple(ROLE_NAMES[r], (uint32_t)i + 1, kal_type_of(ROLE_TYPES[r]));
        columns[i].is_primary_key = r != ROLE_NUMBER && r != ROLE_TEXT;
        columns[i].is_nullable = !columns[i].is_primary_key;
    }
    for (size_t i = 0; i < key_count(shape); i++)
        key_names[i] = kal_cstr(ROLE_NAMES[spec->key[i]]);
    return kal_table_definition_create(ns, name, type, columns, column_count(shape), key_names,
                                       key_count(shape), &options, now_us, arena, out, err);
}

void sim_layout(unsigned shape, kal_arena *arena, kal_row_layout *layout_out)
{
    kal_type types[SIM_COLUMNS_MAX];
    for (size_t i = 0; i < column_count(shape); i++)
        types[i] = kal_type_of(ROLE_TYPES[SHAPES[shape].columns[i]]);
    kal_row_layout_init(layout_out, types, column_count(shape), arena);
}

/* Of different lengths, so that rows of one table differ in size. */
static kal_bytes text_of(unsigned text, char out[TEXT_BYTES_MAX])
{
    static const char FILL[] = "............................................................";
    int fill = (int)(text * 7 % 60);
    int len = snprintf(out, TEXT_BYTES_MAX, "%u:%.*s", text, fill, FILL);
    return kal_bytes_of(out, (size_t)len);
}

/* The key's number in two digits: composite keys show both, in the order of the key's columns. */
static kal_value key_value(unsigned shape, role r, unsigned key)
{
    bool is_first = SHAPES[shape].key[0] == r;
    unsigned digit = is_first ? key / SIM_KEY_GROUP : key % SIM_KEY_GROUP;
    if (r == ROLE_ID)
        return kal_value_bigint(((int64_t)key - SIM_KEYS / 2) * ID_STEP);
    if (r == ROLE_NAME)
        return kal_value_text(KEY_NAMES[digit]);
    return kal_value_integer(KAL_TYPE_INT, (int64_t)digit - 2);
}

void sim_values(unsigned shape, unsigned key, const sim_image *image, kal_arena *arena,
                kal_value values_out[SIM_COLUMNS_MAX])
{
    char text[TEXT_BYTES_MAX];
    for (size_t i = 0; i < column_count(shape); i++) {
        role r = SHAPES[shape].columns[i];
        kal_type type = kal_type_of(ROLE_TYPES[r]);
        if (r == ROLE_NUMBER)
            values_out[i] =
                image->has_number ? kal_value_bigint(image->number) : kal_value_null(type);
        else if (r == ROLE_TEXT)
            values_out[i] = image->text == 0
                                ? kal_value_null(type)
                                : kal_value_text(kal_arena_copy(arena, text_of(image->text, text)));
        else
            values_out[i] = key_value(shape, r, key);
    }
}

static kal_bytes buf_into_arena(kal_buf *buf, kal_arena *arena)
{
    kal_bytes copy = kal_arena_copy(arena, kal_buf_bytes(buf));
    kal_buf_release(buf);
    return copy;
}

kal_bytes sim_key(const kal_table *table, unsigned shape, unsigned key, kal_arena *arena)
{
    kal_value values[2];
    kal_buf buf; /* owned */

    kal_buf_init(&buf, NULL);
    for (size_t i = 0; i < key_count(shape); i++)
        values[i] = key_value(shape, SHAPES[shape].key[i], key);
    kal_status status = kal_table_key(table, values, &buf, NULL);
    KAL_ASSERT(status == KAL_OK);
    return buf_into_arena(&buf, arena);
}

kal_bytes sim_bound(const kal_table *table, unsigned shape, unsigned key, kal_arena *arena)
{
    if (key_count(shape) == 1 || key % SIM_KEY_GROUP != 0)
        return sim_key(table, shape, key, arena);
    kal_value first = key_value(shape, SHAPES[shape].key[0], key);
    kal_buf buf; /* owned */
    kal_buf_init(&buf, NULL);
    kal_key_append(&buf, &first);
    return buf_into_arena(&buf, arena);
}

static bool read_text(const kal_value *value, unsigned *text_out)
{
    char number[12] = {0};
    char expected[TEXT_BYTES_MAX];

    *text_out = 0;
    if (value->is_null)
        return true;
    memcpy(number, value->bytes.ptr,
           value->bytes.len < sizeof number - 1 ? value->bytes.len : sizeof number - 1);
    *text_out = (unsigned)strtoul(number, NULL, 10);
    return kal_bytes_equal(value->bytes, text_of(*text_out, expected));
}

/* One column of a key as its digit; any number for a value that is none. */
static unsigned digit_of(role r, const kal_value *value)
{
    if (r == ROLE_ID)
        return (unsigned)(value->integer / ID_STEP + SIM_KEYS / 2);
    if (r == ROLE_PLACE)
        return (unsigned)(value->integer + 2);
    for (unsigned digit = 0; digit < SIM_KEY_GROUP; digit++) {
        if (kal_bytes_equal(value->bytes, KEY_NAMES[digit]))
            return digit;
    }
    return SIM_KEYS;
}

/* The key whose columns these are, or SIM_KEYS. */
static unsigned find_key(unsigned shape, const kal_row *row)
{
    const shape_spec *spec = &SHAPES[shape];
    kal_value found[SIM_COLUMNS_MAX];
    unsigned key = 0;
    size_t columns = column_count(shape);

    for (size_t i = 0; i < columns; i++) {
        role r = spec->columns[i];
        kal_row_get(row, i, &found[i]);
        if (r == spec->key[0])
            key += digit_of(r, &found[i]) * (spec->key[1] == ROLE_NONE ? 1 : SIM_KEY_GROUP);
        else if (r == spec->key[1])
            key += digit_of(r, &found[i]);
    }
    for (size_t i = 0; i < columns && key < SIM_KEYS; i++) {
        role r = spec->columns[i];
        if (r == ROLE_NUMBER || r == ROLE_TEXT)
            continue;
        kal_value expected = key_value(shape, r, key);
        if (!kal_value_identical(&expected, &found[i]))
            key = SIM_KEYS;
    }
    return key < SIM_KEYS ? key : SIM_KEYS;
}

bool sim_read(unsigned shape, const kal_row *row, unsigned *key_out, sim_image *image_out)
{
    bool readable = true;
    *image_out = (sim_image){0};
    *key_out = find_key(shape, row);
    for (size_t i = 0; i < column_count(shape); i++) {
        role r = SHAPES[shape].columns[i];
        kal_value value;
        kal_row_get(row, i, &value);
        if (r == ROLE_NUMBER && !value.is_null) {
            image_out->has_number = true;
            image_out->number = value.integer;
        } else if (r == ROLE_TEXT) {
            readable = read_text(&value, &image_out->text);
        }
    }
    return readable && *key_out < SIM_KEYS;
}
