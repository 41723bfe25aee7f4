#include "store/entity_store.h"
#include "base/assert.h"
#include "base/buf.h"

_Static_assert(KAL_ENTITY_KEY_BYTES_MAX <= KAL_KV_KEY_BYTES_MAX, "the store takes every key");

/* --- keys ------------------------------------------------------------------------------------- */

enum { TEXT_ESCAPE = 0x00, TEXT_ESCAPED_ZERO = 0xFF, TEXT_END = 0x00 };

static void append(kal_entity_key *key, const void *bytes, size_t len)
{
    if (key->too_long || len > sizeof key->bytes - key->len) {
        key->too_long = true;
        return;
    }
    memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

void kal_entity_key_init(kal_entity_key *key, const kal_entity_store *store)
{
    key->len = 0;
    key->too_long = false;
    append(key, &store->kind, 1);
}

void kal_entity_key_u32(kal_entity_key *key, uint32_t part)
{
    uint8_t bytes[4];
    kal_store_be32(bytes, part);
    append(key, bytes, sizeof bytes);
}

void kal_entity_key_u64(kal_entity_key *key, uint64_t part)
{
    uint8_t bytes[8];
    kal_store_be64(bytes, part);
    append(key, bytes, sizeof bytes);
}

void kal_entity_key_text(kal_entity_key *key, kal_bytes part)
{
    static const uint8_t zero[] = {TEXT_ESCAPE, TEXT_ESCAPED_ZERO};
    static const uint8_t end[] = {TEXT_ESCAPE, TEXT_END};
    for (size_t i = 0; i < part.len && !key->too_long; i++) {
        if (part.ptr[i] == TEXT_ESCAPE)
            append(key, zero, sizeof zero);
        else
            append(key, &part.ptr[i], 1);
    }
    append(key, end, sizeof end);
}

static kal_status malformed_key(const kal_entity_store *store, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "a stored key of a '%s' record is malformed",
                         store->name);
}

static kal_bytes skip(kal_bytes bytes, size_t len)
{
    return kal_bytes_of(bytes.ptr + len, bytes.len - len);
}

kal_status kal_entity_take_u32(const kal_entity_store *store, kal_bytes *parts, uint32_t *part_out,
                               kal_error *err)
{
    *part_out = 0;
    if (parts->len < sizeof *part_out)
        return malformed_key(store, err);
    *part_out = kal_load_be32(parts->ptr);
    *parts = skip(*parts, sizeof *part_out);
    return KAL_OK;
}

kal_status kal_entity_take_u64(const kal_entity_store *store, kal_bytes *parts, uint64_t *part_out,
                               kal_error *err)
{
    *part_out = 0;
    if (parts->len < sizeof *part_out)
        return malformed_key(store, err);
    *part_out = kal_load_be64(parts->ptr);
    *parts = skip(*parts, sizeof *part_out);
    return KAL_OK;
}

kal_status kal_entity_take_text(const kal_entity_store *store, kal_bytes *parts, kal_arena *arena,
                                kal_bytes *part_out, kal_error *err)
{
    *part_out = (kal_bytes){0};
    uint8_t *text = kal_arena_try_alloc(arena, parts->len);
    if (text == NULL)
        return kal_error_set(err, KAL_LIMIT, "a '%s' key exceeds the memory limit", store->name);
    size_t len = 0;
    for (size_t i = 0; i < parts->len; i++) {
        if (parts->ptr[i] != TEXT_ESCAPE) {
            text[len++] = parts->ptr[i];
            continue;
        }
        if (++i == parts->len)
            break;
        if (parts->ptr[i] == TEXT_END) {
            *parts = skip(*parts, i + 1);
            *part_out = kal_bytes_of(text, len);
            return KAL_OK;
        }
        if (parts->ptr[i] != TEXT_ESCAPED_ZERO)
            break;
        text[len++] = 0;
    }
    return malformed_key(store, err);
}

/* --- records ---------------------------------------------------------------------------------- */

static kal_status check_key(const kal_entity_store *store, const kal_entity_key *key,
                            kal_error *err)
{
    KAL_ASSERT(store->family != KAL_KV_ROWS);
    KAL_ASSERT(store->format > 0);
    KAL_ASSERT(key->too_long || (key->len > 0 && key->bytes[0] == store->kind));
    if (key->too_long)
        return kal_error_set(err, KAL_LIMIT, "the key of a '%s' record is longer than %u bytes",
                             store->name, KAL_ENTITY_KEY_BYTES_MAX);
    return KAL_OK;
}

static kal_bytes key_bytes(const kal_entity_key *key)
{
    return kal_bytes_of(key->bytes, key->len);
}

static kal_status decode(const kal_entity_store *store, kal_bytes value, kal_entity *entity_out,
                         kal_error *err)
{
    if (value.len == 0 || value.ptr[0] == 0)
        return kal_error_set(err, KAL_CORRUPT, "a stored '%s' record has no format number",
                             store->name);
    if (value.ptr[0] > store->format)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "a stored '%s' record has format %u, this version reads up to %u",
                             store->name, value.ptr[0], store->format);
    *entity_out = (kal_entity){.format = value.ptr[0], .record = skip(value, 1)};
    return KAL_OK;
}

kal_status kal_entity_get(const kal_entity_store *store, const kal_kv_snapshot *snapshot,
                          const kal_entity_key *key, kal_arena *arena, kal_entity *entity_out,
                          kal_error *err)
{
    *entity_out = (kal_entity){0};
    kal_bytes value = {0};
    KAL_TRY(check_key(store, key, err));
    KAL_TRY(kal_kv_get(store->kv, snapshot, store->family, key_bytes(key), arena, &value, err));
    return decode(store, value, entity_out, err);
}

kal_status kal_entity_put(const kal_entity_store *store, kal_kv_batch *batch,
                          const kal_entity_key *key, kal_bytes record, kal_error *err)
{
    KAL_TRY(check_key(store, key, err));
    kal_buf value; /* owned */
    kal_buf_init(&value, NULL);
    kal_buf_append_byte(&value, store->format);
    kal_buf_append_bytes(&value, record);
    kal_kv_batch_put(batch, store->family, key_bytes(key), kal_buf_bytes(&value));
    kal_buf_release(&value);
    return KAL_OK;
}

kal_status kal_entity_delete(const kal_entity_store *store, kal_kv_batch *batch,
                             const kal_entity_key *key, kal_error *err)
{
    KAL_TRY(check_key(store, key, err));
    kal_kv_batch_delete(batch, store->family, key_bytes(key));
    return KAL_OK;
}

/* A kind of FF would have no end; the assertion keeps it free. */
static kal_bytes prefix_end(const kal_entity_key *prefix, kal_arena *arena)
{
    kal_bytes end = kal_kv_prefix_end(key_bytes(prefix), arena);
    KAL_ASSERT(end.len > 0);
    return end;
}

kal_status kal_entity_delete_all(const kal_entity_store *store, kal_kv_batch *batch,
                                 const kal_entity_key *prefix, kal_error *err)
{
    KAL_TRY(check_key(store, prefix, err));
    kal_arena arena;
    kal_arena_init(&arena, NULL);
    kal_kv_batch_delete_range(batch, store->family, key_bytes(prefix), prefix_end(prefix, &arena));
    kal_arena_release(&arena);
    return KAL_OK;
}

static kal_status scan_entries(const kal_entity_store *store, kal_kv_iter *iter,
                               kal_entity_visit visit, void *context, kal_error *err)
{
    for (;;) {
        kal_bytes key = {0};
        kal_bytes value = {0};
        kal_entity entity = {0};
        KAL_TRY(kal_kv_iter_next(iter, &key, &value, err));
        KAL_TRY(decode(store, value, &entity, err));
        KAL_TRY(visit(context, skip(key, 1), &entity, err));
    }
}

kal_status kal_entity_scan(const kal_entity_store *store, const kal_kv_snapshot *snapshot,
                           const kal_entity_key *prefix, kal_entity_visit visit, void *context,
                           kal_error *err)
{
    KAL_TRY(check_key(store, prefix, err));
    kal_arena arena;
    kal_kv_iter *iter = NULL; /* owned */
    kal_arena_init(&arena, NULL);
    kal_kv_range range = {
        .family = store->family, .lower = key_bytes(prefix), .upper = prefix_end(prefix, &arena)};
    kal_status status = kal_kv_iter_open(store->kv, snapshot, &range, &iter, err);
    if (status == KAL_OK)
        status = scan_entries(store, iter, visit, context, err);
    kal_kv_iter_close(iter);
    kal_arena_release(&arena);
    return status == KAL_END ? KAL_OK : status;
}
