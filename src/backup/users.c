#include "backup/users.h"
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { USERS_BYTES_MAX = 1024 * 1024 * 1024 };

typedef struct user_entry {
    kal_bytes user_id;
    bool has_rows;
} user_entry;

static kal_bytes number_key(uint64_t user_no, uint8_t bytes[8])
{
    kal_store_be64(bytes, user_no);
    return kal_bytes_of(bytes, 8);
}

static kal_status add_user(void *context, const kal_user *user, kal_error *err)
{
    kal_users *users = context;
    uint8_t bytes[8];
    user_entry *entry = kal_arena_try_alloc(&users->arena, sizeof *entry);

    if (entry == NULL || !kal_arena_try_copy(&users->arena, user->user_id, &entry->user_id))
        return kal_error_set(err, KAL_LIMIT, "there are more users than fit in the memory");
    kal_map_put(&users->map, number_key(user->user_no, bytes), entry);
    return KAL_OK;
}

kal_status kal_users_open(kal_users *users, kal_catalog *catalog, const kal_kv_snapshot *snapshot,
                          kal_error *err)
{
    kal_budget_init(&users->budget, NULL, USERS_BYTES_MAX);
    kal_arena_init(&users->arena, &users->budget);
    kal_map_init(&users->map);
    return kal_users_scan(catalog, snapshot, add_user, users, err);
}

void kal_users_close(kal_users *users)
{
    kal_map_release(&users->map);
    kal_arena_release(&users->arena);
}

bool kal_users_mark(kal_users *users, uint64_t user_no, kal_bytes *user_id_out)
{
    uint8_t bytes[8];
    user_entry *entry = kal_map_find(&users->map, number_key(user_no, bytes));

    if (entry == NULL)
        return false;
    entry->has_rows = true;
    *user_id_out = entry->user_id;
    return true;
}

static int by_id(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

void kal_users_write(const kal_users *users, kal_buf *out)
{
    KAL_VEC(kal_bytes) ids = {0}; /* owned */
    const user_entry *entry;
    size_t position = 0;
    kal_bytes key;

    while ((entry = kal_map_next(&users->map, &position, &key)) != NULL) {
        if (entry->has_rows)
            kal_vec_push(&ids, entry->user_id);
    }
    if (ids.len > 1)
        qsort(ids.items, ids.len, sizeof *ids.items, by_id);
    for (size_t i = 0; i < ids.len; i++) {
        kal_buf_append_bytes(out, ids.items[i]);
        kal_buf_append_byte(out, '\n');
    }
    kal_vec_release(&ids);
}

kal_status kal_users_next(kal_bytes *text, kal_bytes *user_id_out, kal_error *err)
{
    if (text->len == 0)
        return KAL_END;
    const uint8_t *end = memchr(text->ptr, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->ptr);
    if (end == NULL || len == 0 || len > KAL_USER_ID_BYTES_MAX ||
        !kal_utf8_valid(kal_bytes_of(text->ptr, len)))
        return kal_error_set(err, KAL_CORRUPT, "file 'users.txt' of the backup is damaged");
    *user_id_out = kal_bytes_of(text->ptr, len);
    *text = kal_bytes_of(text->ptr + len + 1, text->len - len - 1);
    return KAL_OK;
}
