/*
 * assign.c: assignment to a column: the casts of cast.c, but only where nothing is lost.
 *
 * A number goes into an integer only when it is whole, and into a DECIMAL only when the digits
 * beyond its scale are zero. DOUBLE and FLOAT count as the shortest decimal number that names them,
 * the one they are shown as: 0.1 fits DECIMAL(2, 1), although the binary number is not exactly 0.1.
 * FLOAT and DOUBLE as targets round: that is what they are. BOOLEAN is no number; of the numbers
 * only 0 and 1 are BOOLEAN. Times convert as in cast.c: a DATE keeps the day of a TIMESTAMP.
 */
#include "base/assert.h"
#include "types/json.h"
#include "types/text.h"
#include "types/text_internal.h"

enum { SHOWN_BYTES_MAX = 64 };

static bool is_number(kal_type type)
{
    return kal_type_is_integer(type) || type.tag == KAL_TYPE_DECIMAL ||
           type.tag == KAL_TYPE_FLOAT || type.tag == KAL_TYPE_DOUBLE;
}

static kal_status cannot_assign(kal_type from, kal_type to, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    char other[KAL_TYPE_NAME_BYTES];
    kal_error_set(err, KAL_INVALID, "%s is not assigned to %s", kal_type_name(from, name),
                  kal_type_name(to, other));
    kal_error_hint(err, "convert it: CAST(… AS %s)", other);
    return KAL_INVALID;
}

static kal_status would_lose(kal_bytes text, kal_type type, kal_error *err)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_type_name(type, name);
    if (text.len > SHOWN_BYTES_MAX) /* a number: ASCII */
        text.len = SHOWN_BYTES_MAX;
    if (kal_type_is_integer(type))
        kal_error_set(err, KAL_INVALID, "value %.*s is not a whole number, %s would round it",
                      KAL_FMT(text), name);
    else
        kal_error_set(err, KAL_INVALID,
                      "value %.*s has more than %u decimal places, %s would round it",
                      KAL_FMT(text), type.scale, name);
    kal_error_hint(err, "where rounding is meant, say so: CAST(… AS %s)", name);
    return KAL_INVALID;
}

/* The number, if v is one that has a decimal form; *text: for messages, appended to. */
static bool number_of(const kal_value *v, kal_buf *text, kal_number *number_out)
{
    if (v->type.tag == KAL_TYPE_TEXT)
        return kal_number_scan(v->bytes, false, number_out);
    kal_value_to_text(v, text); /* nan and inf are none */
    return kal_number_scan(kal_buf_bytes(text), false, number_out);
}

static bool fits(kal_number number, kal_type type)
{
    if (type.tag == KAL_TYPE_DECIMAL)
        number.exponent += type.scale; /* far from overflow: it is bounded */
    return kal_number_is_integral(&number);
}

/* Into an integer or DECIMAL. What is no number is left to the cast, which says so. */
static kal_status check_digits(const kal_value *v, kal_type type, kal_error *err)
{
    kal_number number;
    kal_buf text;
    kal_status status = KAL_OK;

    kal_buf_init(&text, NULL); /* of numbers only: small */
    if (number_of(v, &text, &number) && !fits(number, type))
        status = would_lose(text.len > 0 ? kal_buf_bytes(&text) : v->bytes, type, err);
    kal_buf_release(&text);
    return status;
}

/* A number in JSON, also in quotes. */
static kal_status check_json_digits(const kal_value *v, kal_type type, kal_arena *arena,
                                    kal_error *err)
{
    kal_json *json = NULL;
    if (kal_json_parse(v->bytes, arena, &json, NULL) != KAL_OK ||
        (json->kind != KAL_JSON_NUMBER && json->kind != KAL_JSON_STRING))
        return KAL_OK; /* the cast says what is wrong */
    kal_value text = kal_value_text(json->text);
    return check_digits(&text, type, err);
}

/* By its digits: scaling in floating point would round where they are many. */
static kal_status decimal_of_floating(const kal_value *v, kal_type type, kal_value *value_out,
                                      kal_arena *arena, kal_error *err)
{
    kal_buf text;
    kal_buf_init(&text, NULL);
    kal_value_to_text(v, &text);
    kal_status status = kal_value_from_text(type, kal_buf_bytes(&text), arena, value_out, err);
    kal_buf_release(&text);
    return status;
}

static kal_status check_boolean(const kal_value *v, kal_error *err)
{
    kal_value number;
    kal_type wide = kal_type_of(KAL_TYPE_BIGINT);

    if (kal_value_assign(v, wide, NULL, &number, NULL) == KAL_OK &&
        (number.integer == 0 || number.integer == 1))
        return KAL_OK;
    kal_buf text;
    kal_buf_init(&text, NULL);
    kal_value_to_text(v, &text);
    kal_status status = kal_out_of_range(kal_type_of(KAL_TYPE_BOOLEAN), kal_buf_bytes(&text), err);
    kal_buf_release(&text);
    return status;
}

kal_status kal_value_assign(const kal_value *v, kal_type type, kal_arena *arena,
                            kal_value *value_out, kal_error *err)
{
    bool from_floating = v->type.tag == KAL_TYPE_FLOAT || v->type.tag == KAL_TYPE_DOUBLE;
    bool to_digits = kal_type_is_integer(type) || type.tag == KAL_TYPE_DECIMAL;

    KAL_ASSERT(kal_type_valid(type));
    if (v->is_null || kal_type_equal(v->type, type))
        return kal_value_cast(v, type, arena, value_out, err);
    if (v->type.tag == KAL_TYPE_BOOLEAN && is_number(type))
        return cannot_assign(v->type, type, err);
    if (type.tag == KAL_TYPE_BOOLEAN && is_number(v->type))
        KAL_TRY(check_boolean(v, err));
    if (to_digits &&
        (from_floating || v->type.tag == KAL_TYPE_DECIMAL || v->type.tag == KAL_TYPE_TEXT))
        KAL_TRY(check_digits(v, type, err));
    if (to_digits && v->type.tag == KAL_TYPE_JSON)
        KAL_TRY(check_json_digits(v, type, arena, err));
    if (type.tag == KAL_TYPE_DECIMAL && from_floating)
        return decimal_of_floating(v, type, value_out, arena, err);
    return kal_value_cast(v, type, arena, value_out, err);
}
