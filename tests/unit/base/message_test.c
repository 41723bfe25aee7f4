/*
 * Goal: a message is the same object in all its forms, whatever head and body are; what is shared
 * is made once; memory that is refused is an error and all of it is given back.
 */
#include "base/message.h"
#include "base/msgpack.h"
#include "unit/base/random_json.h"
#include "unit/base/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void whole(const kal_message *m, kal_buf *out)
{
    size_t prefix = kal_message_prefix_len(m);
    assert_true(kal_buf_reserve(out, m->len));
    kal_message_write_prefix(m, out->ptr + out->len);
    out->len += prefix;
    kal_buf_append_bytes(out, m->middle);
    kal_buf_append(out, m->tail, m->tail_len);
    assert_int_equal(out->len, m->len);
}

static void inflate_all(kal_bytes packed, kal_buf *out)
{
    kal_inflater *inflater = kal_inflater_open(NULL);
    assert_int_equal(kal_inflater_add(inflater, packed, 1 << 24, out, NULL), KAL_OK);
    kal_inflater_close(inflater);
}

/* What a client gets out of the bytes. */
static void unpack(const kal_message *m, kal_bytes bytes, kal_buf *out)
{
    kal_buf packed;
    if (m->packing == KAL_PACK_PLAIN) {
        kal_buf_append_bytes(out, bytes);
    } else if (m->packing == KAL_PACK_DEFLATE) {
        kal_buf_init(&packed, NULL);
        kal_buf_append_bytes(&packed, bytes);
        kal_buf_append_bytes(&packed, KAL_DEFLATE_END);
        inflate_all(kal_buf_bytes(&packed), out);
        kal_buf_release(&packed);
    } else {
        assert_true(bytes.len > 18);
        assert_memory_equal(bytes.ptr, "\x1F\x8B\x08\x00", 4);
        inflate_all(kal_bytes_of(bytes.ptr + 10, bytes.len - 18), out);
        assert_int_equal(kal_load_le32(bytes.ptr + bytes.len - 8), kal_crc32(kal_buf_bytes(out)));
        assert_int_equal(kal_load_le32(bytes.ptr + bytes.len - 4), out->len);
    }
}

static void check_form(const kal_message_head *head, kal_message_body *body, kal_wire wire,
                       kal_packing packing, kal_bytes expected_text)
{
    kal_message m;
    kal_buf bytes, plain;
    kal_arena arena;
    kal_json *expected = NULL;
    kal_json *found = NULL;

    kal_buf_init(&bytes, NULL);
    kal_buf_init(&plain, NULL);
    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_message_make(head, body, wire, packing, 32768, &m, NULL), KAL_OK);
    whole(&m, &bytes);
    unpack(&m, kal_buf_bytes(&bytes), &plain);
    assert_true(m.packing == packing || m.packing == KAL_PACK_PLAIN);
    if (m.packing != KAL_PACK_PLAIN)
        assert_true(bytes.len < plain.len && plain.len >= KAL_MESSAGE_PACK_BYTES_MIN);
    if (wire == KAL_WIRE_JSON) {
        assert_true(kal_bytes_equal(kal_buf_bytes(&plain), expected_text));
    } else {
        assert_int_equal(kal_json_parse(expected_text, &arena, &expected, NULL), KAL_OK);
        assert_int_equal(kal_msgpack_parse(kal_buf_bytes(&plain), &arena, &found, NULL), KAL_OK);
        assert_true(json_same(expected, found));
    }
    kal_arena_release(&arena);
    kal_buf_release(&bytes);
    kal_buf_release(&plain);
}

/* Head and body have keys of their own: those of the head end in a number below `head_count`. */
static void check_message(kal_rng *rng, size_t head_count, size_t body_count)
{
    kal_buf head_text, body_text, text;
    kal_message_head *head = NULL;
    kal_budget budget;

    kal_budget_init(&budget, NULL, (size_t)1 << 30);
    kal_buf_init(&head_text, NULL);
    kal_buf_init(&body_text, &budget);
    kal_buf_init(&text, NULL);
    for (size_t i = 0; i < head_count; i++)
        kal_buf_printf(&head_text, "%s\"!%zu\":\"of head\"", i == 0 ? "" : ",", i);
    uint32_t count = random_json_object(rng, &body_text, body_count, 3);
    kal_buf_append_byte(&text, '{');
    kal_buf_append_bytes(&text, kal_buf_bytes(&head_text));
    if (head_count > 0 && body_count > 0)
        kal_buf_append_byte(&text, ',');
    kal_buf_append_bytes(&text, kal_buf_bytes(&body_text));
    kal_buf_append_byte(&text, '}');

    assert_int_equal(kal_message_head_make(kal_buf_bytes(&head_text), &budget, &head, NULL),
                     KAL_OK);
    kal_message_body *body = kal_message_body_make(&body_text, count);
    assert_non_null(body);
    for (int wire = 0; wire < 2; wire++) {
        for (int packing = 0; packing < 3; packing++)
            check_form(head_count > 0 ? head : NULL, body_count > 0 ? body : NULL, (kal_wire)wire,
                       (kal_packing)packing, kal_buf_bytes(&text));
        check_form(head, body, (kal_wire)wire, KAL_PACK_GZIP, kal_buf_bytes(&text));
    }
    kal_message_body_release(body);
    kal_message_head_free(head);
    assert_int_equal(budget.used, 0);
    kal_buf_release(&head_text);
    kal_buf_release(&text);
}

static void all_forms_are_the_same(void **state)
{
    kal_rng rng;
    (void)state;
    kal_test_seed(&rng);
    for (int i = 0; i < 120; i++)
        check_message(&rng, (size_t)kal_rng_below(&rng, i % 50 == 0 ? 40 : 3),
                      (size_t)kal_rng_below(&rng, 20));
}

static kal_message_body *make_body(kal_budget *budget)
{
    kal_buf members;
    kal_buf_init(&members, budget);
    kal_buf_append_cstr(&members, "\"rows\":[0");
    for (int i = 0; i < 400; i++)
        kal_buf_append_cstr(&members, ",12345");
    kal_buf_append_byte(&members, ']');
    return kal_message_body_make(&members, 1);
}

static void forms_are_made_once(void **state)
{
    kal_message_body *body = make_body(NULL);
    kal_message first, second;
    (void)state;
    for (int wire = 0; wire < 2; wire++) {
        assert_int_equal(
            kal_message_make(NULL, body, (kal_wire)wire, KAL_PACK_DEFLATE, 32768, &first, NULL),
            KAL_OK);
        assert_int_equal(
            kal_message_make(NULL, body, (kal_wire)wire, KAL_PACK_GZIP, 32768, &second, NULL),
            KAL_OK);
        assert_int_equal(first.packing, KAL_PACK_DEFLATE);
        assert_ptr_equal(first.middle.ptr, second.middle.ptr);
    }
    /* longer than what the receiver can look back */
    assert_int_equal(
        kal_message_make(NULL, body, KAL_WIRE_JSON, KAL_PACK_DEFLATE, 1024, &first, NULL), KAL_OK);
    assert_int_equal(first.packing, KAL_PACK_PLAIN);
    assert_ptr_equal(kal_message_body_retain(body), body);
    kal_message_body_release(body);
    kal_message_body_release(body);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    for (size_t limit = 1000; limit < 80000; limit += 501) {
        kal_budget budget;
        kal_message m;
        kal_message_head *head = NULL;
        kal_budget_init(&budget, NULL, limit);
        kal_message_body *body = make_body(&budget);
        kal_status status =
            kal_message_head_make(KAL_STR("\"type\":\"change\""), &budget, &head, NULL);
        assert_true(status == KAL_OK || status == KAL_LIMIT);
        for (int form = 0; body != NULL && form < 4; form++) {
            status = kal_message_make(head, body, (kal_wire)(form / 2), (kal_packing)(form % 2),
                                      32768, &m, NULL);
            assert_true(status == KAL_OK || status == KAL_LIMIT);
        }
        kal_message_body_release(body);
        kal_message_head_free(head);
        assert_int_equal(budget.used, 0);
    }
}

static void what_is_wrong_is_refused(void **state)
{
    kal_buf members;
    kal_message m;
    kal_message_head *head = NULL;
    static char longer[KAL_MESSAGE_HEAD_BYTES_MAX + 1];
    (void)state;
    kal_buf_init(&members, NULL);
    kal_buf_append_cstr(&members, "\"a\":");
    kal_message_body *body = kal_message_body_make(&members, 1);
    assert_int_equal(kal_message_make(NULL, body, KAL_WIRE_MSGPACK, KAL_PACK_PLAIN, 0, &m, NULL),
                     KAL_INVALID);
    kal_message_body_release(body);
    kal_buf_init(&members, NULL);
    kal_buf_append_cstr(&members, "\"a\":1");
    body = kal_message_body_make(&members, 2); /* a wrong count would be a wrong map */
    assert_int_equal(kal_message_make(NULL, body, KAL_WIRE_MSGPACK, KAL_PACK_PLAIN, 0, &m, NULL),
                     KAL_INVALID);
    kal_message_body_release(body);
    assert_int_equal(kal_message_head_make(KAL_STR("a"), NULL, &head, NULL), KAL_INVALID);
    assert_int_equal(kal_message_head_make(kal_bytes_of(longer, sizeof longer), NULL, &head, NULL),
                     KAL_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_are_the_same),
        cmocka_unit_test(forms_are_made_once),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(what_is_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
