/*
 * live_index_test.c: the conditions that live queries are looked up by.
 *
 * The property: for random filters and rows, a row that the filter accepts meets the condition; and
 * when the condition is exact, a row that meets it is accepted.
 */
#include "unit/base/seed.h"
#include "unit/sql/live_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { FILTERS = 4000, ROWS_PER_FILTER = 40 };

typedef struct generator {
    kal_rng rng;
    kal_buf sql;
} generator;

/* Few values of each column, so that filters hit them; as SQL. NULL ends. */
static const struct {
    const char *name;
    const char *literals[8];
} COLUMNS[] = {
    {"b", {"TRUE", "FALSE"}},
    {"s", {"0", "-1", "1", "7", "32767", "40000", "-32768"}},
    {"i", {"0", "-1", "1", "7", "2147483647", "3000000000", "-3000000000"}},
    {"l", {"0", "-1", "1", "7", "9223372036854775807"}},
    {"d", {"0.0", "-1.5", "1.5", "1e300", "7"}},
    {"f", {"0.0", "-1.5", "0.1", "7", "1e300"}},
    {"t", {"''", "'a'", "'ab'", "'b'", "'\xC3\xBC'", "CURRENT_USER()"}},
    {"da", {"'1970-01-01'", "'2024-02-29'", "'9999-12-31'"}},
    {"ts", {"'1970-01-01 00:00:00'", "'2024-02-29 13:14:15'"}},
};

static uint64_t below(generator *g, uint64_t n)
{
    return kal_rng_below(&g->rng, n);
}

static void put(generator *g, const char *text)
{
    kal_buf_append_cstr(&g->sql, text);
}

static void put_literal(generator *g, size_t column)
{
    size_t n = 0;
    while (n < KAL_ARRAY_LEN(COLUMNS[column].literals) && COLUMNS[column].literals[n] != NULL)
        n++;
    put(g, below(g, 25) == 0 ? "NULL" : COLUMNS[column].literals[below(g, n)]);
}

static void put_compare(generator *g, size_t column)
{
    static const char *const OPS[] = {" = ",
                                      " = ",
                                      " < ",
                                      " <= ",
                                      " > ",
                                      " >= ",
                                      " <> ",
                                      " IS NOT DISTINCT FROM ",
                                      " IS DISTINCT FROM "};
    const char *op = OPS[below(g, KAL_ARRAY_LEN(OPS))];
    bool turned = below(g, 4) == 0 && COLUMNS[column].name[0] != 'b';
    if (turned)
        put_literal(g, column);
    else
        put(g, COLUMNS[column].name);
    put(g, op);
    if (turned)
        put(g, COLUMNS[column].name);
    else
        put_literal(g, column);
}

static void put_simple(generator *g, size_t column)
{
    const char *name = COLUMNS[column].name;
    switch (below(g, 8)) {
    case 0:
        kal_buf_printf(&g->sql, "%s%s IN (", name, below(g, 4) == 0 ? " NOT" : "");
        put_literal(g, column);
        for (uint64_t more = below(g, 4); more > 0; more--) {
            put(g, ", ");
            put_literal(g, column);
        }
        put(g, ")");
        return;
    case 1:
        kal_buf_printf(&g->sql, "%s%s BETWEEN ", name, below(g, 6) == 0 ? " NOT" : "");
        put_literal(g, column);
        put(g, " AND ");
        put_literal(g, column);
        return;
    case 2:
        put(g, below(g, 2) == 0 ? "b" : "NOT b");
        return;
    case 3:
        kal_buf_printf(&g->sql, "%s IS %sNULL", name, below(g, 2) == 0 ? "NOT " : "");
        return;
    default:
        put_compare(g, column);
        return;
    }
}

static void put_filter(generator *g, unsigned depth)
{
    size_t column = below(g, KAL_ARRAY_LEN(COLUMNS));
    uint64_t count = 2 + below(g, 2);
    uint64_t pick = depth == 0 ? 0 : below(g, 8);
    if (pick <= 1 || pick == 7) {
        put(g, pick == 7 ? "NOT (" : "(");
        put_simple(g, column);
        put(g, ")");
        return;
    }
    if (pick == 6) {
        put(g, below(g, 3) != 0 ? "TRUE" : below(g, 2) == 0 ? "FALSE" : "i = NULL");
        return;
    }
    /* parts that speak of one column are the interesting ones */
    bool same = below(g, 2) == 0;
    put(g, "(");
    for (uint64_t i = 0; i < count; i++) {
        put(g, i == 0 ? "" : pick >= 4 ? " OR " : " AND ");
        if (same)
            put_simple(g, column);
        else
            put_filter(g, depth - 1);
    }
    put(g, ")");
}

/* A value of the column: one of its literals, when it is of the type, or NULL. */
static kal_value any_value(generator *g, const kal_column *column, kal_arena *arena)
{
    kal_value v;
    kal_error err = KAL_ERROR_INIT;
    for (size_t c = 0; c < KAL_ARRAY_LEN(COLUMNS) && below(g, 6) != 0; c++) {
        if (!kal_bytes_equal(kal_cstr(COLUMNS[c].name), column->name))
            continue;
        size_t n = 0;
        while (n < KAL_ARRAY_LEN(COLUMNS[c].literals) && COLUMNS[c].literals[n] != NULL)
            n++;
        kal_bytes text = kal_cstr(COLUMNS[c].literals[below(g, n)]);
        if (text.ptr[0] == '\'')
            text = kal_bytes_of(text.ptr + 1, text.len - 2);
        if (text.ptr != NULL && kal_bytes_equal(text, KAL_STR("CURRENT_USER()")))
            text = KAL_STR("ann");
        if (below(g, 12) == 0 && column->type.tag == KAL_TYPE_DOUBLE)
            text = below(g, 2) == 0 ? KAL_STR("nan") : KAL_STR("-0.0");
        if (kal_value_from_text(column->type, text, arena, &v, &err) == KAL_OK)
            return v;
    }
    return kal_value_null(column->type);
}

typedef struct tally {
    unsigned kinds[KAL_LIVE_INDEX_RANGE + 1];
    unsigned exact;
    unsigned accepted;
} tally;

static void check_row(const char *sql, const kal_live_plan *plan, const kal_expr *where,
                      const kal_live_index *index, const kal_expr_session *session, kal_value *row,
                      kal_arena *arena, tally *counts)
{
    bool accepted = false;
    kal_buf key;
    kal_error err = KAL_ERROR_INIT;
    kal_buf_init(&key, NULL);
    if (kal_expr_test(where, row, session, arena, &accepted, &err) != KAL_OK)
        fail_msg("%s: %s", sql, err.message);
    if (index->column < plan->def->column_count && !row[index->column].is_null)
        kal_key_append(&key, &row[index->column]);
    bool meets = kal_live_index_meets(index, kal_buf_bytes(&key));
    if ((accepted && !meets) || (index->exact && accepted != meets))
        fail_msg("%s: a row is %s, the condition (kind %d%s) says %s", sql,
                 accepted ? "accepted" : "refused", (int)index->kind, index->exact ? ", exact" : "",
                 meets ? "yes" : "no");
    counts->accepted += accepted;
    kal_buf_release(&key);
}

static void check_filter(generator *g, const kal_table_definition *def, tally *counts)
{
    kal_arena arena;
    kal_live_plan plan;
    kal_live_index index;
    kal_expr *where = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_expr_session session = {.user_id = KAL_STR("ann"), .role = KAL_STR("user")};
    const char *sql = (const char *)g->sql.ptr;

    kal_arena_init(&arena, NULL);
    kal_status status = live_bind(kal_cstr(sql), def, &arena, &plan, &err);
    if (status == KAL_UNSUPPORTED || status == KAL_INVALID) { /* 7 as a DATE and the like */
        kal_arena_release(&arena);
        return;
    }
    if (status != KAL_OK)
        fail_msg("%s: %s", sql, err.message);
    assert_int_equal(kal_expr_fold(plan.where, &session, &arena, &where, &err), KAL_OK);
    assert_int_equal(kal_live_index_of(def, where, &arena, &index, &err), KAL_OK);
    counts->kinds[index.kind]++;
    counts->exact += index.exact;
    for (size_t i = 1; i < index.key_count; i++)
        assert_true(kal_bytes_compare(index.keys[i - 1], index.keys[i]) < 0);
    for (int i = 0; i < ROWS_PER_FILTER; i++) {
        kal_value row[LIVE_COLUMNS + KAL_HIDDEN_COUNT] = {0};
        for (uint32_t c = 0; c < def->column_count; c++)
            row[c] = any_value(g, &def->columns[c], &arena);
        check_row(sql, &plan, plan.where, &index, &session, row, &arena, counts);
        check_row(sql, &plan, where, &index, &session, row, &arena, counts);
    }
    kal_arena_release(&arena);
}

static void conditions_hold_of_accepted_rows(void **state)
{
    generator g;
    kal_arena arena;
    tally counts = {0};
    (void)state;
    kal_arena_init(&arena, NULL);
    kal_buf_init(&g.sql, NULL);
    kal_test_seed(&g.rng);
    const kal_table_definition *def = live_table(&arena);
    for (int i = 0; i < FILTERS; i++) {
        kal_buf_clear(&g.sql);
        put(&g, "SELECT * FROM t WHERE ");
        put_filter(&g, 2);
        if (below(&g, 2) == 0) {
            put(&g, " AND ");
            put_filter(&g, 1);
        }
        kal_buf_append_byte(&g.sql, 0);
        check_filter(&g, def, &counts);
    }
    printf("of %d filters: none %u, never %u, keys %u, range %u; exact %u; rows accepted %u\n",
           FILTERS, counts.kinds[0], counts.kinds[1], counts.kinds[2], counts.kinds[3],
           counts.exact, counts.accepted);
    for (size_t i = 0; i < KAL_ARRAY_LEN(counts.kinds); i++)
        assert_true(counts.kinds[i] > FILTERS / 50);
    assert_true(counts.exact > FILTERS / 10);
    assert_true(counts.accepted > FILTERS);
    kal_buf_release(&g.sql);
    kal_arena_release(&arena);
}

/* Goal: which condition is chosen of several. Method: table. */
static void the_best_is_chosen(void **state)
{
    static const struct {
        const char *where;
        kal_live_index_kind kind;
        const char *column;
        size_t keys;
        bool exact;
    } CHOICES[] = {
        {"i = 1", KAL_LIVE_INDEX_KEYS, "i", 1, true},
        {"t = CURRENT_USER() AND l > 5", KAL_LIVE_INDEX_KEYS, "t", 1, false},
        {"i IN (1, 2, 2, 3) AND t IN ('a', 'b')", KAL_LIVE_INDEX_KEYS, "t", 2, false},
        {"i IN (1, 2, 3) AND i >= 2", KAL_LIVE_INDEX_KEYS, "i", 2, true},
        {"i = 1 OR i = 2 OR i IN (3, 1)", KAL_LIVE_INDEX_KEYS, "i", 3, true},
        {"i = 1 OR l = 2", KAL_LIVE_INDEX_NONE, NULL, 0, false},
        {"i = 1 AND i = 2", KAL_LIVE_INDEX_NEVER, NULL, 0, true},
        {"i = NULL", KAL_LIVE_INDEX_NEVER, NULL, 0, true},
        {"i > 1 AND i < 1", KAL_LIVE_INDEX_NEVER, NULL, 0, true},
        {"i >= 1 AND i <= 1", KAL_LIVE_INDEX_KEYS, "i", 1, true},
        {"l > 3 AND i BETWEEN 1 AND 5", KAL_LIVE_INDEX_RANGE, "i", 0, false},
        {"l > 3 AND TRUE", KAL_LIVE_INDEX_RANGE, "l", 0, true},
        {"s = 40000", KAL_LIVE_INDEX_NEVER, NULL, 0, true},
        {"s < 40000", KAL_LIVE_INDEX_NONE, NULL, 0, false},
        {"s = 7 AND s < 40000", KAL_LIVE_INDEX_KEYS, "s", 1, false},
        {"b", KAL_LIVE_INDEX_KEYS, "b", 1, true},
        {"NOT b AND i = 1", KAL_LIVE_INDEX_KEYS, "b", 1, false},
        {"TRUE", KAL_LIVE_INDEX_NONE, NULL, 0, true},
        {"(j->>'kind') = 'x' AND d >= 0.5", KAL_LIVE_INDEX_RANGE, "d", 0, false},
        {"_seq > 5", KAL_LIVE_INDEX_NONE, NULL, 0, false},
    };
    kal_arena arena;
    (void)state;
    kal_arena_init(&arena, NULL);
    const kal_table_definition *def = live_table(&arena);
    for (size_t i = 0; i < KAL_ARRAY_LEN(CHOICES); i++) {
        char sql[160];
        kal_live_plan plan;
        kal_live_index index;
        kal_expr *where = NULL;
        kal_error err = KAL_ERROR_INIT;
        kal_expr_session session = {.user_id = KAL_STR("ann")};
        snprintf(sql, sizeof sql, "SELECT id FROM t WHERE %s", CHOICES[i].where);
        if (live_bind(kal_cstr(sql), def, &arena, &plan, &err) != KAL_OK ||
            kal_expr_fold(plan.where, &session, &arena, &where, &err) != KAL_OK ||
            kal_live_index_of(def, where, &arena, &index, &err) != KAL_OK)
            fail_msg("%s: %s", sql, err.message);
        if (index.kind != CHOICES[i].kind || index.exact != CHOICES[i].exact ||
            index.key_count != CHOICES[i].keys ||
            (CHOICES[i].column != NULL &&
             !kal_bytes_equal(def->columns[index.column].name, kal_cstr(CHOICES[i].column))))
            fail_msg("%s: kind %d, column %u, %zu keys%s", CHOICES[i].where, (int)index.kind,
                     index.column, index.key_count, index.exact ? ", exact" : "");
    }
    kal_arena_release(&arena);
}

/* Goal: a small budget ends with LIMIT and nothing else. */
static void memory_is_bounded(void **state)
{
    kal_arena arena;
    kal_live_plan plan;
    kal_error err = KAL_ERROR_INIT;
    bool done = false;
    (void)state;
    kal_arena_init(&arena, NULL);
    const kal_table_definition *def = live_table(&arena);
    assert_int_equal(
        live_bind(KAL_STR("SELECT id FROM t WHERE t IN ('a', 'b', 'c') AND i = 7 AND t > 'aa'"),
                  def, &arena, &plan, &err),
        KAL_OK);
    for (size_t limit = 0; !done; limit += 64) {
        kal_budget budget;
        kal_arena small;
        kal_live_index index;
        kal_budget_init(&budget, NULL, limit);
        kal_arena_init(&small, &budget);
        kal_status status = kal_live_index_of(def, plan.where, &small, &index, &err);
        assert_true(status == KAL_OK || status == KAL_LIMIT);
        done = status == KAL_OK;
        kal_arena_release(&small);
    }
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_hold_of_accepted_rows),
        cmocka_unit_test(the_best_is_chosen),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
