#include "backup/users.h"
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { USERS_BYTES_MAX = 1024 * 1024 * 1024, NAMES_SHOWN = 5 };

typedef struct user_entry {
    kal_backup_user user;
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

    if (entry == NULL || !kal_arena_try_copy(&users->arena, user->user_id, &entry->user.user_id))
        return kal_error_set(err, KAL_LIMIT, "there are more users than fit in the memory");
    entry->user.user_no = user->user_no;
    entry->user.created_at_us = user->created_at_us;
    entry->has_rows = false;
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
    *user_id_out = entry->user.user_id;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return kal_bytes_compare(((const kal_backup_user *)a)->user_id,
                             ((const kal_backup_user *)b)->user_id);
}

void kal_users_write(const kal_users *users, kal_buf *out)
{
    KAL_VEC(kal_backup_user) marked = {0}; /* owned */
    const user_entry *entry;
    size_t position = 0;
    kal_bytes key;

    while ((entry = kal_map_next(&users->map, &position, &key)) != NULL) {
        if (entry->has_rows)
            kal_vec_push(&marked, entry->user);
    }
    if (marked.len > 1)
        qsort(marked.items, marked.len, sizeof *marked.items, by_name);
    for (size_t i = 0; i < marked.len; i++)
        kal_buf_printf(out, "%llu %lld %.*s\n", (unsigned long long)marked.items[i].user_no,
                       (long long)marked.items[i].created_at_us, KAL_FMT(marked.items[i].user_id));
    kal_vec_release(&marked);
}

/* Up to the delimiter, which is taken, too. */
static bool take_until(kal_bytes *text, uint8_t delimiter, kal_bytes *out)
{
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->ptr, delimiter, text->len);
    if (end == NULL)
        return false;
    *out = kal_bytes_of(text->ptr, (size_t)(end - text->ptr));
    *text = kal_bytes_of(end + 1, text->len - out->len - 1);
    return true;
}

kal_status kal_users_next(kal_bytes *text, kal_backup_user *user, kal_error *err)
{
    kal_bytes before = user->user_id;
    kal_bytes line;
    kal_bytes number;
    kal_bytes time;
    int64_t user_no = 0;

    if (text->len == 0)
        return KAL_END;
    bool is_user = take_until(text, '\n', &line) && take_until(&line, ' ', &number) &&
                   take_until(&line, ' ', &time) && kal_parse_i64(number, &user_no) &&
                   user_no > 0 && kal_parse_i64(time, &user->created_at_us) && line.len > 0 &&
                   line.len <= KAL_USER_ID_BYTES_MAX && kal_utf8_valid(line) &&
                   kal_bytes_compare(before, line) < 0;
    if (!is_user)
        return kal_error_set(err, KAL_CORRUPT, "file 'users.txt' of the backup is damaged");
    user->user_no = (uint64_t)user_no;
    user->user_id = line;
    return KAL_OK;
}

/* ---- here ---- */

typedef struct owner_entry {
    uint64_t user_no; /* 0: not here */
} owner_entry;

static void note_name(kal_buf *names, size_t *count, kal_bytes user_id)
{
    if (++*count <= NAMES_SHOWN)
        kal_buf_printf(names, "%s'%.*s'", *count > 1 ? ", " : "", KAL_FMT(user_id));
    else if (*count == NAMES_SHOWN + 1)
        kal_buf_append_cstr(names, ", ...");
}

/* 0: nobody here is him. */
static kal_status find_here(kal_owners *o, kal_catalog *catalog, const kal_backup_user *user,
                            bool by_name, uint64_t *user_no_out, kal_error *err)
{
    kal_user here;
    kal_arena scratch; /* owned */

    *user_no_out = 0;
    kal_arena_init(&scratch, NULL);
    kal_status status = kal_catalog_get_user(catalog, user->user_id, &scratch, &here, err);
    kal_arena_release(&scratch);
    if (status == KAL_NOT_FOUND) {
        note_name(&o->missing_names, &o->missing_count, user->user_id);
        return KAL_OK;
    }
    KAL_TRY(status);
    if (by_name || (here.user_no == user->user_no && here.created_at_us == user->created_at_us))
        *user_no_out = here.user_no;
    else
        note_name(&o->other_names, &o->other_count, user->user_id);
    return KAL_OK;
}

static kal_status add_owner(kal_owners *o, kal_catalog *catalog, const kal_backup_user *user,
                            bool by_name, kal_error *err)
{
    owner_entry *entry = kal_arena_try_alloc(&o->arena, sizeof *entry);
    kal_bytes key;

    if (entry == NULL || !kal_arena_try_copy(&o->arena, user->user_id, &key))
        return kal_error_set(err, KAL_LIMIT, "there are more users than fit in the memory");
    KAL_TRY(find_here(o, catalog, user, by_name, &entry->user_no, err));
    kal_map_put(&o->map, key, entry);
    return KAL_OK;
}

kal_status kal_owners_open(kal_owners *o, kal_catalog *catalog, kal_bytes users_text, bool by_name,
                           kal_error *err)
{
    kal_backup_user user = {0};
    kal_status status = KAL_OK;

    *o = (kal_owners){0};
    kal_budget_init(&o->budget, NULL, USERS_BYTES_MAX);
    kal_arena_init(&o->arena, &o->budget);
    kal_map_init(&o->map);
    kal_buf_init(&o->missing_names, NULL);
    kal_buf_init(&o->other_names, NULL);
    while (status == KAL_OK && (status = kal_users_next(&users_text, &user, err)) == KAL_OK)
        status = add_owner(o, catalog, &user, by_name, err);
    return status == KAL_END ? KAL_OK : status;
}

void kal_owners_close(kal_owners *o)
{
    kal_buf_release(&o->missing_names);
    kal_buf_release(&o->other_names);
    kal_map_release(&o->map);
    kal_arena_release(&o->arena);
}

bool kal_owners_find(const kal_owners *o, kal_bytes user_id, uint64_t *user_no_out)
{
    const owner_entry *entry = kal_map_find(&o->map, user_id);
    if (entry == NULL)
        return false;
    *user_no_out = entry->user_no;
    return true;
}

kal_status kal_owners_check(const kal_owners *o, kal_catalog *catalog, kal_error *err)
{
    const owner_entry *entry;
    uint32_t generation = 0;
    kal_role role = KAL_ROLE_USER;
    size_t position = 0;
    kal_bytes key;

    while ((entry = kal_map_next(&o->map, &position, &key)) != NULL) {
        if (entry->user_no != 0 &&
            !kal_catalog_user_state(catalog, entry->user_no, &generation, &role))
            return kal_error_set(err, KAL_CONFLICT,
                                 "user '%.*s' was dropped while his rows were restored",
                                 KAL_FMT(key));
    }
    return KAL_OK;
}
