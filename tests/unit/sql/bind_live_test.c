/*
 * bind_live_test.c: plans of live queries: items, names, types, groups, order, and what is refused.
 */
#include "unit/sql/live_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void describe_item(const kal_live_plan *plan, size_t i, kal_buf *out)
{
    char type[KAL_TYPE_NAME_BYTES];
    const kal_live_item *item = &plan->items[i];
    static const char *const FNS[] = {"", "count ", "sum ", "avg ", "min ", "max "};
    kal_buf_printf(out, "%s%.*s:%s%s%s%s", i == 0 ? "" : ", ", KAL_FMT(item->name), FNS[item->fn],
                   kal_type_name(item->type, type), item->is_key ? " key" : "",
                   item->is_not_null ? " not-null" : "");
}

/* "name:TYPE, name:sum DECIMAL(38,0) where grouped(1) order(0 desc, -) limit 3", or the error */
static void describe(const char *sql, const kal_table_definition *def, kal_buf *out)
{
    kal_arena arena;
    kal_live_plan plan;
    kal_error err = KAL_ERROR_INIT;
    kal_arena_init(&arena, NULL);
    kal_buf_clear(out);
    if (live_bind(kal_cstr(sql), def, &arena, &plan, &err) != KAL_OK) {
        kal_buf_printf(out, "%s @%lld: %s", err.code, (long long)err.position, err.message);
    } else {
        for (size_t i = 0; i < plan.item_count; i++)
            describe_item(&plan, i, out);
        kal_buf_append_cstr(out, plan.where != NULL ? " where" : "");
        if (plan.is_grouped)
            kal_buf_printf(out, " grouped(%zu)", plan.group_count);
        for (size_t i = 0; i < plan.order_count; i++)
            kal_buf_printf(out, " order(%zu%s%s%s)", plan.order_by[i].item,
                           plan.order_by[i].expr == NULL ? " aggregate" : "",
                           plan.order_by[i].descending ? " desc" : "",
                           plan.order_by[i].nulls_first ? " nulls-first" : "");
        if (plan.has_limit)
            kal_buf_printf(out, " limit %llu", (unsigned long long)plan.limit);
    }
    kal_buf_append_byte(out, 0);
    kal_arena_release(&arena);
}

static const struct {
    const char *sql;
    const char *expected;
} CASES[] = {
    {"SELECT id, t AS Text FROM app.t WHERE i > 1", "id:BIGINT key not-null, Text:TEXT where"},
    {"SELECT x.id FROM t x", "id:BIGINT key not-null"},
    {"SELECT b, * FROM t", "b:BOOLEAN, id:BIGINT key not-null, b:BOOLEAN, s:SMALLINT, i:INT, "
                           "l:BIGINT, d:DOUBLE, f:FLOAT, "
                           "t:TEXT, de:DECIMAL(10,2), da:DATE, j:JSON, ts:TIMESTAMP"},
    {"SELECT t.id, _seq FROM t", "id:BIGINT key not-null, _seq:BIGINT"},
    {"SELECT i + 1 AS n, j->>'a' AS a, CURRENT_USER() AS me FROM t", "n:INT, a:TEXT, me:TEXT"},
    {"SELECT count(*), COUNT(t), count(1) AS one FROM t",
     "count(*):count BIGINT not-null, count(t):count BIGINT not-null, one:count BIGINT "
     "not-null "
     "grouped(0)"},
    {"SELECT sum(s), sum(l), sum(f), sum(de), avg(de), avg(i), min(t), max(da) FROM t",
     "sum(s):sum DECIMAL(38,0), sum(l):sum DECIMAL(38,0), sum(f):sum DOUBLE, sum(de):sum "
     "DECIMAL(38,2), avg(de):avg DOUBLE, avg(i):avg DOUBLE, min(t):min TEXT, max(da):max DATE "
     "grouped(0)"},
    {"SELECT t, sum(i) AS n FROM t GROUP BY t", "t:TEXT, n:sum DECIMAL(38,0) grouped(1)"},
    {"SELECT i % 10 AS k, count(*) AS n FROM t GROUP BY k ORDER BY n DESC, 1 NULLS FIRST LIMIT 3",
     "k:INT, n:count BIGINT not-null grouped(1) order(1 aggregate desc) order(0 nulls-first) limit "
     "3"},
    {"SELECT i + 1 AS k, i AS i FROM t GROUP BY 2", "k:INT, i:INT grouped(1)"},
    {"SELECT (i + 1) * 2 AS k FROM t GROUP BY i + 1", "k:INT grouped(1)"},
    {"SELECT t FROM t GROUP BY t, j->>'a' ORDER BY count(*) LIMIT 1",
     "UNSUPPORTED @45: a live query cannot evaluate 'count(*)': it is ordered by, but is none of "
     "the items"},
    {"SELECT t, max(i) FROM t GROUP BY t ORDER BY max(i), length(t) LIMIT 1",
     "t:TEXT, max(i):max INT grouped(1) order(1 aggregate) order(2) limit 1"},
    {"SELECT id FROM t ORDER BY i DESC, id LIMIT 20",
     "id:BIGINT key not-null order(1 desc) order(0) limit 20"},
    {"SELECT i, count(*) AS n FROM t",
     "INVALID_SQL @7: column 'i' must appear in the GROUP BY clause or be used in an aggregate"},
    {"SELECT * FROM t GROUP BY id",
     "INVALID_SQL @7: column 'b' must appear in the GROUP BY clause or be used in an aggregate"},
    {"SELECT t FROM t GROUP BY t ORDER BY i LIMIT 1",
     "INVALID_SQL @36: column 'i' must appear in the GROUP BY clause or be used in an aggregate"},
    {"SELECT i, count(*) AS n FROM t GROUP BY n",
     "INVALID_SQL @40: GROUP BY cannot contain aggregates"},
    {"SELECT i FROM t GROUP BY count(*)", "INVALID_SQL @25: GROUP BY cannot contain aggregates"},
    {"SELECT i FROM t GROUP BY 2",
     "INVALID_SQL @25: an ordinal is that of an item, counted from 1"},
    {"SELECT i FROM t GROUP BY rollup(i)",
     "INVALID_SQL @25: a live query cannot have several grouping sets"},
    {"SELECT j FROM t GROUP BY j",
     "UNSUPPORTED @25: a live query cannot evaluate 'j': values of its type are not grouped by"},
    {"SELECT sum(t) FROM t",
     "UNSUPPORTED @7: a live query cannot evaluate 'sum(t)': there is none of a TEXT"},
    {"SELECT sum(i + 1) FROM t",
     "UNSUPPORTED @7: an item of a live query needs a name: 'sum(i + 1)'"},
    {"SELECT i + 1 FROM t", "UNSUPPORTED @9: an item of a live query needs a name: 'i + 1'"},
    {"SELECT median(i) AS m FROM t",
     "UNSUPPORTED @7: a live query cannot evaluate 'median(i)': only queries that run once can"},
    {"SELECT id FROM t WHERE i > 1 AND regexp_matches(t, 'a') AND b",
     "UNSUPPORTED @33: a live query cannot evaluate 'regexp_matches(t, 'a')': only queries that "
     "run "
     "once can"},
    {"SELECT id FROM t WHERE sum(i) > 1",
     "UNSUPPORTED @23: a live query cannot evaluate 'sum(i)': only queries that run once can"},
    {"SELECT id FROM t WHERE l = SNOWFLAKE_ID()",
     "UNSUPPORTED @25: a live query cannot evaluate 'l = SNOWFLAKE_ID()': its value is a new one "
     "each "
     "time"},
    {"SELECT id FROM t WHERE nix = 1",
     "COLUMN_NOT_FOUND @23: column 'nix' does not exist in table 'app.t'"},
    {"SELECT id FROM t WHERE i = 'abc'", "INVALID_INPUT @27: 'abc' is not a valid INT"},
    {"SELECT x.* FROM t", "INVALID_SQL @7: the table of the star is not that of the live query"},
    {"SELECT id AS b FROM t ORDER BY b LIMIT 1",
     "UNSUPPORTED @31: a live query cannot evaluate 'b': it is a column and the name of another "
     "item"},
    {"SELECT id FROM t ORDER BY i LIMIT i",
     "INVALID_SQL @34: the LIMIT of a live query is a whole number"},
    {"SELECT NULL AS n FROM t",
     "UNSUPPORTED @7: a live query cannot evaluate 'NULL': its type is not known, cast it"},
};

/* Goal: what a live query shows and what it refuses. Method: table. */
static void plans_are_as_written(void **state)
{
    kal_arena arena;
    kal_buf out;
    size_t wrong = 0;
    (void)state;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&out, NULL);
    const kal_table_definition *def = live_table(&arena);
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++) {
        describe(CASES[i].sql, def, &out);
        if (strcmp((const char *)out.ptr, CASES[i].expected) != 0) {
            print_error("%s\n  expected %s\n  got      %s\n", CASES[i].sql, CASES[i].expected,
                        (const char *)out.ptr);
            wrong++;
        }
    }
    kal_buf_release(&out);
    kal_arena_release(&arena);
    assert_int_equal(wrong, 0);
}

/* Goal: many terms are refused before they cost anything. */
static void terms_are_bounded(void **state)
{
    kal_arena arena;
    kal_live_plan plan;
    kal_error err = KAL_ERROR_INIT;
    kal_buf sql;
    (void)state;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&sql, NULL);
    kal_buf_append_cstr(&sql, "SELECT i FROM t GROUP BY i");
    for (int i = 0; i < KAL_LIVE_TERMS_MAX; i++)
        kal_buf_append_cstr(&sql, ", i");
    assert_int_equal(live_bind(kal_buf_bytes(&sql), live_table(&arena), &arena, &plan, &err),
                     KAL_LIMIT);
    kal_buf_release(&sql);
    kal_arena_release(&arena);
}

/* Goal: what is constant in a session becomes a literal that does not borrow from it; what fails
 * stays. Method: fold, then look. */
static void constants_are_folded(void **state)
{
    static const struct {
        const char *where;
        bool is_compare_with_literal;
        bool whole; /* becomes a literal */
    } FOLDS[] = {
        {"t = CURRENT_USER()", true, false},
        {"t = 'a' || CURRENT_USER()", true, false},
        {"i = s + 1", false, false},
        {"coalesce(CURRENT_ROLE(), t) = t", false, false},
        {"CURRENT_USER() = 'ann'", false, true},
        {"i = 2147483647::INT + 1::INT", false, false},
    };
    kal_arena arena;
    (void)state;
    kal_arena_init(&arena, NULL);
    const kal_table_definition *def = live_table(&arena);
    for (size_t i = 0; i < KAL_ARRAY_LEN(FOLDS); i++) {
        char user[] = "ann";
        char sql[128];
        kal_expr_session session = {.user_id = kal_cstr(user), .role = KAL_STR("user")};
        kal_live_plan plan;
        kal_expr *folded = NULL;
        kal_error err = KAL_ERROR_INIT;
        snprintf(sql, sizeof sql, "SELECT id FROM t WHERE %s", FOLDS[i].where);
        if (live_bind(kal_cstr(sql), def, &arena, &plan, &err) != KAL_OK)
            fail_msg("%s: %s", sql, err.message);
        assert_int_equal(kal_expr_fold(plan.where, &session, &arena, &folded, &err), KAL_OK);
        user[0] = 'x';
        assert_int_equal(folded->kind == KAL_EXPR_LITERAL, FOLDS[i].whole);
        if (FOLDS[i].whole)
            assert_true(folded->literal.boolean);
        if (FOLDS[i].is_compare_with_literal) {
            assert_int_equal(folded->children[1]->kind, KAL_EXPR_LITERAL);
            assert_non_null(memmem(folded->children[1]->literal.bytes.ptr,
                                   folded->children[1]->literal.bytes.len, "ann", 3));
        }
        assert_true(kal_expr_equal(plan.where, plan.where));
        assert_int_equal(kal_expr_equal(plan.where, folded), plan.where == folded);
    }
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_as_written),
        cmocka_unit_test(terms_are_bounded),
        cmocka_unit_test(constants_are_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
