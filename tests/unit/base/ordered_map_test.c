#include "base/ordered_map.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { KEY_LEN_MAX = 4, MODEL_MAX = 400 };

typedef struct pair {
    uint8_t key[KEY_LEN_MAX];
    size_t key_len;
    uint64_t value;
    size_t value_len; /* 0 to 8 */
} pair;

/* A sorted array that is searched from the front: the model. */
typedef struct model {
    pair pairs[MODEL_MAX];
    size_t len;
} model;

static kal_bytes key_of(const pair *p)
{
    return kal_bytes_of(p->key, p->key_len);
}

static kal_bytes value_of(const pair *p)
{
    return kal_bytes_of(&p->value, p->value_len);
}

/* Index of the first pair with key >= the wanted one. */
static size_t model_at_least(const model *m, kal_bytes key)
{
    size_t i = 0;
    while (i < m->len && kal_bytes_compare(key_of(&m->pairs[i]), key) < 0)
        i++;
    return i;
}

static bool model_has(const model *m, size_t at, kal_bytes key)
{
    return at < m->len && kal_bytes_equal(key_of(&m->pairs[at]), key);
}

static void model_put(model *m, const pair *p)
{
    size_t at = model_at_least(m, key_of(p));
    if (!model_has(m, at, key_of(p))) {
        memmove(&m->pairs[at + 1], &m->pairs[at], (m->len - at) * sizeof *p);
        m->len++;
    }
    m->pairs[at] = *p;
}

static bool model_remove(model *m, kal_bytes key)
{
    size_t at = model_at_least(m, key);
    if (!model_has(m, at, key))
        return false;
    m->len--;
    memmove(&m->pairs[at], &m->pairs[at + 1], (m->len - at) * sizeof m->pairs[0]);
    return true;
}

/* Few letters, 0 and FF among them: keys repeat, and are prefixes of each other. */
static pair random_pair(kal_rng *rng)
{
    static const uint8_t LETTERS[] = {0x00, 'a', 'b', 0x80, 0xFF};
    pair p = {.value = kal_rng_next(rng)};
    p.key_len = (size_t)kal_rng_below(rng, KEY_LEN_MAX + 1);
    p.value_len = (size_t)kal_rng_below(rng, 9);
    for (size_t i = 0; i < p.key_len; i++)
        p.key[i] = LETTERS[kal_rng_below(rng, sizeof LETTERS)];
    return p;
}

static void assert_same(const kal_ordered_entry *entry, const model *m, size_t at)
{
    if (at >= m->len) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    assert_true(kal_bytes_equal(kal_ordered_entry_key(entry), key_of(&m->pairs[at])));
    assert_true(kal_bytes_equal(kal_ordered_entry_value(entry), value_of(&m->pairs[at])));
}

static void check_walks(const kal_ordered_map *map, const model *m)
{
    assert_int_equal(kal_ordered_map_len(map), m->len);
    const kal_ordered_entry *entry = kal_ordered_map_at_least(map, (kal_bytes){0});
    const kal_ordered_entry *last = NULL;
    for (size_t i = 0; i < m->len; i++, entry = kal_ordered_map_next(entry)) {
        assert_same(entry, m, i);
        last = entry;
    }
    assert_null(entry);
    for (size_t i = m->len; i-- > 0; last = kal_ordered_map_prev(map, last))
        assert_same(last, m, i);
    assert_null(last);
}

static void check_search(const kal_ordered_map *map, const model *m, kal_bytes bound)
{
    size_t at = model_at_least(m, bound);
    assert_same(kal_ordered_map_at_least(map, bound), m, at);
    assert_same(kal_ordered_map_below(map, bound), m, at == 0 ? SIZE_MAX : at - 1);
    assert_same(kal_ordered_map_find(map, bound), m, model_has(m, at, bound) ? at : SIZE_MAX);
}

/* Goal: the map is a sorted map and charges exactly what it holds. Method: random puts and removes
 * against the model, with searches for present and absent keys and walks both ways. */
static void test_against_sorted_array(void **state)
{
    static model m;
    kal_budget budget;
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    kal_budget_init(&budget, NULL, SIZE_MAX);
    kal_ordered_map *map = kal_ordered_map_open(&budget);
    m.len = 0;
    check_walks(map, &m);
    for (int step = 0; step < 20000; step++) {
        pair p = random_pair(&rng);
        bool growing = (step / 2000) % 2 == 0;
        if (m.len < MODEL_MAX - 1 && kal_rng_chance(&rng, growing ? 7 : 3, 10)) {
            assert_true(kal_ordered_map_put(map, key_of(&p), value_of(&p)));
            model_put(&m, &p);
        } else {
            assert_int_equal(kal_ordered_map_remove(map, key_of(&p)), model_remove(&m, key_of(&p)));
        }
        p = random_pair(&rng);
        check_search(map, &m, key_of(&p));
        if (step % 500 == 0)
            check_walks(map, &m);
    }
    check_walks(map, &m);
    while (m.len > 0) {
        pair p = m.pairs[kal_rng_below(&rng, m.len)];
        assert_true(kal_ordered_map_remove(map, key_of(&p)));
        model_remove(&m, key_of(&p));
    }
    assert_int_equal(budget.used, 0);
    kal_ordered_map_close(map);
}

/* Goal: a refused put changes nothing. Method: budgets of every size around what one pair takes,
 * for a new key and for a replaced value. */
static void test_budget(void **state)
{
    (void)state;
    bool was_refused = false;
    bool was_taken = false;
    for (size_t limit = 0; limit < 1200; limit++) {
        kal_budget budget;
        kal_budget_init(&budget, NULL, limit);
        kal_ordered_map *map = kal_ordered_map_open(&budget);
        char value[300] = {0};
        bool first = kal_ordered_map_put(map, KAL_STR("a"), kal_bytes_of(value, 200));
        size_t used = budget.used;
        bool second = kal_ordered_map_put(map, KAL_STR("b"), kal_bytes_of(value, 300));
        assert_int_equal(kal_ordered_map_find(map, KAL_STR("b")) != NULL, second);
        if (!second)
            assert_int_equal(budget.used, used);
        used = budget.used;
        bool replaced = kal_ordered_map_put(map, KAL_STR("a"), kal_bytes_of(value, 299));
        const kal_ordered_entry *a = kal_ordered_map_find(map, KAL_STR("a"));
        assert_int_equal(a != NULL, first || replaced);
        if (a != NULL)
            assert_int_equal(kal_ordered_entry_value(a).len, replaced ? 299 : 200);
        if (!replaced)
            assert_int_equal(budget.used, used);
        was_refused |= first && !replaced;
        was_taken |= first && second && replaced;
        assert_true(budget.used <= limit);
        kal_ordered_map_close(map);
        assert_int_equal(budget.used, 0);
    }
    assert_true(was_refused);
    assert_true(was_taken);
}

/* Goal: an entry that is not touched stays where it is while others come and go. */
static void test_entries_stay(void **state)
{
    kal_ordered_map *map = kal_ordered_map_open(NULL);
    (void)state;
    assert_true(kal_ordered_map_put(map, KAL_STR("m"), KAL_STR("value")));
    const kal_ordered_entry *entry = kal_ordered_map_find(map, KAL_STR("m"));
    const uint8_t *value = kal_ordered_entry_value(entry).ptr;
    for (int i = 0; i < 1000; i++) {
        char key[16];
        kal_bytes bytes = kal_bytes_of(key, (size_t)snprintf(key, sizeof key, "%d", i));
        assert_true(kal_ordered_map_put(map, bytes, bytes));
    }
    assert_ptr_equal(kal_ordered_map_find(map, KAL_STR("m")), entry);
    assert_ptr_equal(kal_ordered_entry_value(entry).ptr, value);
    assert_null(kal_ordered_map_next(entry));
    kal_ordered_map_close(map);
    kal_ordered_map_close(NULL);
}

/* Goal: finding takes few steps also when keys arrive in order. Method: 200,000 ascending keys; a
 * list that degenerated would take minutes. */
static void test_ascending_keys(void **state)
{
    enum { COUNT = 200000 };
    kal_ordered_map *map = kal_ordered_map_open(NULL);
    uint8_t key[4];
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        kal_store_be32(key, i);
        assert_true(kal_ordered_map_put(map, kal_bytes_of(key, 4), (kal_bytes){0}));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        kal_store_be32(key, i);
        assert_non_null(kal_ordered_map_find(map, kal_bytes_of(key, 4)));
    }
    kal_ordered_map_close(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_sorted_array),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_entries_stay),
        cmocka_unit_test(test_ascending_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
