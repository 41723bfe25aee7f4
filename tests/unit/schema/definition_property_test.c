#include "schema_testing.h"

#include "random_definition.h"

enum { DEFINITIONS = 200, DAMAGED_DEFINITIONS = 10 };

static kal_table_definition *make(testing *t, kal_rng *rng, uint32_t columns_max)
{
    kal_table_definition *def = kal_rng_chance(rng, 1, 4)
                                    ? random_view(rng, columns_max, &t->arena, &t->err)
                                    : random_definition(rng, columns_max, 6, &t->arena, &t->err);
    if (def == NULL)
        fail_msg("%s", t->err.message);
    testing_ok(t, kal_table_definition_validate(def, &t->err));
    return def;
}

static void forget(testing *t)
{
    kal_arena_reset(&t->arena);
    kal_buf_clear(&t->buf);
}

/* Goal: any definition survives its binary and its JSON form. Method: random ones of any version;
 * equality of both forms of the copy, which between them hold every field. */
static void test_round_trips(void **state)
{
    testing *t = *state;
    kal_rng rng;
    kal_buf again; /* owned */

    test_seed_rng(&rng);
    kal_buf_init(&again, NULL);
    for (int i = 0; i < DEFINITIONS; i++) {
        kal_table_definition *def = make(t, &rng, 12);
        kal_table_definition *back = NULL;
        const char *json = testing_definition_json(t, def);

        kal_table_definition_encode(def, &t->buf);
        testing_ok(t,
                   kal_table_definition_decode(kal_buf_bytes(&t->buf), &t->arena, &back, &t->err));
        kal_buf_clear(&again);
        kal_table_definition_encode(back, &again);
        assert_true(kal_bytes_equal(kal_buf_bytes(&t->buf), kal_buf_bytes(&again)));

        testing_ok(
            t, kal_table_definition_from_json(testing_json(t, json), &t->arena, &back, &t->err));
        kal_buf_clear(&again);
        kal_table_definition_encode(back, &again);
        assert_true(kal_bytes_equal(kal_buf_bytes(&t->buf), kal_buf_bytes(&again)));

        kal_buf_clear(&again);
        kal_table_definition_encode(kal_table_definition_copy(def, 0, &t->arena), &again);
        assert_true(kal_bytes_equal(kal_buf_bytes(&t->buf), kal_buf_bytes(&again)));

        kal_buf_clear(&t->buf);
        assert_string_equal(testing_definition_json(t, back), json);
        forget(t);
    }
    kal_buf_release(&again);
}

/* Decodes an exact copy of the bytes: an error with a message, or a definition that keeps all rules
 * and encodes and shows. */
static void check_damaged(testing *t, const uint8_t *bytes, size_t len)
{
    kal_arena arena;                             /* owned */
    uint8_t *copy = test_exact_copy(bytes, len); /* owned */
    kal_table_definition *def = NULL;
    kal_error err = KAL_ERROR_INIT;
    kal_buf out; /* owned */

    kal_arena_init(&arena, NULL);
    kal_buf_init(&out, NULL);
    kal_status status = kal_table_definition_decode(kal_bytes_of(copy, len), &arena, &def, &err);
    free(copy);
    if (status == KAL_OK) {
        kal_json_writer w;
        kal_json *json = NULL;
        testing_ok(t, kal_table_definition_validate(def, &t->err));
        kal_table_definition_to_sql(def, &out);
        kal_buf_clear(&out);
        kal_json_writer_init(&w, &out);
        kal_table_definition_write_json(def, &w);
        testing_ok(t, kal_json_parse(kal_buf_bytes(&out), &arena, &json, &t->err));
        testing_ok(t, kal_table_definition_from_json(json, &arena, &def, &t->err));
    } else {
        assert_true(status == KAL_CORRUPT || status == KAL_UNSUPPORTED);
        assert_true(err.message[0] != '\0');
        assert_null(def);
    }
    kal_buf_release(&out);
    kal_arena_release(&arena);
}

/* Goal: no damage to stored bytes crashes or slips through as a definition that breaks the rules.
 * Method: random definitions; every truncation, every flipped bit of the shorter ones, and random
 * damage. */
static void test_damage(void **state)
{
    testing *t = *state;
    kal_rng rng;
    kal_buf clean; /* owned */

    test_seed_rng(&rng);
    kal_buf_init(&clean, NULL);
    for (int i = 0; i < DAMAGED_DEFINITIONS; i++) {
        kal_buf_clear(&clean);
        kal_table_definition_encode(make(t, &rng, 4), &clean);
        for (size_t len = 0; len < clean.len; len = test_next_cut(&rng, len, clean.len))
            check_damaged(t, clean.ptr, len);
        size_t bits = (clean.len < 600 ? clean.len : 600) * 8;
        for (size_t bit = 0; bit < bits; bit++) {
            clean.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            check_damaged(t, clean.ptr, clean.len);
            clean.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (int k = 0; k < 100; k++) {
            uint8_t *copy = test_exact_copy(clean.ptr, clean.len); /* owned */
            random_mutate(&rng, copy, clean.len);
            check_damaged(t, copy, clean.len);
            free(copy);
        }
        forget(t);
    }
    kal_buf_release(&clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTING_UNIT(test_round_trips),
        TESTING_UNIT(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
