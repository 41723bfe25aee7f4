#include "base/list.h"
#include "base/vec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef KAL_VEC(uint32_t) numbers;

/* Goal: elements keep their order and value while the vector moves. */
static void test_heap(void **state)
{
    numbers v = {0};
    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        kal_vec_push(&v, i * 3);
    assert_int_equal(v.len, 10000);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(v.items[i], i * 3);
    kal_vec_release(&v);
    assert_null(v.items);
    assert_int_equal(v.len, 0);
    kal_vec_push(&v, 1); /* usable again */
    kal_vec_release(&v);
}

/* Goal: in an arena the vector stops cleanly at the budget and keeps what it had. */
static void test_arena(void **state)
{
    kal_budget budget;
    kal_arena arena;
    numbers v = {0};
    uint32_t pushed = 0;
    (void)state;
    kal_budget_init(&budget, NULL, 64 * 1024);
    kal_arena_init(&arena, &budget);
    while (kal_vec_try_push_in(&arena, &v, pushed))
        pushed++;
    assert_int_equal(v.len, pushed);
    assert_in_range(pushed, 1000, 16 * 1024);
    for (uint32_t i = 0; i < pushed; i++)
        assert_int_equal(v.items[i], i);
    assert_true(budget.used <= budget.limit);
    kal_arena_release(&arena);
}

typedef struct element {
    int number;
    kal_list link;
} element;

static int number_of(kal_list *link)
{
    return KAL_CONTAINER_OF(link, element, link)->number;
}

/* Goal: the intrusive list keeps its order; removing from the middle, twice, is harmless. */
static void test_list(void **state)
{
    kal_list head;
    element e[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    int expected = 0;
    (void)state;
    kal_list_init(&head);
    assert_true(kal_list_empty(&head));
    assert_null(kal_list_pop_front(&head));
    for (size_t i = 0; i < 4; i++)
        kal_list_push_back(&head, &e[i].link);
    KAL_LIST_FOR_EACH (link, &head) {
        assert_int_equal(number_of(link), expected++);
    }
    assert_int_equal(expected, 4);
    kal_list_remove(&e[1].link);
    kal_list_remove(&e[1].link);
    assert_int_equal(number_of(kal_list_pop_front(&head)), 0);
    assert_int_equal(number_of(kal_list_pop_front(&head)), 2);
    assert_int_equal(number_of(kal_list_pop_front(&head)), 3);
    assert_true(kal_list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
