/* Goal: a list that is looked through in pieces has each link looked at within four of them, and
 * a short one keeps its order. Method: lists of many lengths, links that count. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LEN_MAX = 5000 };

typedef struct counted {
    kal_list link;
    unsigned seen;
} counted;

static void look_at_a_piece(kal_list *list, size_t len)
{
    for (size_t left = kal_list_piece(len); left > 0; left--)
        KAL_CONTAINER_OF(kal_list_rotate(list), counted, link)->seen++;
}

static void check_len(counted *all, size_t len)
{
    kal_list list;

    kal_list_init(&list);
    for (size_t i = 0; i < len; i++) {
        all[i].seen = 0;
        kal_list_push_back(&list, &all[i].link);
    }
    for (unsigned i = 0; i < 4; i++)
        look_at_a_piece(&list, len);
    for (size_t i = 0; i < len; i++) {
        assert_true(all[i].seen >= 1);
        assert_true(all[i].seen <= 4);
    }
}

static void four_pieces_see_all(void **state)
{
    counted *all = calloc(LEN_MAX, sizeof *all);

    (void)state;
    assert_non_null(all);
    for (size_t len = 0; len < LEN_MAX; len = len < 600 ? len + 1 : len + 97)
        check_len(all, len);
    free(all);
}

static void a_short_list_keeps_its_order(void **state)
{
    counted all[3];
    kal_list list;

    (void)state;
    kal_list_init(&list);
    for (size_t i = 0; i < 3; i++)
        kal_list_push_back(&list, &all[i].link);
    for (size_t left = kal_list_piece(3); left > 0; left--)
        kal_list_rotate(&list);
    assert_ptr_equal(list.next, &all[0].link);
    assert_ptr_equal(list.prev, &all[2].link);
    assert_ptr_equal(kal_list_rotate(&list), &all[0].link);
    assert_ptr_equal(list.prev, &all[0].link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_pieces_see_all),
        cmocka_unit_test(a_short_list_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
