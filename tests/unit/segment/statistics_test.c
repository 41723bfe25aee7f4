/*
 * Statistics of a segment against the rows themselves.
 *
 * Goal: no condition that a row meets leaves its segment out, whatever the type, also when columns
 * were widened since, values are long or begin alike; and what can be left out is. Method: random
 * rows of every type, random conditions of every kind, on values of the rows, near them and others;
 * bounds that were not cut and have no filter must be exact.
 */
#include "segment/statistics.h"
#include "types/key.h"
#include "types/widen.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RUNS = 1000, ROWS_MAX = 40, CONDITIONS = 30, KEYS_MAX = 3 };

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_value rows[ROWS_MAX];
    size_t row_count;
    kal_type type; /* of the rows */
    bool is_key;
    kal_segment_info info;
    unsigned met;
    unsigned left_out;
} fixture;

static kal_column column_of(kal_type type, uint32_t column_id, bool is_key)
{
    kal_column column = kal_column_simple("c", 1, type);
    column.column_id = column_id;
    column.is_primary_key = is_key;
    return column;
}

/* Long values that begin alike differ after the bound's bytes. */
static kal_value any_value(fixture *f)
{
    kal_value v = random_value(&f->rng, f->type, &f->arena);
    if ((f->type.tag != KAL_TYPE_TEXT && f->type.tag != KAL_TYPE_BYTES) ||
        kal_rng_below(&f->rng, 3) > 0)
        return v;
    size_t len = 24 + kal_rng_below(&f->rng, 16);
    uint8_t fill = f->type.tag == KAL_TYPE_TEXT ? 'x' : kal_rng_below(&f->rng, 2) ? 0xff : 0;
    v.bytes = test_fill(fill, len, &f->arena);
    if (kal_rng_below(&f->rng, 2) == 0)
        ((uint8_t *)(uintptr_t)v.bytes.ptr)[len - 1] = (uint8_t)('a' + kal_rng_below(&f->rng, 3));
    return v;
}

static void make_segment(fixture *f)
{
    f->type = random_type(&f->rng);
    f->is_key = kal_rng_below(&f->rng, 2) == 0;
    f->row_count = 1 + kal_rng_below(&f->rng, ROWS_MAX);
    size_t distinct = 1 + kal_rng_below(&f->rng, f->row_count);
    kal_column column = column_of(f->type, 7, f->is_key);
    kal_table_definition def = {.columns = &column, .column_count = 1};

    kal_statistics_collector *c = kal_statistics_open(&def);
    for (size_t i = 0; i < f->row_count; i++) {
        f->rows[i] = i < distinct ? any_value(f) : f->rows[kal_rng_below(&f->rng, distinct)];
        if (!f->is_key && kal_rng_below(&f->rng, 4) == 0)
            f->rows[i] = kal_value_null(f->type);
        kal_statistics_add(c, i, &f->rows[i]);
    }
    f->info = (kal_segment_info){.row_count = f->row_count,
                                 .statistics = kal_statistics_encode(c, &f->arena)};
    kal_statistics_close(c);
}

static kal_type wider(fixture *f)
{
    kal_type type = random_type(&f->rng);
    for (int i = 0; i < 20; i++) {
        if (kal_type_widens(f->type, type))
            return type;
        type = random_type(&f->rng);
    }
    return f->type;
}

static kal_value operand(fixture *f, kal_type type)
{
    kal_value v = f->rows[kal_rng_below(&f->rng, f->row_count)];
    if (v.is_null || kal_rng_below(&f->rng, 3) == 0)
        v = any_value(f);
    kal_value_widen(&v, type, &v);
    return v;
}

static kal_bytes key_of(fixture *f, const kal_value *v)
{
    kal_buf key;
    kal_buf_init(&key, NULL);
    kal_key_append(&key, v);
    kal_bytes copy = kal_arena_copy(&f->arena, kal_buf_bytes(&key));
    kal_buf_release(&key);
    return copy;
}

/* The condition and what it says, as values. */
typedef struct question {
    kal_condition c;
    kal_value lower;
    kal_value upper;
    kal_value equal[KEYS_MAX];
    kal_bytes keys[KEYS_MAX];
    uint64_t hashes[KEYS_MAX];
} question;

static void ask_something(fixture *f, question *q)
{
    kal_type type = wider(f);
    *q = (question){.c = {.kind = (kal_condition_kind)kal_rng_below(&f->rng, 4),
                          .column_id = 7,
                          .type = type,
                          .lower_excluded = kal_rng_below(&f->rng, 2) == 0,
                          .upper_excluded = kal_rng_below(&f->rng, 2) == 0}};
    q->lower = operand(f, type);
    q->upper = operand(f, type);
    if (kal_rng_below(&f->rng, 3) > 0)
        q->c.lower = key_of(f, &q->lower);
    if (kal_rng_below(&f->rng, 3) > 0)
        q->c.upper = key_of(f, &q->upper);
    q->c.key_count = 1 + kal_rng_below(&f->rng, KEYS_MAX);
    for (size_t i = 0; i < q->c.key_count; i++) {
        q->equal[i] = operand(f, type);
        q->keys[i] = key_of(f, &q->equal[i]);
        q->hashes[i] = kal_condition_hash(&q->equal[i], q->keys[i]);
    }
    q->c.keys = q->keys;
    q->c.hashes = q->hashes;
}

static bool is_between(const question *q, const kal_value *v)
{
    if (q->c.lower.len > 0) {
        int order = kal_value_compare(v, &q->lower);
        if (order < 0 || (order == 0 && q->c.lower_excluded))
            return false;
    }
    if (q->c.upper.len > 0) {
        int order = kal_value_compare(v, &q->upper);
        if (order > 0 || (order == 0 && q->c.upper_excluded))
            return false;
    }
    return true;
}

static bool meets(const question *q, const kal_value *row)
{
    kal_value v;

    if (q->c.kind == KAL_CONDITION_NULL || row->is_null)
        return row->is_null && q->c.kind == KAL_CONDITION_NULL;
    if (q->c.kind == KAL_CONDITION_NOT_NULL)
        return true;
    kal_value_widen(row, q->c.type, &v);
    if (q->c.kind == KAL_CONDITION_BETWEEN)
        return is_between(q, &v);
    for (size_t i = 0; i < q->c.key_count; i++) {
        if (kal_value_compare(&v, &q->equal[i]) == 0)
            return true;
    }
    return false;
}

/* Below the least row, or above the greatest: that has to be seen where bounds were not cut. */
static bool is_outside(const fixture *f, const question *q)
{
    bool all_below = q->c.lower.len > 0;
    bool all_above = q->c.upper.len > 0;
    for (size_t i = 0; i < f->row_count; i++) {
        kal_value v;
        if (f->rows[i].is_null)
            continue;
        kal_value_widen(&f->rows[i], q->c.type, &v);
        int lower = kal_value_compare(&v, &q->lower);
        int upper = kal_value_compare(&v, &q->upper);
        all_below = all_below && (lower < 0 || (lower == 0 && q->c.lower_excluded));
        all_above = all_above && (upper > 0 || (upper == 0 && q->c.upper_excluded));
    }
    return all_below || all_above;
}

static bool has_bounds(kal_type type)
{
    return type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE && type.tag != KAL_TYPE_EMBEDDING;
}

static void check_question(fixture *f)
{
    question q;
    bool is_met = false;

    ask_something(f, &q);
    const kal_conditions conditions = {&q.c, 1};
    for (size_t i = 0; i < f->row_count; i++)
        is_met = is_met || meets(&q, &f->rows[i]);
    bool may = kal_statistics_may_meet(&f->info, &conditions);
    if (is_met && !may)
        fail_msg("type %u, kind %d: a row that meets the condition is left out", f->type.tag,
                 (int)q.c.kind);
    f->met += is_met;
    f->left_out += !may;
    if (q.c.kind == KAL_CONDITION_NULL || q.c.kind == KAL_CONDITION_NOT_NULL)
        assert_int_equal(may, is_met);
    if (q.c.kind == KAL_CONDITION_BETWEEN && has_bounds(f->type) &&
        (f->type.tag == KAL_TYPE_UUID || !kal_type_is_bytes(f->type)) && is_outside(f, &q))
        assert_false(may);
}

static void test_conditions(void **state)
{
    fixture f = {0};

    (void)state;
    test_seed_rng(&f.rng);
    for (int run = 0; run < RUNS; run++) {
        kal_arena_init(&f.arena, NULL);
        make_segment(&f);
        for (int i = 0; i < CONDITIONS; i++)
            check_question(&f);
        kal_arena_release(&f.arena);
    }
    printf("%u met, %u left out\n", f.met, f.left_out);
    assert_true(f.met > RUNS && f.left_out > RUNS);
}

static kal_condition equals(const kal_value *v, kal_bytes *key, uint64_t *hash)
{
    kal_buf room;
    static uint8_t bytes[64];
    kal_buf_init(&room, NULL);
    kal_key_append(&room, v);
    assert_true(room.len <= sizeof bytes);
    memcpy(bytes, room.ptr, room.len);
    *key = kal_bytes_of(bytes, room.len);
    *hash = kal_condition_hash(v, *key);
    kal_buf_release(&room);
    return (kal_condition){.kind = KAL_CONDITION_IN,
                           .column_id = 1,
                           .type = v->type,
                           .keys = key,
                           .hashes = hash,
                           .key_count = 1};
}

static bool may_be(const kal_segment_info *info, kal_value v)
{
    kal_bytes key;
    uint64_t hash;
    const kal_condition c = equals(&v, &key, &hash);
    const kal_conditions conditions = {&c, 1};
    return kal_statistics_may_meet(info, &conditions);
}

/* Every second INT is there, twice; the column is a BIGINT by now. */
static void test_filter(void **state)
{
    enum { VALUES = 10000 };
    kal_column column = column_of(kal_type_of(KAL_TYPE_INT), 1, true);
    kal_table_definition def = {.columns = &column, .column_count = 1};
    kal_arena arena;
    unsigned passed = 0;

    (void)state;
    kal_arena_init(&arena, NULL);
    kal_statistics_collector *c = kal_statistics_open(&def);
    for (int i = 0; i < 2 * VALUES; i++) {
        kal_value v = kal_value_integer(KAL_TYPE_INT, i / 2 * 2);
        kal_statistics_add(c, (uint64_t)(i / 2 * 2), &v);
    }
    kal_segment_info info = {.row_count = 2 * VALUES,
                             .statistics = kal_statistics_encode(c, &arena)};
    kal_statistics_close(c);
    for (int i = 0; i < VALUES; i++) {
        assert_true(may_be(&info, kal_value_bigint(2 * i)));
        assert_true(may_be(&info, kal_value_integer(KAL_TYPE_INT, 2 * i)));
        assert_true(kal_statistics_may_have_user(&info, (uint64_t)(2 * i)));
        passed += may_be(&info, kal_value_bigint(2 * i + 1));
        passed += kal_statistics_may_have_user(&info, (uint64_t)(2 * i + 1));
    }
    printf("%u of %d pass that are not there; %zu bytes\n", passed, 2 * VALUES,
           info.statistics.len);
    assert_true(passed < 2 * VALUES / 50);
    assert_true(info.statistics.len < 2 * (VALUES * KAL_FILTER_BITS_PER_VALUE / 8) + 100);
    kal_arena_release(&arena);
}

/* Too many values: no filter; and the statistics stay small. */
static void test_too_many_values(void **state)
{
    kal_column column = column_of(kal_type_of(KAL_TYPE_BIGINT), 1, true);
    kal_table_definition def = {.columns = &column, .column_count = 1};
    kal_arena arena;

    (void)state;
    kal_arena_init(&arena, NULL);
    kal_statistics_collector *c = kal_statistics_open(&def);
    for (int i = 0; i < 4 * KAL_FILTER_VALUES_MAX; i++) {
        kal_value v = kal_value_bigint(i / 2 * 2);
        kal_statistics_add(c, (uint64_t)i, &v);
    }
    kal_segment_info info = {.row_count = 4 * KAL_FILTER_VALUES_MAX,
                             .statistics = kal_statistics_encode(c, &arena)};
    kal_statistics_close(c);
    assert_true(info.statistics.len < 100);
    assert_true(may_be(&info, kal_value_bigint(1)));
    assert_false(may_be(&info, kal_value_bigint(-1)));
    assert_true(kal_statistics_may_have_user(&info, 0));
    kal_arena_release(&arena);
}

/* What a segment of before says, one of a later version, and what was cut short: not known. */
static void test_not_known(void **state)
{
    kal_column column = column_of(kal_type_of(KAL_TYPE_BIGINT), 1, true);
    kal_table_definition def = {.columns = &column, .column_count = 1};
    kal_value v = kal_value_bigint(5);
    kal_arena arena;
    uint8_t later[64];

    (void)state;
    kal_arena_init(&arena, NULL);
    kal_statistics_collector *c = kal_statistics_open(&def);
    kal_statistics_add(c, 1, &v);
    kal_bytes whole = kal_statistics_encode(c, &arena);
    kal_statistics_close(c);
    kal_segment_info info = {.row_count = 1, .statistics = whole};
    assert_false(may_be(&info, kal_value_bigint(6)));
    for (size_t len = 0; len < whole.len; len++) {
        info.statistics = kal_bytes_of(test_exact_copy(whole.ptr, len), len);
        assert_true(may_be(&info, kal_value_bigint(6)));
        assert_true(kal_statistics_may_have_user(&info, 2));
        free((void *)(uintptr_t)info.statistics.ptr);
    }
    assert_true(whole.len <= sizeof later);
    memcpy(later, whole.ptr, whole.len);
    later[0]++;
    info.statistics = kal_bytes_of(later, whole.len);
    assert_true(may_be(&info, kal_value_bigint(6)));
    kal_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
