/*
 * mapping_testing.h: what the tests of the mappings share: a random stream, memory for one test,
 * and walks over every type with its extremes and random values.
 */
#ifndef KAL_TESTS_TYPES_MAPPING_TESTING_H
#define KAL_TESTS_TYPES_MAPPING_TESTING_H

#include "types/text.h"
#include "unit/types/random_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    kal_rng rng;
    kal_arena arena;
    kal_buf buf;
} fixture;

static inline int fixture_set_up(void **state)
{
    static fixture f;
    test_seed_rng(&f.rng);
    kal_arena_init(&f.arena, NULL);
    kal_buf_init(&f.buf, NULL);
    *state = &f;
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    fixture *f = *state;
    kal_arena_release(&f->arena);
    kal_buf_release(&f->buf);
    return 0;
}

#define UNIT(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

/* Every type x its extremes and `count` random values. */
static inline void each_value(fixture *f, unsigned count,
                              void (*check)(fixture *f, const kal_value *v))
{
    kal_type type;
    for (size_t i = 0; test_type_at(i, &type); i++) {
        kal_value v;
        for (size_t k = 0; test_extreme_value(type, k, &f->arena, &v); k++)
            check(f, &v);
        for (size_t k = 0; k < count; k++) {
            v = random_value(&f->rng, type, &f->arena);
            check(f, &v);
        }
        kal_arena_reset(&f->arena);
    }
}

static inline void show_failure(const char *what, const kal_value *v, kal_bytes form,
                                const char *message)
{
    char name[KAL_TYPE_NAME_BYTES];
    kal_buf text;
    kal_buf_init(&text, NULL);
    kal_value_to_text(v, &text);
    print_error("%s of a %s: %.*s\n  as: %.*s\n  %s\n", what, kal_type_name(v->type, name),
                (int)(text.len > 200 ? 200 : text.len), (const char *)text.ptr,
                (int)(form.len > 200 ? 200 : form.len), (const char *)form.ptr, message);
    kal_buf_release(&text);
}

/* The value of `type` as text says, or a failed test. */
static inline kal_value value_of(fixture *f, kal_type type, const char *text)
{
    kal_value v;
    kal_error err = KAL_ERROR_INIT;
    if (kal_value_from_text(type, kal_cstr(text), &f->arena, &v, &err) != KAL_OK)
        fail_msg("'%s': %s", text, err.message);
    return v;
}

static inline kal_type type_of(const char *sql)
{
    kal_type type;
    kal_error err = KAL_ERROR_INIT;
    if (kal_type_parse(kal_cstr(sql), &type, &err) != KAL_OK)
        fail_msg("'%s': %s", sql, err.message);
    return type;
}

static inline const char *text_of(fixture *f, const kal_value *v)
{
    kal_buf_clear(&f->buf);
    kal_value_to_text(v, &f->buf);
    return kal_arena_cstr(&f->arena, kal_buf_bytes(&f->buf));
}

#endif
