/*
 * The first rows of an order.
 *
 * Goal: whatever comes in whatever order, the same rows are kept, in the same order, as by sorting
 * everything; and the memory is that of the rows kept. Method: random rows with NULLs, ties and
 * texts, random directions and capacities, against a stable sort; a million rows each of which
 * takes the place of another, under a small budget.
 */
#include "unit/base/seed.h"

#include "exec/top_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROUNDS = 400, ROWS_MAX = 500, ORDERS = 2, ITEMS = 2, VALUES = ORDERS + ITEMS };

typedef struct source_row {
    kal_value values[VALUES]; /* the last one says which row it was */
} source_row;

static kal_value random_value(kal_rng *rng, bool is_text)
{
    static const char *const TEXTS[] = {"", "a", "b", "ab", "a longer text than the others"};
    kal_type type = kal_type_of(is_text ? KAL_TYPE_TEXT : KAL_TYPE_INT);
    if (kal_rng_below(rng, 5) == 0)
        return kal_value_null(type);
    if (is_text)
        return kal_value_text(kal_cstr(TEXTS[kal_rng_below(rng, KAL_ARRAY_LEN(TEXTS))]));
    return kal_value_integer(KAL_TYPE_INT, (int64_t)kal_rng_below(rng, 7) - 3);
}

/* By the words of SQL, not by the code under test. */
static bool comes_before(const source_row *a, const source_row *b, const kal_sql_order *order_by)
{
    for (size_t i = 0; i < ORDERS; i++) {
        const kal_value *v = &a->values[i];
        const kal_value *w = &b->values[i];
        if (v->is_null && w->is_null)
            continue;
        if (v->is_null || w->is_null)
            return v->is_null == (order_by[i].nulls == KAL_SQL_NULLS_FIRST);
        int order = kal_value_compare(v, w);
        if (order != 0)
            return (order < 0) != order_by[i].descending;
    }
    return false;
}

static void insertion_sort(source_row *rows, size_t count, const kal_sql_order *order_by)
{
    for (size_t i = 1; i < count; i++) {
        source_row row = rows[i];
        size_t at = i;
        for (; at > 0 && comes_before(&row, &rows[at - 1], order_by); at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
}

static void check_round(kal_rng *rng)
{
    static source_row rows[ROWS_MAX];
    kal_sql_order order_by[ORDERS] = {0};
    kal_top_rows top;
    size_t count = kal_rng_below(rng, ROWS_MAX);
    size_t capacity = 1 + kal_rng_below(rng, kal_rng_below(rng, 2) == 0 ? 10 : ROWS_MAX);

    for (size_t i = 0; i < ORDERS; i++) {
        order_by[i].descending = kal_rng_below(rng, 2) == 0;
        order_by[i].nulls = (kal_sql_nulls)kal_rng_below(rng, 3);
    }
    kal_top_rows_init(&top, order_by, ORDERS, ITEMS, capacity, NULL);
    for (size_t r = 0; r < count; r++) {
        for (size_t i = 0; i < VALUES - 1; i++)
            rows[r].values[i] = random_value(rng, i % 2 == 1);
        rows[r].values[VALUES - 1] = kal_value_bigint((int64_t)r);
        if (kal_top_rows_admits(&top, rows[r].values))
            assert_int_equal(kal_top_rows_add(&top, rows[r].values, NULL), KAL_OK);
    }
    insertion_sort(rows, count, order_by);
    size_t kept = kal_top_rows_sort(&top);
    assert_int_equal(kept, count < capacity ? count : capacity);
    for (size_t r = 0; r < kept; r++) {
        for (size_t i = 0; i < ITEMS; i++)
            assert_true(
                kal_value_identical(&kal_top_rows_items(&top, r)[i], &rows[r].values[ORDERS + i]));
    }
    kal_top_rows_release(&top);
}

static void as_by_sorting_all(void **state)
{
    (void)state;
    kal_rng rng;
    kal_test_seed(&rng);
    for (unsigned round = 0; round < ROUNDS; round++)
        check_round(&rng);
}

static void memory_is_of_the_rows_kept(void **state)
{
    (void)state;
    char text[1000] = {0};
    kal_sql_order order_by[1] = {0};
    kal_budget budget;
    kal_top_rows top;

    kal_budget_init(&budget, NULL, 128 * 1024);
    kal_top_rows_init(&top, order_by, 1, 1, 10, &budget);
    for (int64_t i = 1000000; i > 0; i--) {
        /* Now and then a long one, whose room must not be kept. */
        size_t len = i % 1000 == 0 ? sizeof text : 10;
        kal_value values[2] = {kal_value_bigint(i), kal_value_text(kal_bytes_of(text, len))};
        assert_true(kal_top_rows_admits(&top, values));
        assert_int_equal(kal_top_rows_add(&top, values, NULL), KAL_OK);
    }
    assert_int_equal(kal_top_rows_sort(&top), 10);
    assert_int_equal(kal_top_rows_items(&top, 0)[0].bytes.len, 10);
    kal_top_rows_release(&top);
    assert_int_equal(budget.used, 0);
}

static void refuses_beyond_the_budget(void **state)
{
    (void)state;
    static char text[64 * 1024];
    kal_sql_order order_by[1] = {0};
    kal_budget budget;
    kal_top_rows top;
    kal_error err = KAL_ERROR_INIT;
    kal_status status = KAL_OK;

    kal_budget_init(&budget, NULL, 256 * 1024);
    kal_top_rows_init(&top, order_by, 1, 1, 100, &budget);
    for (int64_t i = 0; i < 100 && status == KAL_OK; i++) {
        kal_value values[2] = {kal_value_bigint(i),
                               kal_value_text(kal_bytes_of(text, sizeof text))};
        status = kal_top_rows_add(&top, values, &err);
    }
    assert_int_equal(status, KAL_LIMIT);
    assert_string_equal(err.message, "the sorted rows exceed the statement's memory");
    kal_top_rows_release(&top);
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_by_sorting_all),
        cmocka_unit_test(memory_is_of_the_rows_kept),
        cmocka_unit_test(refuses_beyond_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
