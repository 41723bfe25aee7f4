/*
 * Assignment to columns: what is stored is what was given, or the statement is refused.
 *
 * Goal: no fraction and no decimal place vanishes on its way into a column, whichever way it goes:
 * the own evaluator, DuckDB, parameters, the lane. Method: numbers made of digits and a power of
 * ten (so that what must happen is computed with integers), written as literal, as DOUBLE and as
 * text; each is assigned in every way, and all must store the expected value or all be refused.
 */
#include "unit/base/seed.h"

#include "sql/database.h"
#include "types/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 150 };

static int set_up(void **state)
{
    test_db *db = test_db_open(false);
    test_db_run(db, "CREATE NAMESPACE app");
    test_db_run(db, "CREATE TABLE app.t (id INT PRIMARY KEY, b BOOLEAN, s SMALLINT, i INT, "
                    "l BIGINT, m DECIMAL(6,2), w DECIMAL(38,10), f FLOAT, d DOUBLE, t TEXT)");
    test_db_run(db, "CREATE TABLE app.k (id BIGINT PRIMARY KEY)");
    *state = db;
    return 0;
}

static int tear_down(void **state)
{
    test_db_close(*state);
    return 0;
}

typedef struct way {
    const char *name;
    const char *prepare; /* or NULL */
    const char *format;  /* %s: column, %s: expression; both twice at most */
} way;

static const way WAYS[] = {
    {"VALUES", NULL, "INSERT INTO app.t (id, %s) VALUES (1, %s)"},
    {"SELECT", NULL, "INSERT INTO app.t (id, %s) SELECT 1, %s"},
    {"UPDATE by key", "INSERT INTO app.t (id) VALUES (1)", "UPDATE app.t SET %s = %s WHERE id = 1"},
    {"UPDATE by scan", "INSERT INTO app.t (id) VALUES (1)",
     "UPDATE app.t SET %s = %s WHERE b IS NULL"},
    {"UPDATE by DuckDB", "INSERT INTO app.t (id) VALUES (1)",
     "UPDATE app.t SET %s = %s WHERE strlen('x' || id) = 2"},
    {"ON CONFLICT", "INSERT INTO app.t (id) VALUES (1)",
     "INSERT INTO app.t (id) VALUES (1) ON CONFLICT DO UPDATE SET %s = %s"},
};

/* Assigns in one way; stored must be what is read back as text, or NULL for a refusal. */
static void assign(test_db *db, const way *w, const char *column, const char *expression,
                   const char *stored)
{
    char sql[512];
    char expected[128];
    test_db_run(db, "DELETE FROM app.t");
    if (w->prepare != NULL)
        test_db_run(db, w->prepare);
    snprintf(sql, sizeof sql, w->format, column, expression);
    test_reply reply = test_db_query(db, &(test_query){.sql = sql});
    if (reply.code != NULL && strcmp(reply.code, "UNSUPPORTED") == 0) {
        assert_ptr_equal(w, &WAYS[KAL_ARRAY_LEN(WAYS) - 1]); /* only the own evaluator there */
        test_reply_release(&reply);
        return;
    }
    if ((reply.code == NULL) != (stored != NULL))
        fail_msg("%s: %s: expected %s, got %s", w->name, sql, stored == NULL ? "a refusal" : stored,
                 reply.code == NULL ? "it stored" : reply.message);
    if (reply.code != NULL && strcmp(reply.code, "INVALID_INPUT") != 0)
        fail_msg("%s: %s: refused as %s: %s", w->name, sql, reply.code, reply.message);
    test_reply_release(&reply);
    if (stored == NULL)
        return;
    snprintf(sql, sizeof sql, "SELECT CAST(%s AS TEXT) FROM app.t", column);
    snprintf(expected, sizeof expected, "[[\"%s\"]]", stored);
    test_db_expect(db, NULL, sql, expected);
}

static void assign_in_all_ways(test_db *db, const char *column, const char *expression,
                               const char *stored)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(WAYS); i++)
        assign(db, &WAYS[i], column, expression, stored);
}

static void what_is_kept_and_what_refused(void **state)
{
    static const struct {
        const char *column;
        const char *expression;
        const char *stored; /* NULL: refused */
    } cases[] = {
        {"s", "1.5", NULL},
        {"s", "'5.5'", NULL},
        {"s", "2.50e0", NULL},
        {"s", "-0.5", NULL},
        {"s", "7.000", "7"},
        {"s", "' 70e-1 '", "7"},
        {"s", "1e3", "1000"},
        {"s", "40000", NULL},
        {"s", "'nan'", NULL},
        {"i", "CAST('inf' AS DOUBLE)", NULL},
        {"l", "1e-30", NULL},
        {"l", "9007199254740993", "9007199254740993"},
        {"i", "CAST(2.5 AS INT)", "3"}, /* DuckDB's own, because it was asked for */
        {"i", "round(2.4)", "2"},
        {"m", "1.005", NULL},
        {"m", "1.50000", "1.50"},
        {"m", "'0.123'", NULL},
        {"m", "0.1e0", "0.10"},
        {"m", "0.125e0", NULL},
        {"m", "12345", NULL},
        {"m", "CAST(1.005 AS DECIMAL(6,2))", "1.01"},
        {"w", "0.1e0", "0.1000000000"},
        {"w", "123456789.0123456e0", "123456789.0123456000"},
        {"d", "0.1", "0.1"},
        {"f", "0.1", "0.1"},
        {"t", "1.50", "1.50"},
        {"s", "CAST('1.5' AS JSON)", NULL},
        {"s", "CAST('\"5.5\"' AS JSON)", NULL},
        {"m", "CAST('1.005' AS JSON)", NULL},
        {"m", "CAST('\"1.005\"' AS JSON)", NULL},
        {"m", "CAST('1.500' AS JSON)", "1.50"},
        {"s", "CAST('true' AS JSON)", NULL},
        {"b", "CAST('2' AS JSON)", NULL},
        {"s", "TRUE", NULL},
        {"m", "TRUE", NULL},
        {"d", "FALSE", NULL},
        {"b", "2", NULL},
        {"b", "0.5", NULL},
        {"b", "1", "true"},
        {"b", "0e0", "false"},
        {"b", "'yes'", "true"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(cases); i++)
        assign_in_all_ways(*state, cases[i].column, cases[i].expression, cases[i].stored);
}

static void refuse(test_db *db, const char *sql, const char *params, const char *message)
{
    test_reply reply = test_db_query(db, &(test_query){.sql = sql, .params = params});
    if (reply.code == NULL)
        fail_msg("should have failed: %s", sql);
    assert_string_equal(reply.message, message);
    test_reply_release(&reply);
}

static void keys_defaults_and_parameters(void **state)
{
    test_db *db = *state;
    refuse(db, "INSERT INTO app.k VALUES (70.5)", NULL,
           "column 'id': value 70.5 is not a whole number, BIGINT would round it");
    refuse(db, "INSERT INTO app.k SELECT 70.5", NULL,
           "column 'id': value 70.5 is not a whole number, BIGINT would round it");
    refuse(db, "INSERT INTO app.k VALUES ($1)", "[70.5]",
           "column 'id': value 70.5 is not a whole number, BIGINT would round it");
    refuse(db, "INSERT INTO app.k VALUES ($1)", "[[1],[\"70.5\"]]",
           "column 'id': value 70.5 is not a whole number, BIGINT would round it (row 2 of the "
           "batch)");
    refuse(db, "INSERT INTO app.t (id, m) VALUES (9, $1)", "[1.005]",
           "column 'm': value 1.005 has more than 2 decimal places, DECIMAL(6,2) would round it");
    refuse(db, "CREATE TABLE app.x (id INT PRIMARY KEY, n INT DEFAULT 1.5)", NULL,
           "column 'n': value 1.5 is not a whole number, INT would round it");
    refuse(db, "ALTER TABLE app.t ALTER COLUMN i SET DEFAULT 1.5", NULL,
           "DEFAULT of column 'i': value 1.5 is not a whole number, INT would round it");
    test_db_run(db, "INSERT INTO app.k VALUES (70.0)");
    refuse(db, "UPDATE app.k SET id = 70.5", NULL,
           "column 'id': value 70.5 is not a whole number, BIGINT would round it");
    test_db_expect(db, NULL, "SELECT id FROM app.k", "[[\"70\"]]");
}

/* ---- random numbers ---- */

typedef struct target {
    const char *column;
    unsigned precision; /* of a DECIMAL; 0: an integer from min to max */
    unsigned scale;
    int64_t min;
    int64_t max;
} target;

static const target TARGETS[] = {
    {"s", 0, 0, INT16_MIN, INT16_MAX},
    {"i", 0, 0, INT32_MIN, INT32_MAX},
    {"l", 0, 0, INT64_MIN, INT64_MAX},
    {"m", 6, 2, 0, 0},
    {"w", 38, 10, 0, 0},
};

/* digits * 10^exponent as plain digits with a point. */
static void print_plain(kal_buf *out, int64_t digits, int exponent)
{
    if (exponent < 0) {
        kal_decimal_format(digits, (unsigned)-exponent, out);
        return;
    }
    kal_buf_printf(out, "%lld", (long long)digits);
    for (int i = 0; digits != 0 && i < exponent; i++)
        kal_buf_append_byte(out, '0');
}

/* What must be stored, as text; false: a refusal. */
static bool expected_text(const target *to, int64_t digits, int exponent, char out[64])
{
    kal_i128 scaled = digits;
    int shift = exponent + (int)to->scale;
    kal_buf text;
    if (shift < 0 && digits % (int64_t)kal_pow10((unsigned)-shift) != 0)
        return false;
    scaled = shift < 0 ? scaled / kal_pow10((unsigned)-shift) : scaled * kal_pow10((unsigned)shift);
    kal_i128 limit = kal_pow10(to->precision);
    if (to->precision > 0 ? scaled >= limit || scaled <= -limit
                          : scaled > to->max || scaled < to->min)
        return false;
    kal_buf_init(&text, NULL);
    kal_decimal_format(scaled, to->scale, &text);
    snprintf(out, 64, "%.*s", KAL_FMT(kal_buf_bytes(&text)));
    kal_buf_release(&text);
    return true;
}

static void random_numbers(void **state)
{
    kal_rng rng;
    kal_test_seed(&rng);
    for (unsigned i = 0; i < CASES; i++) {
        const target *to = &TARGETS[kal_rng_below(&rng, KAL_ARRAY_LEN(TARGETS))];
        int64_t digits = (int64_t)kal_rng_below(&rng, (uint64_t)kal_pow10(1 + i % 9));
        int exponent = (int)kal_rng_below(&rng, 10) - 6;
        char stored[64];
        kal_buf text;
        if (kal_rng_chance(&rng, 1, 3)) /* zeros at the end: nothing to lose */
            digits -= digits % 1000;
        if (kal_rng_chance(&rng, 1, 2))
            digits = -digits;
        bool kept = expected_text(to, digits, exponent, stored);
        kal_buf_init(&text, NULL);
        switch (kal_rng_below(&rng, 4)) {
        case 0:
            kal_buf_printf(&text, "%llde%d", (long long)digits, exponent);
            break;
        case 1:
            kal_buf_printf(&text, "'%llde%d'", (long long)digits, exponent);
            break;
        case 2:
            kal_buf_append_byte(&text, '\'');
            print_plain(&text, digits, exponent);
            kal_buf_append_byte(&text, '\'');
            break;
        default:
            print_plain(&text, digits, exponent);
        }
        kal_buf_append_byte(&text, 0);
        assign_in_all_ways(*state, to->column, (const char *)text.ptr, kept ? stored : NULL);
        kal_buf_release(&text);
    }
}

/* Goal: sums in every number type are the same on every way, ON CONFLICT included, and are stored
 * whole or refused. Method: a counter of each type, raised by UPDATE on both ways and by ON
 * CONFLICT with literals, excluded columns and parameters. */
static void counters(void **state)
{
    static const struct {
        const char *set;
        const char *params;
        const char *row; /* NULL: refused */
    } CASES_OF[] = {
        {"m = k.m + 0.25, s = k.s + 1, f = k.f + 0.5", "[]", "[[\"10.75\",8,2]]"},
        {"m = k.m + excluded.m, s = k.s - excluded.s, f = k.f * excluded.f", "[]",
         "[[\"11.50\",4,3.75]]"},
        {"m = k.m * 2, s = k.s % 4, f = k.f / excluded.f", "[]", "[[\"21.00\",3,0.6]]"},
        {"m = k.m - $1", "[0.5]", "[[\"10.00\",7,1.5]]"},
        {"m = k.m + $1, s = k.s + $2", "[3, 2]", "[[\"13.50\",9,1.5]]"},
        {"m = k.m + 0.005", "[]", NULL},
        {"m = k.m + $1", "[0.005]", NULL},
        {"m = k.m + 9990", "[]", NULL},
        {"s = k.s + 32767", "[]", NULL},
    };
    test_db *db = *state;
    char sql[300];
    test_db_run(db,
                "CREATE TABLE app.k2 (id INT PRIMARY KEY, m DECIMAL(6,2), s SMALLINT, f FLOAT)");
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES_OF); i++) {
        test_db_run(db, "DELETE FROM app.k2");
        test_db_run(db, "INSERT INTO app.k2 VALUES (1, 10.5, 7, 1.5)");
        snprintf(sql, sizeof sql,
                 "INSERT INTO app.k2 AS k VALUES (1, 1, 3, 2.5) ON CONFLICT DO UPDATE SET %s "
                 "RETURNING m, s, f",
                 CASES_OF[i].set);
        test_reply reply =
            test_db_query(db, &(test_query){.sql = sql, .params = CASES_OF[i].params});
        bool right =
            CASES_OF[i].row == NULL
                ? reply.code != NULL && strcmp(reply.code, "INVALID_INPUT") == 0
                : reply.code == NULL && memmem(reply.text.ptr, reply.text.len, CASES_OF[i].row,
                                               strlen(CASES_OF[i].row)) != NULL;
        if (!right)
            fail_msg("%s %s: %.*s", sql, CASES_OF[i].params, KAL_FMT(reply.text));
        test_reply_release(&reply);
    }
    for (kal_path path = KAL_PATH_FAST; path <= KAL_PATH_ENGINE; path++) {
        test_query update = {.sql = "UPDATE app.k2 SET m = m + $1, s = s + 1 WHERE id = 1",
                             .params = "[0.75]",
                             .path = path};
        test_reply reply = test_db_query(db, &update);
        assert_null(reply.code);
        test_reply_release(&reply);
    }
    test_db_expect(db, NULL, "SELECT m, s FROM app.k2", "[[\"12.00\",9]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_and_what_refused),
        cmocka_unit_test(keys_defaults_and_parameters),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(counters),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
