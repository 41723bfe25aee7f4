/* The index of conditions against conditions that are tested one by one. */
#include "live/condition_index.h"
#include "types/key.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 60, QUERIES = 80, STEPS = 120, COLUMNS = 3, VALUES = 9, KEYS_MAX = 4 };

typedef struct model_query {
    kal_indexed indexed;
    kal_live_index condition;
    bool is_in;
} model_query;

static kal_bytes key_of(kal_arena *arena, int64_t v)
{
    kal_value value = kal_value_bigint(v);
    kal_buf key; /* owned */
    kal_buf_init(&key, NULL);
    kal_key_append(&key, &value);
    kal_bytes copy = kal_arena_copy(arena, kal_buf_bytes(&key));
    kal_buf_release(&key);
    return copy;
}

static void random_condition(kal_rng *rng, kal_arena *arena, kal_live_index *c)
{
    int64_t first = (int64_t)kal_rng_below(rng, VALUES);

    *c = (kal_live_index){.kind = (kal_live_index_kind)kal_rng_below(rng, 4),
                          .column = (uint32_t)kal_rng_below(rng, COLUMNS)};
    if (c->kind == KAL_LIVE_INDEX_KEYS) {
        c->key_count = 1 + kal_rng_below(rng, KEYS_MAX);
        c->keys = kal_arena_alloc(arena, c->key_count * sizeof *c->keys);
        for (size_t i = 0; i < c->key_count; i++)
            c->keys[i] = key_of(arena, first + (int64_t)i);
    }
    if (c->kind != KAL_LIVE_INDEX_RANGE)
        return;
    c->has_lower = kal_rng_chance(rng, 2, 3);
    c->has_upper = !c->has_lower || kal_rng_chance(rng, 2, 3);
    c->lower_inclusive = kal_rng_chance(rng, 1, 2);
    c->upper_inclusive = kal_rng_chance(rng, 1, 2);
    c->lower = key_of(arena, first);
    c->upper = key_of(arena, (int64_t)kal_rng_below(rng, VALUES));
}

static bool meets(const kal_live_index *c, const kal_value *row, kal_arena *arena)
{
    const kal_value *v = &row[c->column];
    return kal_live_index_meets(c, v->is_null ? (kal_bytes){0} : key_of(arena, v->integer));
}

static void random_row(kal_rng *rng, kal_value row[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++)
        row[i] = kal_rng_chance(rng, 1, 6) ? kal_value_null(kal_type_of(KAL_TYPE_BIGINT))
                                           : kal_value_bigint((int64_t)kal_rng_below(rng, VALUES));
}

static void check(kal_condition_index *index, model_query *all, const kal_value *before,
                  const kal_value *after, kal_arena *arena)
{
    kal_row before_row = kal_row_of_values(before, 1);
    kal_row after_row = kal_row_of_values(after, 2);

    kal_condition_index_find(index, before == NULL ? NULL : &before_row,
                             after == NULL ? NULL : &after_row);
    size_t expected = 0;
    for (size_t i = 0; i < QUERIES; i++) {
        bool was = all[i].is_in && before != NULL && meets(&all[i].condition, before, arena);
        bool is = all[i].is_in && after != NULL && meets(&all[i].condition, after, arena);
        size_t found = 0;
        for (size_t h = 0; h < index->hits.len; h++) {
            if (index->hits.items[h] != &all[i].indexed)
                continue;
            found++;
            assert_int_equal(all[i].indexed.is_hit_before, was);
            assert_int_equal(all[i].indexed.is_hit_after, is);
        }
        assert_int_equal(found, was || is);
        expected += was || is;
    }
    assert_int_equal(index->hits.len, expected);
}

static void one_round(kal_rng *rng)
{
    static model_query all[QUERIES];
    kal_condition_index index;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    memset(all, 0, sizeof all);
    kal_condition_index_init(&index);
    for (size_t i = 0; i < QUERIES; i++) {
        random_condition(rng, &arena, &all[i].condition);
        all[i].indexed.condition = &all[i].condition;
    }
    for (size_t step = 0; step < STEPS; step++) {
        model_query *q = &all[kal_rng_below(rng, QUERIES)];
        kal_value before[COLUMNS];
        kal_value after[COLUMNS];
        if (!q->is_in)
            kal_condition_index_add(&index, &q->indexed);
        else
            kal_condition_index_remove(&index, &q->indexed);
        q->is_in = !q->is_in;
        random_row(rng, before);
        random_row(rng, after);
        check(&index, all, kal_rng_chance(rng, 1, 3) ? NULL : before,
              kal_rng_chance(rng, 1, 3) ? NULL : after, &arena);
    }
    for (size_t i = 0; i < QUERIES; i++) {
        if (all[i].is_in)
            kal_condition_index_remove(&index, &all[i].indexed);
    }
    kal_condition_index_release(&index);
    kal_arena_release(&arena);
}

static void hits_are_those_whose_condition_is_met(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int round = 0; round < ROUNDS; round++)
        one_round(&rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_are_those_whose_condition_is_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
