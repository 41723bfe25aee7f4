#include "base/map.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { KEYS = 300, STEPS = 20000 };

static kal_bytes key_of(size_t number, char text[16])
{
    int len = snprintf(text, 16, "%zu", number);
    return kal_bytes_of(text, number == 0 ? 0 : (size_t)len); /* key 0 is the empty one */
}

static void check_walk(const kal_map *map, void *const model[KEYS], size_t expected_len)
{
    size_t position = 0;
    size_t count = 0;
    kal_bytes key;
    for (void *value; (value = kal_map_next(map, &position, &key)) != NULL; count++) {
        char text[16] = "0";
        memcpy(text, key.ptr, key.len);
        assert_ptr_equal(value, model[strtoul(text, NULL, 10)]);
    }
    assert_int_equal(count, expected_len);
    assert_int_equal(map->len, expected_len);
}

/* Goal: the map is a map. Method: random puts, removes and finds on few keys, so that runs of
 * colliding slots form and break, against an array. */
static void test_against_array(void **state)
{
    kal_map map;
    kal_rng rng;
    void *model[KEYS] = {0};
    int values[8];
    size_t len = 0;
    (void)state;
    kal_test_seed(&rng);
    kal_map_init(&map);
    assert_null(kal_map_find(&map, KAL_STR("x")));
    assert_null(kal_map_remove(&map, KAL_STR("x")));
    for (int step = 0; step < STEPS; step++) {
        char text[16];
        size_t number = (size_t)kal_rng_below(&rng, KEYS);
        kal_bytes key = key_of(number, text);
        void *value = &values[kal_rng_below(&rng, 8)];
        bool growing = (step / 2000) % 2 == 0;
        if (kal_rng_chance(&rng, growing ? 3 : 1, 4)) {
            assert_ptr_equal(kal_map_put(&map, key, value), model[number]);
            len += model[number] == NULL ? 1 : 0;
            model[number] = value;
        } else {
            assert_ptr_equal(kal_map_remove(&map, key), model[number]);
            len -= model[number] == NULL ? 0 : 1;
            model[number] = NULL;
        }
        size_t other = (size_t)kal_rng_below(&rng, KEYS);
        assert_ptr_equal(kal_map_find(&map, key_of(other, text)), model[other]);
        if (step % 500 == 0)
            check_walk(&map, model, len);
    }
    check_walk(&map, model, len);
    kal_map_release(&map);
    assert_int_equal(map.len, 0);
}

/* Goal: keys are copied in and may hold any bytes. */
static void test_keys_are_copied(void **state)
{
    kal_map map;
    char key[] = {'a', 0, 'b'};
    int value = 0;
    (void)state;
    kal_map_init(&map);
    kal_map_put(&map, kal_bytes_of(key, 3), &value);
    key[2] = 'c';
    assert_null(kal_map_find(&map, kal_bytes_of(key, 3)));
    key[2] = 'b';
    assert_ptr_equal(kal_map_find(&map, kal_bytes_of(key, 3)), &value);
    assert_null(kal_map_find(&map, KAL_STR("a")));
    kal_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_keys_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
