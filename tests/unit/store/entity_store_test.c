/*
 * entity_store_test.c: keys of parts sort as the parts do, records keep their format number, and
 * what was not written by this code is an error.
 */
#include "unit/store/store_testing.h"

#include "base/buf.h"
#include "base/rng.h"
#include "store/entity_store.h"

typedef struct fixture {
    kal_kv *kv;
    kal_arena arena;
    kal_error err;
    kal_entity_store tables; /* {u32 table_id, u32 version} */
    kal_entity_store names;  /* {text, u64} */
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f = (fixture){.kv = kal_kv_open_mem(), .err = KAL_ERROR_INIT};
    kal_arena_init(&f.arena, NULL);
    f.tables = (kal_entity_store){
        .kv = f.kv, .name = "table", .family = KAL_KV_CATALOG, .kind = 'T', .format = 2};
    f.names = (kal_entity_store){
        .kv = f.kv, .name = "name", .family = KAL_KV_CATALOG, .kind = 'U', .format = 1};
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    kal_arena_release(&f->arena);
    kal_kv_close(f->kv);
    return 0;
}

static kal_entity_key table_key(const fixture *f, uint32_t table_id, uint32_t version)
{
    kal_entity_key key;
    kal_entity_key_init(&key, &f->tables);
    kal_entity_key_u32(&key, table_id);
    kal_entity_key_u32(&key, version);
    return key;
}

static void put_table(fixture *f, uint32_t table_id, uint32_t version, const char *record)
{
    kal_entity_key key = table_key(f, table_id, version);
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    testing_ok(kal_entity_put(&f->tables, batch, &key, kal_cstr(record), &f->err), &f->err);
    testing_ok(kal_kv_write(f->kv, batch, true, &f->err), &f->err);
    kal_kv_batch_close(batch);
}

/* Below the entity store: bytes as another version, or nobody, would write them. */
static void put_raw(fixture *f, const kal_entity_key *key, kal_bytes value)
{
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    kal_kv_batch_put(batch, KAL_KV_CATALOG, kal_bytes_of(key->bytes, key->len), value);
    testing_ok(kal_kv_write(f->kv, batch, true, &f->err), &f->err);
    kal_kv_batch_close(batch);
}

/* "id.version=record " for each record shown */
typedef struct listing {
    const kal_entity_store *store;
    kal_buf text;
    unsigned stop_after; /* 0 = never */
    unsigned seen;
    kal_status stop_with;
} listing;

static kal_status list_table(void *context, kal_bytes parts, const kal_entity *entity,
                             kal_error *err)
{
    listing *l = context;
    uint32_t table_id;
    uint32_t version;
    if (l->stop_after > 0 && l->seen == l->stop_after)
        return l->stop_with == KAL_END ? KAL_END
                                       : kal_error_set(err, l->stop_with, "the visitor's reason");
    l->seen++;
    KAL_TRY(kal_entity_take_u32(l->store, &parts, &table_id, err));
    KAL_TRY(kal_entity_take_u32(l->store, &parts, &version, err));
    assert_int_equal(parts.len, 0);
    kal_buf_printf(&l->text, "%u.%u=%.*s ", table_id, version, KAL_FMT(entity->record));
    return KAL_OK;
}

static kal_status scan(fixture *f, const kal_kv_snapshot *snapshot, const kal_entity_key *prefix,
                       listing *l)
{
    l->store = &f->tables;
    kal_buf_init(&l->text, NULL);
    return kal_entity_scan(&f->tables, snapshot, prefix, list_table, l, &f->err);
}

static void expect_scan(fixture *f, const kal_kv_snapshot *snapshot, const kal_entity_key *prefix,
                        const char *expected)
{
    listing l = {0};
    testing_ok(scan(f, snapshot, prefix, &l), &f->err);
    kal_buf_append_byte(&l.text, '\0');
    assert_string_equal((const char *)l.text.ptr, expected);
    kal_buf_release(&l.text);
}

/* Goal: get, put, delete, absence. */
static void records_come_back(void **state)
{
    fixture *f = *state;
    kal_entity_key key = table_key(f, 1, 2);
    kal_entity entity;

    assert_int_equal(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err),
                     KAL_NOT_FOUND);
    assert_string_equal(f->err.message, "");
    put_table(f, 1, 2, "record");
    testing_ok(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err), &f->err);
    assert_int_equal(entity.format, 2);
    assert_true(kal_bytes_equal(entity.record, KAL_STR("record")));
    put_table(f, 1, 2, ""); /* an empty record is one */
    testing_ok(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err), &f->err);
    assert_int_equal(entity.record.len, 0);

    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    testing_ok(kal_entity_delete(&f->tables, batch, &key, &f->err), &f->err);
    testing_ok(kal_kv_write(f->kv, batch, true, &f->err), &f->err);
    kal_kv_batch_close(batch);
    assert_int_equal(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err),
                     KAL_NOT_FOUND);
}

/* Goal: a scan shows one kind, by prefix, in the order of the parts, at its snapshot. */
static void scans_go_by_prefix(void **state)
{
    fixture *f = *state;
    kal_entity_key all;
    kal_entity_key one;
    kal_entity_key foreign;

    put_table(f, 256, 1, "a");
    put_table(f, 2, 256, "b");
    put_table(f, 2, 3, "c");
    put_table(f, UINT32_MAX, UINT32_MAX, "d");
    kal_entity_key_init(&foreign, &f->names); /* kind U follows T */
    kal_entity_key_text(&foreign, KAL_STR("x"));
    put_raw(f, &foreign, KAL_STR("\x01other kind"));
    kal_entity_key_init(&all, &f->tables);
    kal_entity_key_init(&one, &f->tables);
    kal_entity_key_u32(&one, 2);
    expect_scan(f, NULL, &all, "2.3=c 2.256=b 256.1=a 4294967295.4294967295=d ");
    expect_scan(f, NULL, &one, "2.3=c 2.256=b ");

    kal_kv_snapshot *snapshot = kal_kv_snapshot_take(f->kv);
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);
    testing_ok(kal_entity_delete_all(&f->tables, batch, &one, &f->err), &f->err);
    testing_ok(kal_kv_write(f->kv, batch, true, &f->err), &f->err);
    kal_kv_batch_close(batch);
    expect_scan(f, NULL, &all, "256.1=a 4294967295.4294967295=d ");
    expect_scan(f, snapshot, &one, "2.3=c 2.256=b ");
    kal_kv_snapshot_release(f->kv, snapshot);
    kal_entity entity;
    testing_ok(kal_entity_get(&f->names, NULL, &foreign, &f->arena, &entity, &f->err), &f->err);
}

/* Goal: a visitor ends a scan quietly with KAL_END and loudly with a failure of its own. */
static void visitors_stop_scans(void **state)
{
    fixture *f = *state;
    kal_entity_key all;
    listing l = {.stop_after = 1, .stop_with = KAL_END};
    put_table(f, 1, 1, "a");
    put_table(f, 1, 2, "b");
    kal_entity_key_init(&all, &f->tables);
    assert_int_equal(scan(f, NULL, &all, &l), KAL_OK);
    assert_int_equal(l.seen, 1);
    kal_buf_release(&l.text);
    l = (listing){.stop_after = 1, .stop_with = KAL_DENIED};
    assert_int_equal(scan(f, NULL, &all, &l), KAL_DENIED);
    assert_string_equal(f->err.message, "the visitor's reason");
    kal_buf_release(&l.text);
}

typedef struct writer {
    fixture *f;
    unsigned seen;
} writer;

static kal_status write_while_scanning(void *context, kal_bytes parts, const kal_entity *entity,
                                       kal_error *err)
{
    writer *w = context;
    (void)parts;
    (void)entity;
    (void)err;
    put_table(w->f, 100 + w->seen++, 1, "new");
    return KAL_OK;
}

/* Goal: writes by the visitor do not change what it is shown. */
static void scans_see_one_moment(void **state)
{
    fixture *f = *state;
    kal_entity_key all;
    writer w = {.f = f};
    put_table(f, 1, 1, "a");
    put_table(f, 2, 1, "b");
    kal_entity_key_init(&all, &f->tables);
    testing_ok(kal_entity_scan(&f->tables, NULL, &all, write_while_scanning, &w, &f->err), &f->err);
    assert_int_equal(w.seen, 2);
}

/* Goal: a newer format is refused by name, an older one is handed over with its number, a record
 * without one is damage; in get and scan. */
static void formats_are_checked(void **state)
{
    fixture *f = *state;
    kal_entity_key key = table_key(f, 1, 1);
    kal_entity entity;
    listing l = {0};

    put_raw(f, &key, KAL_STR("\x01old"));
    testing_ok(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err), &f->err);
    assert_int_equal(entity.format, 1);
    assert_true(kal_bytes_equal(entity.record, KAL_STR("old")));
    put_raw(f, &key, KAL_STR("\x03new"));
    assert_int_equal(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err),
                     KAL_UNSUPPORTED);
    assert_string_equal(f->err.message,
                        "a stored 'table' record has format 3, this version reads up to 2");
    assert_int_equal(entity.record.len, 0);
    assert_int_equal(scan(f, NULL, &key, &l), KAL_UNSUPPORTED);
    kal_buf_release(&l.text);
    static const kal_bytes DAMAGED[] = {{(const uint8_t *)"", 0}, {(const uint8_t *)"\0x", 2}};
    for (size_t i = 0; i < KAL_ARRAY_LEN(DAMAGED); i++) {
        put_raw(f, &key, DAMAGED[i]);
        assert_int_equal(kal_entity_get(&f->tables, NULL, &key, &f->arena, &entity, &f->err),
                         KAL_CORRUPT);
        assert_non_null(strstr(f->err.message, "'table'"));
        l = (listing){0};
        assert_int_equal(scan(f, NULL, &key, &l), KAL_CORRUPT);
        kal_buf_release(&l.text);
    }
}

static kal_bytes random_text(kal_rng *rng, uint8_t out[8])
{
    static const uint8_t EDGES[] = {0x00, 0x01, 'a', 0xFE, 0xFF};
    size_t len = kal_rng_below(rng, 6);
    for (size_t i = 0; i < len; i++)
        out[i] = EDGES[kal_rng_below(rng, KAL_ARRAY_LEN(EDGES))];
    return kal_bytes_of(out, len);
}

/* Goal: keys sort as their parts, none begins another, and parts come back. Method: seeded pairs of
 * texts over the bytes at the edges, with a number behind. */
static void keys_sort_as_their_parts(void **state)
{
    fixture *f = *state;
    kal_rng rng;
    uint64_t seed = testing_seed();
    kal_rng_seed(&rng, seed);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[2][8];
        kal_bytes text[2];
        uint64_t number[2];
        kal_entity_key key[2];
        for (size_t k = 0; k < 2; k++) {
            text[k] = random_text(&rng, bytes[k]);
            number[k] = kal_rng_next(&rng) >> kal_rng_below(&rng, 64);
            kal_entity_key_init(&key[k], &f->names);
            kal_entity_key_text(&key[k], text[k]);
            kal_entity_key_u64(&key[k], number[k]);
            assert_false(key[k].too_long);
        }
        int parts = kal_bytes_compare(text[0], text[1]);
        if (parts == 0)
            parts = (number[0] > number[1]) - (number[0] < number[1]);
        int keys = kal_bytes_compare(kal_bytes_of(key[0].bytes, key[0].len),
                                     kal_bytes_of(key[1].bytes, key[1].len));
        if ((parts < 0) != (keys < 0) || (parts > 0) != (keys > 0))
            fail_msg("seed %llu, pair %u: parts %d, keys %d", (unsigned long long)seed, i, parts,
                     keys);
        kal_bytes rest = kal_bytes_of(key[0].bytes + 1, key[0].len - 1);
        kal_bytes text_back;
        uint64_t number_back;
        testing_ok(kal_entity_take_text(&f->names, &rest, &f->arena, &text_back, &f->err), &f->err);
        testing_ok(kal_entity_take_u64(&f->names, &rest, &number_back, &f->err), &f->err);
        assert_int_equal(rest.len, 0);
        assert_true(kal_bytes_equal(text_back, text[0]));
        assert_true(number_back == number[0]);
    }
}

/* Goal: malformed parts are KAL_CORRUPT and take nothing. Method: every cut of a key, and escapes
 * that are never written. */
static void malformed_keys_are_damage(void **state)
{
    fixture *f = *state;
    static const kal_bytes TEXTS[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"abc", 3},          /* no end */
        {(const uint8_t *)"a\0", 2},          /* half an end */
        {(const uint8_t *)"a\0\x01", 3},      /* no such escape */
        {(const uint8_t *)"a\0\xFF", 3},      /* an escaped zero, no end */
        {(const uint8_t *)"\0\xFF\0\x7F", 4}, /* then no such escape */
    };
    kal_bytes text;
    uint32_t small;
    uint64_t large;
    for (size_t i = 0; i < KAL_ARRAY_LEN(TEXTS); i++) {
        kal_bytes parts = TEXTS[i];
        assert_int_equal(kal_entity_take_text(&f->names, &parts, &f->arena, &text, &f->err),
                         KAL_CORRUPT);
        assert_string_equal(f->err.message, "a stored key of a 'name' record is malformed");
        assert_true(kal_bytes_equal(parts, TEXTS[i]));
        assert_int_equal(text.len, 0);
    }
    for (size_t len = 0; len < 8; len++) {
        kal_bytes parts = kal_bytes_of("\1\2\3\4\5\6\7\10", len);
        assert_int_equal(kal_entity_take_u64(&f->names, &parts, &large, &f->err), KAL_CORRUPT);
        assert_int_equal(parts.len, len);
        if (len < 4)
            assert_int_equal(kal_entity_take_u32(&f->names, &parts, &small, &f->err), KAL_CORRUPT);
    }
}

/* Goal: a key that does not fit is KAL_LIMIT wherever it is used, and the longest that fits works.
 */
static void long_keys_are_refused(void **state)
{
    fixture *f = *state;
    char text[KAL_ENTITY_KEY_BYTES_MAX];
    kal_entity_key key;
    kal_entity entity;
    kal_kv_batch *batch = kal_kv_batch_open(f->kv);

    memset(text, 'x', sizeof text);
    for (size_t spare = 2; spare < 5; spare++) { /* the kind and the end of the text take 3 */
        kal_entity_key_init(&key, &f->names);
        kal_entity_key_text(&key, kal_bytes_of(text, sizeof text - spare));
        kal_status wanted = spare < 3 ? KAL_LIMIT : KAL_OK;
        assert_int_equal(kal_entity_put(&f->names, batch, &key, KAL_STR("r"), &f->err), wanted);
        if (wanted == KAL_OK)
            continue;
        assert_string_equal(f->err.message, "the key of a 'name' record is longer than 1024 bytes");
        kal_entity_key_u32(&key, 1); /* stays too long */
        assert_int_equal(kal_entity_get(&f->names, NULL, &key, &f->arena, &entity, &f->err),
                         KAL_LIMIT);
        assert_int_equal(kal_entity_delete(&f->names, batch, &key, &f->err), KAL_LIMIT);
        assert_int_equal(kal_entity_delete_all(&f->names, batch, &key, &f->err), KAL_LIMIT);
        listing l = {0};
        assert_int_equal(kal_entity_scan(&f->names, NULL, &key, list_table, &l, &f->err),
                         KAL_LIMIT);
    }
    assert_int_equal(kal_kv_batch_count(batch), 2);
    kal_kv_batch_close(batch);
}

/* Goal: what a budget refuses is KAL_LIMIT, also for a part of a key. */
static void budgets_are_kept(void **state)
{
    fixture *f = *state;
    char record[100001];
    kal_budget budget;
    kal_arena small;
    kal_entity entity;
    kal_bytes text;
    kal_entity_key key = table_key(f, 1, 1);
    kal_bytes parts = kal_bytes_of(record, sizeof record);

    memset(record, 'x', sizeof record - 1);
    record[sizeof record - 1] = '\0';
    put_table(f, 1, 1, record);
    kal_budget_init(&budget, NULL, 50000);
    kal_arena_init(&small, &budget);
    assert_int_equal(kal_entity_get(&f->tables, NULL, &key, &small, &entity, &f->err), KAL_LIMIT);
    assert_int_equal(kal_entity_take_text(&f->names, &parts, &small, &text, &f->err), KAL_LIMIT);
    kal_arena_release(&small);
}

#define UNIT(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(records_come_back),         UNIT(scans_go_by_prefix),
        UNIT(visitors_stop_scans),       UNIT(scans_see_one_moment),
        UNIT(formats_are_checked),       UNIT(keys_sort_as_their_parts),
        UNIT(malformed_keys_are_damage), UNIT(long_keys_are_refused),
        UNIT(budgets_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
