/*
 * Both ways to run a SELECT give the same answer.
 *
 * Goal: the fast path (own evaluator) and DuckDB agree on every single-table query that the fast
 * path takes. Method: rows of all types with NULLs and extremes; queries generated from a grammar
 * and a printed seed; each is run both ways, and schema and rows (or the fact of an error) are
 * compared.
 */
#include "unit/base/seed.h"

#include "base/assert.h"
#include "sql/database.h"
#include "types/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROWS = 120, QUERIES = 1500, ONE_SIDED_MAX_PERCENT = 2, TAKEN_MIN_PERCENT = 40 };

typedef struct column_spec {
    const char *name;
    kal_type_tag tag;
    const char *literals[13]; /* as SQL; NULL ends */
} column_spec;

/* Values of one column, which its predicates are made from too. */
static const column_spec COLUMNS[] = {
    {"b", KAL_TYPE_BOOLEAN, {"TRUE", "FALSE"}},
    {"s", KAL_TYPE_SMALLINT, {"0", "-1", "1", "32767", "-32768", "7"}},
    {"i", KAL_TYPE_INT, {"0", "-1", "1", "2147483647", "-2147483648", "42"}},
    {"l", KAL_TYPE_BIGINT, {"0", "-1", "9223372036854775807", "-9223372036854775808", "100", "42"}},
    {"d", KAL_TYPE_DOUBLE, {"0.0", "-1.5", "1e300", "-1e300", "0.1", "42", "1e-310"}},
    {"f",
     KAL_TYPE_FLOAT,
     {"0.0", "-1.5", "3e38", "0.1", "42", "16777217", "1e-3", "0.7", "1234567", "0.123456"}},
    {"t",
     KAL_TYPE_TEXT,
     {"''", "'a'", "'A'", "'abc'", "'Zürich'", "'日本'", "'%'", "'a_c'", "'a\\b'", "'it''s'",
      "'ab'", "'ẞÖ İıΣςσ'"}},
    {"ts",
     KAL_TYPE_TIMESTAMP,
     {"'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'1970-01-01 00:00:00'",
      "'2024-02-29 13:14:15.123456'"}},
    {"da", KAL_TYPE_DATE, {"'0001-01-01'", "'9999-12-31'", "'1970-01-01'", "'2024-02-29'"}},
    {"dt",
     KAL_TYPE_DATETIME,
     {"'1970-01-01 00:00:00Z'", "'2024-02-29 13:14:15+02:00'", "'0001-01-01 00:00:00Z'"}},
    {"tm", KAL_TYPE_TIME, {"'00:00:00'", "'23:59:59.999999'", "'12:34:56'"}},
    {"u",
     KAL_TYPE_UUID,
     {"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
      "'7f000000-0000-7000-8000-000000000001'", "'80000000-0000-7000-8000-000000000001'"}},
    {"de", KAL_TYPE_DECIMAL, {"0", "0.001", "-0.001", "999999999.999", "-999999999.999", "1.5"}},
};

typedef struct generator {
    kal_rng rng;
    kal_buf sql;
} generator;

static uint64_t below(generator *g, uint64_t n)
{
    return kal_rng_below(&g->rng, n);
}

static void put(generator *g, const char *text)
{
    kal_buf_append_cstr(&g->sql, text);
}

static const column_spec *any_column(generator *g)
{
    return &COLUMNS[below(g, KAL_ARRAY_LEN(COLUMNS))];
}

static const char *any_literal(generator *g, const column_spec *c)
{
    size_t n = 0;
    while (n < KAL_ARRAY_LEN(c->literals) && c->literals[n] != NULL)
        n++;
    return c->literals[below(g, n)];
}

/* ---- the table ---- */

static void type_name(const column_spec *c, char out[KAL_TYPE_NAME_BYTES])
{
    kal_type type = kal_type_of(c->tag);
    if (c->tag == KAL_TYPE_DECIMAL)
        type = kal_type_decimal(12, 3);
    kal_type_name(type, out);
}

static void make_table(test_db *db, generator *g)
{
    char name[KAL_TYPE_NAME_BYTES];

    kal_buf_clear(&g->sql);
    put(g, "CREATE USER TABLE t (k1 INT, k2 TEXT");
    for (size_t i = 0; i < KAL_ARRAY_LEN(COLUMNS); i++) {
        type_name(&COLUMNS[i], name);
        kal_buf_printf(&g->sql, ", %s %s", COLUMNS[i].name, name);
    }
    put(g, ", PRIMARY KEY (k1, k2))");
    kal_buf_append_byte(&g->sql, 0);
    test_db_run(db, (const char *)g->sql.ptr);
    for (unsigned row = 0; row < ROWS; row++) {
        kal_buf_clear(&g->sql);
        kal_buf_printf(&g->sql, "INSERT INTO t VALUES (%u, 'k%u'", row / 4, row % 4);
        for (size_t i = 0; i < KAL_ARRAY_LEN(COLUMNS); i++) {
            put(g, ", ");
            put(g, below(g, 5) == 0 ? "NULL" : any_literal(g, &COLUMNS[i]));
        }
        put(g, ")");
        kal_buf_append_byte(&g->sql, 0);
        test_db_run(db, (const char *)g->sql.ptr);
    }
}

/* ---- queries ---- */

static void put_comparison(generator *g)
{
    static const char *const OPS[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
    const column_spec *c = any_column(g);
    put(g, c->name);
    put(g, OPS[below(g, KAL_ARRAY_LEN(OPS))]);
    put(g, below(g, 8) == 0 ? c->name : any_literal(g, c));
}

static void put_arithmetic(generator *g)
{
    static const char *const OPS[] = {" + ", " - ", " * ", " % "};
    static const char *const NUMBERS[] = {"s",  "i",   "l",    "d",          "f",     "de",
                                          "de", "1",   "2",    "0",          "-3",    "0.5",
                                          "k1", ".25", "1.50", "3000000000", "40000", "1e2"};
    put(g, "(");
    put(g, NUMBERS[below(g, KAL_ARRAY_LEN(NUMBERS))]);
    put(g, OPS[below(g, KAL_ARRAY_LEN(OPS))]);
    put(g, NUMBERS[below(g, KAL_ARRAY_LEN(NUMBERS))]);
    put(g, ")");
}

static void put_key_predicate(generator *g)
{
    static const char *const OPS[] = {" = ", " < ", " <= ", " > ", " >= "};
    kal_buf_printf(&g->sql, "k1%s%d", OPS[below(g, KAL_ARRAY_LEN(OPS))], (int)below(g, 34) - 2);
    if (below(g, 2) == 0)
        kal_buf_printf(&g->sql, " AND k2%s'k%d'", OPS[below(g, KAL_ARRAY_LEN(OPS))],
                       (int)below(g, 4));
}

static void put_like(generator *g)
{
    static const char *const PATTERNS[] = {
        "'a%'",   "'%b%'",    "'_'",     "'%'",  "''",
        "'a_c'",  "'Z_rich'", "'%本'",   "'A%'", "'a\\_c' ESCAPE '\\'",
        "'z%Ü%'", "'%ö%σσ'",  "'ß_ i%'", "'%B%'"};
    put(g, "t ");
    put(g, below(g, 3) == 0 ? "NOT LIKE " : below(g, 3) == 0 ? "ILIKE " : "LIKE ");
    put(g, PATTERNS[below(g, KAL_ARRAY_LEN(PATTERNS))]);
}

/* LENGTH, COALESCE, ABS and the searches in a text. */
static void put_function(generator *g)
{
    static const char *const SEARCHES[] = {"starts_with", "prefix", "ends_with", "suffix",
                                           "contains"};
    static const char *const PARTS[] = {"''", "'a'", "'b'", "'本'", "'ü'", "'%'", "t", "'abcd'"};
    static const char *const NUMBERS[] = {"s", "i", "l", "d", "f", "de"};
    const column_spec *c = any_column(g);
    switch (below(g, 5)) {
    case 4:
        put(g, below(g, 2) == 0 ? "lower(t) = lower(" : "upper(t) < upper(");
        put(g, below(g, 3) == 0 ? "t" : "t || 'Ä'");
        put(g, ")");
        return;
    case 0:
        kal_buf_printf(&g->sql, "%s(t, %s)", SEARCHES[below(g, KAL_ARRAY_LEN(SEARCHES))],
                       PARTS[below(g, KAL_ARRAY_LEN(PARTS))]);
        return;
    case 1:
        kal_buf_printf(&g->sql, "length(t) > %u", (unsigned)below(g, 6));
        return;
    case 2:
        kal_buf_printf(&g->sql, "coalesce(%s, ", c->name);
        put(g, below(g, 4) == 0 ? "NULL, " : "");
        put(g, any_literal(g, c));
        put(g, ") = ");
        put(g, any_literal(g, c));
        return;
    default:
        kal_buf_printf(&g->sql, "abs(%s) >= 1", NUMBERS[below(g, KAL_ARRAY_LEN(NUMBERS))]);
        return;
    }
}

static void put_function_item(generator *g)
{
    static const char *const NUMBERS[] = {"s", "i", "l", "d", "f", "de"};
    const column_spec *c = any_column(g);
    switch (below(g, 4)) {
    case 0:
        put(g, "length(t)");
        return;
    case 3:
        put(g, below(g, 2) == 0 ? "lower(t)" : "upper(t)");
        return;
    case 1:
        kal_buf_printf(&g->sql, "coalesce(%s, %s)", c->name, any_literal(g, c));
        return;
    default:
        kal_buf_printf(&g->sql, "abs(%s)", NUMBERS[below(g, KAL_ARRAY_LEN(NUMBERS))]);
        return;
    }
}

static void put_simple_predicate(generator *g)
{
    const column_spec *c = any_column(g);
    switch (below(g, 10)) {
    case 8:
    case 9:
        put_function(g);
        return;
    case 0:
        put(g, c->name);
        put(g, below(g, 2) == 0 ? " IS NULL" : " IS NOT NULL");
        return;
    case 1:
        put(g, c->name);
        put(g, below(g, 2) == 0 ? " IN (" : " NOT IN (");
        put(g, any_literal(g, c));
        put(g, ", ");
        put(g, below(g, 6) == 0 ? "NULL" : any_literal(g, c));
        put(g, ")");
        return;
    case 2:
        put(g, c->name);
        put(g, below(g, 4) == 0 ? " NOT BETWEEN " : " BETWEEN ");
        put(g, any_literal(g, c));
        put(g, " AND ");
        put(g, any_literal(g, c));
        return;
    case 3:
        put_like(g);
        return;
    case 4:
        put_arithmetic(g);
        put(g, " > ");
        put_arithmetic(g);
        return;
    case 5:
        put_key_predicate(g);
        return;
    default:
        put_comparison(g);
        return;
    }
}

static void put_predicate(generator *g, unsigned depth)
{
    uint64_t pick = depth == 0 ? 0 : below(g, 6);
    switch (pick) {
    case 1:
    case 2:
        put(g, "(");
        put_predicate(g, depth - 1);
        put(g, pick == 1 ? " AND " : " OR ");
        put_predicate(g, depth - 1);
        put(g, ")");
        return;
    case 3:
        put(g, "NOT (");
        put_predicate(g, depth - 1);
        put(g, ")");
        return;
    default:
        put_simple_predicate(g);
        return;
    }
}

static void put_item(generator *g, unsigned n)
{
    switch (below(g, 7)) {
    case 0:
        put_arithmetic(g);
        break;
    case 6:
        put_function_item(g);
        break;
    case 1:
        put(g, "CASE WHEN ");
        put_predicate(g, 1);
        put(g, " THEN 'yes' ELSE 'no' END");
        break;
    case 2:
        put(g, "(");
        put_predicate(g, 1);
        put(g, ")");
        break;
    default:
        put(g, any_column(g)->name);
        break;
    }
    kal_buf_printf(&g->sql, " AS c%u", n);
}

/* *ordered_out: the rows come in one order only. */
static void make_query(generator *g, bool *ordered_out)
{
    bool is_star = below(g, 4) == 0;

    kal_buf_clear(&g->sql);
    put(g, "SELECT ");
    if (is_star) {
        put(g, "*");
    } else {
        uint64_t count = 1 + below(g, 3);
        for (unsigned i = 0; i < count; i++) {
            put(g, i == 0 ? "" : ", ");
            put_item(g, i);
        }
    }
    put(g, " FROM t");
    if (below(g, 6) != 0) {
        put(g, " WHERE ");
        put_predicate(g, 2);
    }
    *ordered_out = below(g, 2) == 0;
    if (*ordered_out) {
        put(g, " ORDER BY ");
        if (below(g, 2) == 0) {
            put(g, is_star || below(g, 3) == 0 ? any_column(g)->name
                   : below(g, 2) == 0          ? "c0"
                                               : "1");
            put(g, below(g, 2) == 0 ? " DESC" : "");
            put(g, below(g, 3) == 0 ? " NULLS FIRST" : "");
            put(g, ", ");
        }
        put(g, below(g, 2) == 0 ? "k1, k2" : "k1 DESC, k2 DESC");
        if (below(g, 2) == 0)
            kal_buf_printf(&g->sql, " LIMIT %u", (unsigned)below(g, 20));
        if (below(g, 4) == 0)
            kal_buf_printf(&g->sql, " OFFSET %u", (unsigned)below(g, 10));
    }
    kal_buf_append_byte(&g->sql, 0);
}

/* ---- comparison ---- */

static int compare_texts(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

/* A sorted -0 as 0: DuckDB answers with its sorting keys, which do not tell them apart. */
static void drop_sign_of_zero(kal_buf *row)
{
    size_t kept = 0;
    for (size_t i = 0; i < row->len; i++) {
        bool is_minus_zero = i > 0 && i + 2 < row->len && memcmp(row->ptr + i, "-0", 2) == 0 &&
                             strchr("[,", row->ptr[i - 1]) != NULL &&
                             strchr(",]", row->ptr[i + 2]) != NULL;
        if (!is_minus_zero)
            row->ptr[kept++] = row->ptr[i];
    }
    kal_buf_truncate(row, kept);
}

/* The rows as text, sorted unless their order counts. */
static kal_bytes canonical(test_reply *reply, bool ordered)
{
    kal_bytes *rows = kal_arena_alloc(&reply->arena, (reply->rows->len + 1) * sizeof *rows);
    kal_buf all;
    for (size_t i = 0; i < reply->rows->len; i++) {
        kal_buf text;
        kal_json_writer w;
        kal_buf_init(&text, NULL);
        kal_json_writer_init(&w, &text);
        kal_json_write_tree(&reply->rows->items[i], &w);
        if (ordered)
            drop_sign_of_zero(&text);
        rows[i] = kal_arena_copy(&reply->arena, kal_buf_bytes(&text));
        kal_buf_release(&text);
    }
    if (!ordered)
        qsort(rows, reply->rows->len, sizeof *rows, compare_texts);
    kal_buf_init(&all, NULL);
    for (size_t i = 0; i < reply->rows->len; i++) {
        kal_buf_append_bytes(&all, rows[i]);
        kal_buf_append_byte(&all, '\n');
    }
    kal_bytes copy = kal_arena_copy(&reply->arena, kal_buf_bytes(&all));
    kal_buf_release(&all);
    return copy;
}

/* Names and types; flags are what the fast path knows and DuckDB does not. */
static kal_bytes schema_text(test_reply *reply)
{
    kal_buf all;
    kal_buf_init(&all, NULL);
    for (size_t i = 0; i < reply->schema->len; i++) {
        kal_json_writer w;
        kal_json_writer_init(&w, &all);
        kal_json_write_tree(kal_json_find(&reply->schema->items[i], "name"), &w);
        kal_json_writer_init(&w, &all);
        kal_json_write_tree(kal_json_find(&reply->schema->items[i], "data_type"), &w);
    }
    kal_bytes copy = kal_arena_copy(&reply->arena, kal_buf_bytes(&all));
    kal_buf_release(&all);
    return copy;
}

/*
 * SQL leaves open which rows an expression is computed for: a LIMIT or the other side of an AND may
 * spare one way the overflow that the other meets. Those are counted, and may be a few.
 */
static bool met_by_one_only(const test_reply *fast, const test_reply *engine)
{
    const char *code = fast->code != NULL ? fast->code : engine->code;
    return (fast->code == NULL) != (engine->code == NULL) && strcmp(code, "INVALID_INPUT") == 0;
}

static bool same(test_reply *fast, test_reply *engine, bool ordered)
{
    if (fast->code != NULL || engine->code != NULL)
        return fast->code != NULL && engine->code != NULL;
    return kal_bytes_equal(schema_text(fast), schema_text(engine)) &&
           kal_bytes_equal(canonical(fast, ordered), canonical(engine, ordered));
}

typedef struct tally {
    unsigned taken;     /* by the fast path */
    unsigned one_sided; /* an error on one way only */
} tally;

static void compare_query(test_db *db, const char *sql, bool ordered, tally *counts)
{
    test_reply fast = test_db_query(db, &(test_query){.sql = sql, .path = KAL_PATH_FAST});
    bool taken = fast.code == NULL || strcmp(fast.code, "UNSUPPORTED") != 0;
    if (taken) {
        test_reply engine = test_db_query(db, &(test_query){.sql = sql, .path = KAL_PATH_ENGINE});
        counts->taken++;
        if (met_by_one_only(&fast, &engine)) {
            counts->one_sided++;
            if (getenv("KAL_TEST_VERBOSE") != NULL)
                fprintf(stderr, "%s\n  %s%s\n", sql, fast.code != NULL ? "fast" : "engine",
                        fast.code != NULL ? (const char *)fast.text.ptr
                                          : (const char *)engine.text.ptr);
        } else if (!same(&fast, &engine, ordered)) {
            fprintf(stderr, "%s\nfast:   %.3000s\nengine: %.3000s\n", sql,
                    (const char *)fast.text.ptr, (const char *)engine.text.ptr);

            fail_msg("the two ways disagree");
        }
        test_reply_release(&engine);
    }
    test_reply_release(&fast);
}

static void both_ways_agree(void **state)
{
    (void)state;
    generator g;
    tally counts = {0};
    test_db *db = test_db_open(false);

    kal_test_seed(&g.rng);
    kal_buf_init(&g.sql, NULL);
    make_table(db, &g);
    for (unsigned i = 0; i < QUERIES; i++) {
        bool ordered = false;
        make_query(&g, &ordered);
        compare_query(db, (const char *)g.sql.ptr, ordered, &counts);
    }
    printf("%u of %d queries were for the fast path, %u met an error on one way only\n",
           counts.taken, QUERIES, counts.one_sided);
    assert_true(counts.taken * 100 >= QUERIES * TAKEN_MIN_PERCENT);
    assert_true(counts.one_sided * 100 <= QUERIES * ONE_SIDED_MAX_PERCENT);
    kal_buf_release(&g.sql);
    test_db_close(db);
}

/* Goal: + - * of DECIMALs of any size, with each other and with integers, have DuckDB's types,
 * values and overflows. Method: all pairs of types, rows of extremes, one row a query. */
static void decimals_agree(void **state)
{
    static const struct {
        const char *type;
        const char *values[3];
    } TYPES[] = {
        {"DECIMAL(1,0)", {"9", "-9", "1"}},
        {"DECIMAL(5,5)", {"0.99999", "-0.00001", "0.5"}},
        {"DECIMAL(9,2)", {"9999999.99", "-0.01", "19.90"}},
        {"DECIMAL(18,0)", {"999999999999999999", "-999999999999999999", "3"}},
        {"DECIMAL(18,17)", {"9.99999999999999999", "-0.00000000000000001", "1"}},
        {"DECIMAL(19,3)", {"9999999999999999.999", "-9999999999999999.999", "0.001"}},
        {"DECIMAL(38,0)",
         {"99999999999999999999999999999999999999", "-99999999999999999999999999999999999999",
          "7"}},
        {"DECIMAL(38,20)", {"999999999999999999.99999999999999999999", "-1", "0.25"}},
        {"SMALLINT", {"32767", "-32768", "2"}},
        {"INT", {"2147483647", "-2147483648", "3"}},
        {"BIGINT", {"9223372036854775807", "-9223372036854775808", "5"}},
    };
    static const char *const OPS[] = {"+", "-", "*"};
    enum { COUNT = KAL_ARRAY_LEN(TYPES) };
    char sql[256];
    tally counts = {0};
    unsigned queries = 0;
    test_db *db = test_db_open(false);

    (void)state;
    kal_buf all; /* owned */
    kal_buf_init(&all, NULL);
    kal_buf_append_cstr(&all, "CREATE TABLE n (id INT PRIMARY KEY");
    for (size_t i = 0; i < COUNT; i++)
        kal_buf_printf(&all, ", x%zu %s, y%zu %s", i, TYPES[i].type, i, TYPES[i].type);
    kal_buf_append_cstr(&all, ")");
    kal_buf_append_byte(&all, 0);
    test_db_run(db, (const char *)all.ptr);
    for (int row = 0; row < 9; row++) {
        kal_buf_clear(&all);
        kal_buf_printf(&all, "INSERT INTO n VALUES (%d", row);
        for (size_t i = 0; i < COUNT; i++)
            kal_buf_printf(&all, ", %s, %s", TYPES[i].values[row / 3], TYPES[i].values[row % 3]);
        kal_buf_append_cstr(&all, ")");
        kal_buf_append_byte(&all, 0);
        test_db_run(db, (const char *)all.ptr);
    }
    kal_buf_release(&all);
    for (size_t i = 0; i < COUNT * COUNT * KAL_ARRAY_LEN(OPS); i++) {
        size_t a = i % COUNT;
        size_t b = i / COUNT % COUNT;
        for (size_t row = i % 2; row < 9; row += 4, queries++) {
            snprintf(sql, sizeof sql, "SELECT x%zu %s y%zu AS r FROM n WHERE id = %zu", a,
                     OPS[i / COUNT / COUNT], b, row);
            compare_query(db, sql, true, &counts);
        }
    }
    printf("%u of %u sums and products were for the fast path\n", counts.taken, queries);
    assert_int_equal(counts.one_sided, 0);
    assert_true(counts.taken > queries * 4 / 5);
    test_db_close(db);
}

/* ---- JSON ---- */

/* Values that a document is made of: all kinds of numbers, escapes, and what looks like a path. */
static const char *const JSON_LEAVES[] = {"null",
                                          "true",
                                          "false",
                                          "0",
                                          "-0",
                                          "1",
                                          "-7",
                                          "42",
                                          "1.0",
                                          "1.50",
                                          "-0.0",
                                          "1e2",
                                          "1E+2",
                                          "0.1",
                                          "1e-7",
                                          "0.000001",
                                          "1e20",
                                          "1e21",
                                          "1.5e300",
                                          "123456789012345678",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "-9223372036854775809",
                                          "123456789012345678901234567890",
                                          "1e400",
                                          "-1e400",
                                          "1e-400",
                                          "-1e-400",
                                          "5e-324",
                                          "0.30000000000000004",
                                          "100000000000000000000.5",
                                          "\"\"",
                                          "\"a\"",
                                          "\"it''s\"",
                                          "\"\\u00e9\"",
                                          "\"\\\"q\\\"\"",
                                          "\"\\\\\"",
                                          "\"\\/\"",
                                          "\"\\n\\t\\b\\f\\r\"",
                                          "\"\\u001f\"",
                                          "\"\\u007f\"",
                                          "\"\\ud83d\\ude00\"",
                                          "\"日本\"",
                                          "\"null\"",
                                          "\"1\"",
                                          "\" \"",
                                          "[]",
                                          "{}"};

static const char *const JSON_KEYS[] = {"a", "b",   "c d", "0", "1", "é", "x-y",  "",
                                        "*", "a.b", "#",   "$", "/", "~", "a[0]", "A"};

static void put_document(generator *g, unsigned depth)
{
    uint64_t pick = depth == 0 ? 0 : below(g, 3);
    uint64_t count = below(g, 4);
    uint64_t first = below(g, KAL_ARRAY_LEN(JSON_KEYS)); /* so that no key comes twice */
    if (pick == 0) {
        put(g, JSON_LEAVES[below(g, KAL_ARRAY_LEN(JSON_LEAVES))]);
        return;
    }
    put(g, pick == 1 ? "[" : "{ ");
    for (uint64_t i = 0; i < count; i++) {
        put(g, i == 0 ? "" : " , ");
        if (pick == 2)
            kal_buf_printf(&g->sql,
                           "\"%s\" : ", JSON_KEYS[(first + i * 3) % KAL_ARRAY_LEN(JSON_KEYS)]);
        put_document(g, depth - 1);
    }
    put(g, pick == 1 ? "]" : "}");
}

static void put_path(generator *g)
{
    static const char *const PATHS[] = {"'a'",
                                        "'b'",
                                        "'c d'",
                                        "'0'",
                                        "'é'",
                                        "'x-y'",
                                        "'*'",
                                        "'a.b'",
                                        "'#'",
                                        "'~'",
                                        "'a[0]'",
                                        "''",
                                        "'$'",
                                        "'/'",
                                        "'$.a'",
                                        "'$.a.b'",
                                        "'$.\"c d\"'",
                                        "'$.c d'",
                                        "'$[0]'",
                                        "'$[1]'",
                                        "'$[-1]'",
                                        "'$[#-1]'",
                                        "'$[#-2]'",
                                        "'$[-0]'",
                                        "'$[#-0]'",
                                        "'$[#]'",
                                        "'$.a[0]'",
                                        "'$.b[1].a'",
                                        "'$[0][0]'",
                                        "'$.*'",
                                        "'$[*]'",
                                        "'$..a'",
                                        "'$.'",
                                        "'$a'",
                                        "'$.a..b'",
                                        "'$[01]'",
                                        "'$[1'",
                                        "'$[]'",
                                        "'$[99999999999999999999]'",
                                        "'/a'",
                                        "'/a/0'",
                                        "'/0'",
                                        "'/1/a'",
                                        "'/00'",
                                        "'/-'",
                                        "'/-1'",
                                        "'/a/'",
                                        "'//'",
                                        "'/~0'",
                                        "'/~1'",
                                        "'/c d'",
                                        "'/x-y'",
                                        "'/*'",
                                        "'$.é'",
                                        "'$.x-y'",
                                        "'$.\"a.b\"'",
                                        "'$.\"*\"'",
                                        "'$.0'",
                                        "'$.\"a'",
                                        "'$.a '",
                                        "'$ .a'",
                                        "'a\\b'",
                                        "'a\"b'",
                                        "'$.\"a\\\"b\"'",
                                        "'$.A'",
                                        "'$.#'",
                                        "0",
                                        "1",
                                        "-1",
                                        "-2",
                                        "5",
                                        "-5",
                                        "-9",
                                        "'$.a[0].b'",
                                        "'$[0].a[-1]'",
                                        "'/a/b/0'",
                                        "'/b/1'"};
    put(g, PATHS[below(g, KAL_ARRAY_LEN(PATHS))]);
}

static void put_extract(generator *g)
{
    static const char *const FUNCTIONS[] = {"json_extract", "json_extract_string",
                                            "json_extract_path", "json_extract_path_text"};
    if (below(g, 3) == 0) {
        kal_buf_printf(&g->sql, "%s(j, ", FUNCTIONS[below(g, KAL_ARRAY_LEN(FUNCTIONS))]);
        put_path(g);
        put(g, ")");
        return;
    }
    put(g, below(g, 4) == 0 ? "((j -> 'a')" : "(j");
    put(g, below(g, 2) == 0 ? " -> " : " ->> ");
    put_path(g);
    put(g, ")");
}

static void put_json_predicate(generator *g)
{
    static const char *const TEXTS[] = {"'a'", "'1'", "'1.5'", "'true'", "'null'", "'[]'", "''"};
    switch (below(g, 5)) {
    case 0:
        put_extract(g);
        put(g, below(g, 2) == 0 ? " IS NULL" : " IS NOT NULL");
        return;
    case 1:
        put(g, "j ->> ");
        put_path(g);
        put(g, " IN ('a', '1', 'true')");
        return;
    case 2:
        put(g, "(j ->> ");
        put_path(g);
        put(g, ") LIKE '%1%'");
        return;
    default:
        put(g, "j ->> ");
        put_path(g);
        put(g, below(g, 2) == 0 ? " = " : " < ");
        put(g, TEXTS[below(g, KAL_ARRAY_LEN(TEXTS))]);
        return;
    }
}

/* Goal: what -> and ->> find, and the text they give it, is DuckDB's. Method: random documents and
 * paths, good and bad ones. */
static void json_agrees(void **state)
{
    enum { DOCUMENTS = 150, EXTRACTS = 1200 };
    (void)state;
    generator g;
    tally counts = {0};
    test_db *db = test_db_open(false);

    kal_test_seed(&g.rng);
    kal_buf_init(&g.sql, NULL);
    test_db_run(db, "CREATE USER TABLE d (id INT PRIMARY KEY, j JSON, t TEXT)");
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        kal_buf_clear(&g.sql);
        kal_buf_printf(&g.sql, "INSERT INTO d VALUES (%u, '", i);
        put_document(&g, 3);
        put(&g, "', 'a')");
        kal_buf_append_byte(&g.sql, 0);
        test_db_run(db, (const char *)g.sql.ptr);
    }
    for (unsigned i = 0; i < EXTRACTS; i++) {
        kal_buf_clear(&g.sql);
        put(&g, "SELECT id, ");
        put_extract(&g);
        put(&g, " AS x FROM d");
        if (below(&g, 2) == 0) {
            put(&g, " WHERE ");
            put_json_predicate(&g);
        }
        kal_buf_append_byte(&g.sql, 0);
        compare_query(db, (const char *)g.sql.ptr, false, &counts);
    }
    printf("%u of %d extractions were for the fast path\n", counts.taken, EXTRACTS);
    assert_int_equal(counts.one_sided, 0);
    assert_true(counts.taken > EXTRACTS / 2);
    kal_buf_release(&g.sql);
    test_db_close(db);
}

/* As UTF-8 in a literal; none for what is no character, NUL and the quote. */
static size_t put_character(unsigned code, uint8_t out[4])
{
    if (code == 0 || code == '\'' || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t FIRST[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)(FIRST[len] | code);
    return len;
}

/* Goal: LOWER and UPPER of every character are DuckDB's, whatever Unicode its tables know. */
static void all_characters_agree(void **state)
{
    enum { PER_ROW = 2048, ROWS_OF_ALL = 0x110000 / PER_ROW, AT_ONCE = 32 };
    (void)state;
    tally counts = {0};
    test_db *db = test_db_open(false);
    kal_buf sql; /* owned */

    kal_buf_init(&sql, NULL);
    test_db_run(db, "CREATE USER TABLE c (id INT PRIMARY KEY, t TEXT)");
    for (unsigned row = 0; row < ROWS_OF_ALL; row++) {
        kal_buf_clear(&sql);
        kal_buf_printf(&sql, "INSERT INTO c VALUES (%u, '", row);
        for (unsigned i = 0; i < PER_ROW; i++) {
            uint8_t text[4];
            size_t len = put_character(row * PER_ROW + i, text);
            kal_buf_append(&sql, text, len);
        }
        kal_buf_append_cstr(&sql, "')");
        kal_buf_append_byte(&sql, 0);
        test_db_run(db, (const char *)sql.ptr);
    }
    for (unsigned row = 0; row < ROWS_OF_ALL; row += AT_ONCE) {
        char query[128];
        snprintf(query, sizeof query,
                 "SELECT id, lower(t) AS l, upper(t) AS u FROM c WHERE id >= %u AND id < %u", row,
                 row + AT_ONCE);
        compare_query(db, query, true, &counts);
    }
    assert_int_equal(counts.taken, (ROWS_OF_ALL + AT_ONCE - 1) / AT_ONCE);
    kal_buf_release(&sql);
    test_db_close(db);
}

/* One or two bytes of the text are changed, doubled or taken out. */
static void mutate(generator *g, char text[64])
{
    static const char SIGNS[] = "0123456789.-+eE :TZ/_";
    for (uint64_t n = 1 + below(g, 2); n > 0; n--) {
        size_t len = strlen(text);
        size_t at = below(g, len + 1);
        char sign = SIGNS[below(g, sizeof SIGNS - 1)];
        if (len < 60 && below(g, 3) == 0) {
            memmove(text + at + 1, text + at, len - at + 1);
            text[at] = sign;
        } else if (at < len && below(g, 2) == 0) {
            memmove(text + at, text + at + 1, len - at);
        } else if (at < len) {
            text[at] = sign;
        }
    }
    for (char *c = text; *c != '\0'; c++)
        *c = (uint8_t)*c < 0x80 ? *c : '?';
}

/* Goal: casts of a TEXT that is no literal, such as (j ->> 'n')::INT, read what DuckDB reads, and
 * refuse the rest. Method: texts good and bad, one query each, for each type. */
static void casts_agree(void **state)
{
    static const char *const TYPES[] = {"SMALLINT", "INT",     "BIGINT", "DOUBLE",
                                        "FLOAT",    "BOOLEAN", "DATE",   "TIMESTAMP",
                                        "DATETIME", "TIME",    "UUID",   "TEXT"};
    static const char *const TEXTS[] = {"0",
                                        "1",
                                        "-1",
                                        "+1",
                                        "-0",
                                        "007",
                                        " 5",
                                        "5 ",
                                        "\t5\n",
                                        "5 5",
                                        "",
                                        " ",
                                        "-",
                                        "+",
                                        ".",
                                        "1.",
                                        ".5",
                                        "-.5",
                                        "1.5",
                                        "2.5",
                                        "-1.5",
                                        "-2.5",
                                        "0.49999999999999999",
                                        "1e2",
                                        "1E2",
                                        "1e",
                                        "1e ",
                                        "5e+ ",
                                        "-7e- ",
                                        "+ ",
                                        "- ",
                                        "15e1.",
                                        "15e1.9",
                                        "15e.",
                                        "1e1e1",
                                        "1 e1",
                                        "1e 1",
                                        "1e1_0",
                                        "1e+2",
                                        "1e-1",
                                        "15e-1",
                                        "1.5e1",
                                        "1e400",
                                        "1e-400",
                                        "1e18",
                                        "1e19",
                                        "32767",
                                        "32768",
                                        "-32768",
                                        "-32769",
                                        "2147483647",
                                        "2147483648",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "9223372036854775807.4",
                                        "99999999999999999999",
                                        "0x1F",
                                        "0b11",
                                        "0o7",
                                        "1_000",
                                        "1__0",
                                        "_1",
                                        "1_",
                                        "1,5",
                                        "1f",
                                        "1d",
                                        "$1",
                                        "--1",
                                        "+-1",
                                        "abc",
                                        "null",
                                        "true",
                                        "TRUE",
                                        "True",
                                        "t",
                                        "T",
                                        "f",
                                        "false",
                                        "yes",
                                        "no",
                                        "y",
                                        "n",
                                        "on",
                                        "off",
                                        "nan",
                                        "NaN",
                                        "inf",
                                        "-inf",
                                        "Infinity",
                                        "-Infinity",
                                        "+inf",
                                        "infinity",
                                        "0.1",
                                        "123456789.123456789",
                                        "1.7976931348623157e308",
                                        "1.8e308",
                                        "3.4e38",
                                        "3.5e38",
                                        "5e-324",
                                        "16777217",
                                        "١",
                                        "2024-02-29",
                                        "2023-02-29",
                                        "2024-2-9",
                                        "2024-02-29 13:14:15",
                                        "2024-02-29T13:14:15Z",
                                        "2024-02-29 13:14:15.1234567",
                                        "2024-02-29 13:14:15+02",
                                        "2024-02-29 25:00:00",
                                        "13:14:15",
                                        "13:14",
                                        "24:00:00",
                                        "1970-01-01",
                                        "epoch",
                                        "0001-01-01",
                                        "10000-01-01",
                                        "-0001-01-01",
                                        "2024/02/29",
                                        "20240229",
                                        "00000000-0000-0000-0000-000000000000",
                                        "ffffffffffffffffffffffffffffffff",
                                        "{7f000000-0000-7000-8000-000000000001}",
                                        "12345678.905",
                                        "12345678.904999",
                                        "123456789.00",
                                        "99999999.995",
                                        "1e-3",
                                        "0.005",
                                        "-0.005",
                                        "1e7",
                                        "1e8"};
    enum { TEXT_COUNT = KAL_ARRAY_LEN(TEXTS), MUTANTS = 300 };
    (void)state;
    generator g;
    tally counts = {0};
    char sql[192];
    test_db *db = test_db_open(false);

    kal_test_seed(&g.rng);
    test_db_run(db, "CREATE USER TABLE c (id INT PRIMARY KEY, t TEXT)");
    for (size_t i = 0; i < TEXT_COUNT + MUTANTS; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", TEXTS[i % TEXT_COUNT]);
        if (i >= TEXT_COUNT)
            mutate(&g, text);
        snprintf(sql, sizeof sql, "INSERT INTO c VALUES (%zu, '%s')", i, text);
        test_db_run(db, sql);
    }
    for (size_t i = 0; i < (TEXT_COUNT + MUTANTS) * KAL_ARRAY_LEN(TYPES); i++) {
        if (i / KAL_ARRAY_LEN(TYPES) >= TEXT_COUNT && below(&g, 4) != 0)
            continue;
        snprintf(sql, sizeof sql, "SELECT CAST(t AS %s) AS x, t FROM c WHERE id = %zu",
                 TYPES[i % KAL_ARRAY_LEN(TYPES)], i / KAL_ARRAY_LEN(TYPES));
        compare_query(db, sql, true, &counts);
    }
    printf("%u casts were for the fast path\n", counts.taken);
    assert_int_equal(counts.one_sided, 0);
    test_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_agree), cmocka_unit_test(decimals_agree),
        cmocka_unit_test(json_agrees), cmocka_unit_test(all_characters_agree),
        cmocka_unit_test(casts_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
