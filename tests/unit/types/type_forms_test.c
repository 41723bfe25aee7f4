/*
 * The forms of types that are kept: right, found again in every direction, counted, and bounded.
 */
#include "base/assert.h"
#include "base/thread.h"
#include "random_value.h"
#include "types/arrow.h"
#include "types/json.h"
#include "types/type_forms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every type there is: 15 without parameters, 741 decimals, some embeddings. */
static kal_type type_number(size_t i)
{
    static const kal_type_tag PLAIN[] = {
        KAL_TYPE_BOOLEAN, KAL_TYPE_SMALLINT,  KAL_TYPE_INT,  KAL_TYPE_BIGINT,   KAL_TYPE_FLOAT,
        KAL_TYPE_DOUBLE,  KAL_TYPE_TEXT,      KAL_TYPE_JSON, KAL_TYPE_BYTES,    KAL_TYPE_UUID,
        KAL_TYPE_DATE,    KAL_TYPE_TIMESTAMP, KAL_TYPE_TIME, KAL_TYPE_DATETIME, KAL_TYPE_FILE};
    if (i < KAL_ARRAY_LEN(PLAIN))
        return kal_type_of(PLAIN[i]);
    i -= KAL_ARRAY_LEN(PLAIN);
    for (unsigned p = 1; p <= KAL_DECIMAL_PRECISION_MAX; p++) {
        if (i <= p)
            return kal_type_decimal(p, (unsigned)i);
        i -= p + 1;
    }
    static const uint32_t DIMS[] = {1, 2, 3, 100, 384, 768, 1024, 1536, 3072, 8192};
    return kal_type_embedding(DIMS[i % KAL_ARRAY_LEN(DIMS)]);
}

enum { TYPES = 15 + 779 + 10 };

/* The reply's form reads back as the type; Arrow's is what is computed otherwise. */
static void check_json(const kal_type_forms *forms)
{
    kal_arena arena;
    kal_buf text; /* owned */
    kal_json *json = NULL;
    kal_type back;

    kal_arena_init(&arena, NULL);
    kal_buf_init(&text, NULL);
    kal_arrow_type_json(forms->type, &text);
    assert_true(kal_bytes_equal(kal_buf_bytes(&text),
                                kal_bytes_of(forms->arrow_json, forms->arrow_json_len)));
    assert_int_equal(
        kal_json_parse(kal_bytes_of(forms->reply_json, forms->reply_json_len), &arena, &json, NULL),
        KAL_OK);
    assert_int_equal(kal_type_from_json(json, &back, NULL), KAL_OK);
    assert_true(kal_type_equal(back, forms->type));
    kal_buf_release(&text);
    kal_arena_release(&arena);
}

static void check_forms(kal_type type)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_type back;
    kal_type_forms scratch;
    const kal_type_forms *forms = kal_type_forms_of(type, &scratch);

    assert_true(kal_type_equal(forms->type, type));
    assert_string_equal(forms->sql, kal_type_name(type, name));
    assert_string_equal(forms->duckdb, kal_type_duckdb_name(type, name));
    check_json(forms);
    if (kal_type_of_arrow(forms->arrow_format, forms->arrow_metadata, &back))
        assert_true(kal_type_equal(back, type));
    assert_true(kal_type_of_duckdb(kal_cstr(forms->duckdb), &back));
    if (type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE)
        assert_true(kal_type_equal(back, type));
}

/* Goal: forms are those that are computed otherwise, whether kept or not, and lead back. */
static void all_types(void **state)
{
    (void)state;
    kal_type_cache_set_size(KAL_TYPE_CACHE_SIZE_DEFAULT);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < TYPES; i++)
            check_forms(type_number(i));
    }
}

/* Goal: over 10,000 conversions of all types in all four directions more than 99 % are hits. */
static void hit_rate(void **state)
{
    kal_rng rng;
    (void)state;
    test_seed_rng(&rng);
    kal_type_cache_stats before = kal_type_cache_get_stats();
    for (int i = 0; i < 2500; i++) {
        kal_type_forms scratch;
        kal_type back;
        kal_type type = type_number((size_t)kal_rng_below(&rng, TYPES));
        const kal_type_forms *to_arrow = kal_type_forms_of(type, &scratch);
        const kal_type_forms *to_duckdb = kal_type_forms_of(type, &scratch);
        assert_true(kal_type_of_arrow(to_arrow->arrow_format, to_arrow->arrow_metadata, &back));
        assert_true(kal_type_equal(back, type));
        assert_true(kal_type_of_duckdb(kal_cstr(to_duckdb->duckdb), &back));
    }
    kal_type_cache_stats after = kal_type_cache_get_stats();
    uint64_t hits = after.hits - before.hits;
    uint64_t misses = after.misses - before.misses;
    assert_int_equal(hits + misses, 10000);
    assert_true(hits > 9900);
}

/* Goal: what does not fit is right all the same, counted as a miss, and takes no place. */
static void bounded(void **state)
{
    (void)state;
    kal_type_cache_stats before = kal_type_cache_get_stats();
    kal_type_cache_set_size(0);
    for (uint32_t dim = 4000; dim < 4100; dim++) {
        kal_type_forms scratch;
        const kal_type_forms *forms = kal_type_forms_of(kal_type_embedding(dim), &scratch);
        assert_ptr_equal(forms, &scratch);
        check_forms(kal_type_embedding(dim));
    }
    kal_type_cache_stats after = kal_type_cache_get_stats();
    assert_int_equal(after.size, before.size);
    assert_true(after.misses >= before.misses + 200);
    kal_type_cache_set_size(KAL_TYPE_CACHE_SIZE_DEFAULT);
}

/* Goal: texts that are nearly ours are not taken for them. */
static void strangers(void **state)
{
    kal_type_forms scratch;
    kal_type back;
    (void)state;
    const kal_type_forms *text = kal_type_forms_of(kal_type_of(KAL_TYPE_TEXT), &scratch);
    const kal_type_forms *json = kal_type_forms_of(kal_type_of(KAL_TYPE_JSON), &scratch);
    char metadata[sizeof text->arrow_metadata];

    assert_false(kal_type_of_arrow("i", text->arrow_metadata, &back));
    assert_false(kal_type_of_arrow("u", NULL, &back));
    assert_true(kal_type_of_arrow("u", json->arrow_metadata, &back));
    assert_int_equal(back.tag, KAL_TYPE_JSON);
    for (uint32_t i = 0; i < text->arrow_metadata_bytes; i++) {
        memcpy(metadata, text->arrow_metadata, sizeof metadata);
        metadata[i] = (char)(metadata[i] ^ 0x40);
        assert_false(kal_type_of_arrow("u", metadata, &back));
    }
    assert_false(kal_type_of_duckdb(KAL_STR(""), &back));
    assert_false(kal_type_of_duckdb(KAL_STR("FLOAT[0]"), &back));
    assert_false(kal_type_of_duckdb(KAL_STR("FLOAT[9000]"), &back));
    assert_false(kal_type_of_duckdb(KAL_STR("STRUCT(a INTEGER)"), &back));
    assert_false(kal_type_of_duckdb(KAL_STR("a name that is much longer than any of ours"), &back));
}

typedef struct worker {
    uint64_t seed;
    uint64_t wrong;
} worker;

static void convert_many(void *context)
{
    worker *w = context;
    kal_rng rng;
    kal_rng_seed(&rng, w->seed);
    for (int i = 0; i < 20000; i++) {
        kal_type_forms scratch;
        kal_type type = kal_type_embedding(5000 + (uint32_t)kal_rng_below(&rng, 100));
        const kal_type_forms *forms = kal_type_forms_of(type, &scratch);
        w->wrong += !kal_type_equal(forms->type, type);
    }
}

/* Goal: threads that meet the same types at once get one answer, and every conversion is counted,
 * also those of threads that have ended. */
static void threads(void **state)
{
    enum { THREADS = 4 };
    worker workers[THREADS];
    pthread_t started[THREADS];
    kal_type_cache_stats before = kal_type_cache_get_stats();

    (void)state;
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){i, 0};
        assert_int_equal(
            kal_thread_start(&started[i], "convert", 0, convert_many, &workers[i], NULL), KAL_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(started[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    kal_type_cache_stats after = kal_type_cache_get_stats();
    assert_int_equal(after.hits + after.misses - before.hits - before.misses, THREADS * 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_types), cmocka_unit_test(hit_rate), cmocka_unit_test(bounded),
        cmocka_unit_test(strangers), cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
