#include "base/arena.h"
#include "unit/base/seed.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Goal: pieces are zeroed, aligned, apart from each other, and go back to the budget. Method:
 * random sizes, each piece filled with its number and checked at the end. */
static void test_pieces(void **state)
{
    enum { PIECES = 500 };
    kal_budget budget;
    kal_arena arena;
    kal_rng rng;
    uint8_t *piece[PIECES];
    size_t size[PIECES];
    (void)state;
    kal_test_seed(&rng);
    kal_budget_init(&budget, NULL, SIZE_MAX);
    kal_arena_init(&arena, &budget);
    assert_int_equal(budget.used, 0);
    for (size_t i = 0; i < PIECES; i++) {
        size[i] = (size_t)kal_rng_below(&rng, kal_rng_chance(&rng, 1, 20) ? 100000 : 200);
        piece[i] = kal_arena_alloc(&arena, size[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], 0);
        memset(piece[i], (int)(i & 0xFF), size[i]);
    }
    assert_int_equal(budget.used, arena.size_bytes);
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], i & 0xFF);
    }
    kal_arena_reset(&arena);
    assert_int_equal(budget.used, 0);
    assert_non_null(kal_arena_alloc(&arena, 1));
    kal_arena_release(&arena);
    assert_int_equal(budget.used, 0);
}

/* Goal: try_ functions refuse beyond the budget and leave it as it was; alloc goes past it. */
static void test_budget(void **state)
{
    kal_budget budget;
    kal_arena arena;
    kal_bytes copy;
    uint8_t large[5000] = {1};
    (void)state;
    kal_budget_init(&budget, NULL, 4096);
    kal_arena_init(&arena, &budget);
    assert_non_null(kal_arena_try_alloc(&arena, 100));
    size_t before = budget.used;
    assert_null(kal_arena_try_alloc(&arena, 4096));
    assert_null(kal_arena_try_alloc(&arena, SIZE_MAX));
    assert_null(kal_arena_try_alloc(&arena, SIZE_MAX - 8));
    assert_null(kal_arena_try_array(&arena, SIZE_MAX / 2, 3));
    assert_false(kal_arena_try_copy(&arena, kal_bytes_of(large, sizeof large), &copy));
    assert_null(copy.ptr);
    assert_int_equal(budget.used, before);
    /* Almost all that is left, though a chunk of the regular, doubled size would not fit. */
    assert_non_null(kal_arena_try_alloc(&arena, 4096 - before - 64));
    assert_true(budget.used <= 4096);
    assert_non_null(kal_arena_alloc(&arena, 10000));
    assert_true(budget.used > 10000);
    kal_arena_release(&arena);
    assert_int_equal(budget.used, 0);
}

/* Goal: copies are equal, followed by NUL, and independent of their source. */
static void test_copies(void **state)
{
    kal_arena arena;
    kal_bytes copy;
    char source[] = "name";
    (void)state;
    kal_arena_init(&arena, NULL);
    assert_true(kal_arena_try_copy(&arena, kal_cstr(source), &copy));
    kal_bytes second = kal_arena_copy(&arena, kal_cstr(source));
    char *text = kal_arena_cstr(&arena, kal_cstr(source));
    source[0] = 'X';
    assert_string_equal((const char *)copy.ptr, "name");
    assert_int_equal(copy.len, 4);
    assert_string_equal((const char *)second.ptr, "name");
    assert_string_equal(text, "name");
    assert_string_equal(kal_arena_printf(&arena, "%s-%d", text, 7), "name-7");
    assert_true(kal_arena_try_copy(&arena, (kal_bytes){0}, &copy));
    assert_non_null(copy.ptr);
    assert_int_equal(copy.len, 0);
    kal_arena_release(&arena);
}

/* Goal: a charge takes from all parents or from none. */
static void test_budget_parents(void **state)
{
    kal_budget server;
    kal_budget statement;
    (void)state;
    kal_budget_init(&server, NULL, 100);
    kal_budget_init(&statement, &server, 80);
    assert_true(kal_budget_charge(&statement, 60));
    assert_int_equal(server.used, 60);
    assert_false(kal_budget_charge(&statement, 21)); /* its own limit */
    assert_true(kal_budget_charge(&server, 30));
    assert_false(kal_budget_charge(&statement, 20)); /* the parent's */
    assert_int_equal(statement.used, 60);
    assert_int_equal(server.used, 90);
    assert_false(kal_budget_charge(&statement, SIZE_MAX));
    assert_true(kal_budget_charge(&statement, 10));
    kal_budget_release(&statement, 70);
    kal_budget_release(&server, 30);
    assert_int_equal(statement.used, 0);
    assert_int_equal(server.used, 0);
    assert_true(kal_budget_charge(NULL, SIZE_MAX));
    kal_budget_release(NULL, SIZE_MAX);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *charge_and_release(void *context)
{
    kal_budget *budget = context;
    size_t charged = 0;
    /* The threads that have the room may have no core: until it was this one's turn, too. */
    for (int i = 0; i < ROUNDS || charged == 0; i++) {
        if (kal_budget_charge(budget, 10)) {
            charged++;
            if (atomic_load(&budget->used) > budget->limit)
                return NULL;
            kal_budget_release(budget, 10);
        }
    }
    return context;
}

/* Goal: the limit holds between threads and nothing is lost. Method: four threads, room for two. */
static void test_budget_threads(void **state)
{
    kal_budget budget;
    pthread_t threads[THREADS];
    (void)state;
    kal_budget_init(&budget, NULL, 25);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, charge_and_release, &budget), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),         cmocka_unit_test(test_budget),
        cmocka_unit_test(test_copies),         cmocka_unit_test(test_budget_parents),
        cmocka_unit_test(test_budget_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
