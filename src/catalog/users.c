/*
 * users.c: users: one record each, and what every request asks kept in memory.
 *
 * Record: u64 user_no, u8 role, u32 token_generation, i64 created, updated, last seen, deleted (us,
 * 0 = never), texts auth_type, password_hash, email, auth_data (email and auth_data: u8 0 or 1
 * before the text, 0 = none and no text).
 */
#include "base/assert.h"
#include "catalog/catalog_internal.h"

#include <stdlib.h>

uint16_t kal_shard_of_user(uint64_t user_no)
{
    uint8_t bytes[8];
    kal_store_be64(bytes, user_no);
    return (uint16_t)(kal_hash(kal_bytes_of(bytes, sizeof bytes)) % KAL_SHARD_COUNT);
}

/* ---- records ---- */

static void put_optional(kal_buf *out, kal_bytes text)
{
    kal_buf_append_byte(out, text.ptr != NULL);
    if (text.ptr != NULL)
        kal_buf_append_text(out, text);
}

static void encode_user(const kal_user *user, kal_buf *out)
{
    kal_buf_append_le64(out, user->user_no);
    kal_buf_append_byte(out, (uint8_t)user->role);
    kal_buf_append_le32(out, user->token_generation);
    kal_buf_append_le64(out, (uint64_t)user->created_at_us);
    kal_buf_append_le64(out, (uint64_t)user->updated_at_us);
    kal_buf_append_le64(out, (uint64_t)user->last_seen_us);
    kal_buf_append_le64(out, (uint64_t)user->deleted_at_us);
    kal_buf_append_text(out, user->auth_type);
    kal_buf_append_text(out, user->password_hash);
    put_optional(out, user->email);
    put_optional(out, user->auth_data);
}

static bool take_optional(kal_bytes *input, kal_bytes *out)
{
    uint8_t present = 0;
    *out = (kal_bytes){0};
    if (!kal_bytes_take_u8(input, &present) || present > 1)
        return false;
    return present == 0 || kal_bytes_take_text(input, out);
}

static bool take_time(kal_bytes *input, int64_t *out)
{
    uint64_t v = 0;
    if (!kal_bytes_take_le64(input, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

static kal_status decode_user(kal_bytes record, kal_user *user, kal_error *err)
{
    uint8_t role = 0;
    bool whole =
        kal_bytes_take_le64(&record, &user->user_no) && user->user_no != 0 &&
        kal_bytes_take_u8(&record, &role) && role <= KAL_ROLE_SYSTEM &&
        kal_bytes_take_le32(&record, &user->token_generation) &&
        take_time(&record, &user->created_at_us) && take_time(&record, &user->updated_at_us) &&
        take_time(&record, &user->last_seen_us) && take_time(&record, &user->deleted_at_us) &&
        kal_bytes_take_text(&record, &user->auth_type) &&
        kal_bytes_take_text(&record, &user->password_hash) &&
        take_optional(&record, &user->email) && take_optional(&record, &user->auth_data);
    user->role = (kal_role)role;
    return whole && record.len == 0 ? KAL_OK : kal_record_corrupt("user", err);
}

static void user_key(kal_catalog *c, kal_bytes user_id, kal_entity_key *key)
{
    kal_entity_key_init(key, &c->users);
    kal_entity_key_text(key, user_id);
}

kal_status kal_catalog_get_any_user(kal_catalog *c, kal_bytes user_id, kal_arena *arena,
                                    kal_user *user_out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;

    if (user_id.len == 0 || user_id.len > KAL_USER_ID_BYTES_MAX)
        return KAL_NOT_FOUND;
    user_key(c, user_id, &key);
    KAL_TRY(kal_entity_get(&c->users, NULL, &key, arena, &entity, err));
    *user_out = (kal_user){0};
    KAL_TRY(decode_user(entity.record, user_out, err));
    user_out->user_id = kal_arena_copy(arena, user_id);
    return KAL_OK;
}

kal_status kal_catalog_get_user(kal_catalog *c, kal_bytes user_id, kal_arena *arena,
                                kal_user *user_out, kal_error *err)
{
    KAL_TRY(kal_catalog_get_any_user(c, user_id, arena, user_out, err));
    return user_out->deleted_at_us == 0 ? KAL_OK : KAL_NOT_FOUND;
}

typedef struct user_scan {
    kal_catalog *catalog;
    kal_user_visit visit;
    void *context;
} user_scan;

static kal_status visit_user(void *context, kal_bytes parts, const kal_entity *entity,
                             kal_error *err)
{
    user_scan *scan = context;
    kal_user user = {0};
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_entity_take_text(&scan->catalog->users, &parts, &arena, &user.user_id, err);
    kal_bytes user_id = user.user_id;
    if (status == KAL_OK)
        status = decode_user(entity->record, &user, err);
    user.user_id = user_id;
    if (status == KAL_OK)
        status = scan->visit(scan->context, &user, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_users_scan(kal_catalog *c, const kal_kv_snapshot *snapshot, kal_user_visit visit,
                          void *context, kal_error *err)
{
    kal_entity_key prefix;
    user_scan scan = {c, visit, context};
    kal_entity_key_init(&prefix, &c->users);
    return kal_entity_scan(&c->users, snapshot, &prefix, visit_user, &scan, err);
}

/* ---- in memory ---- */

static kal_user_state state_of(const kal_user *user)
{
    return (kal_user_state){
        .token_generation = user->token_generation,
        .role = user->role,
        .has_password = user->password_hash.len > 0,
        .is_deleted = user->deleted_at_us != 0,
        .user_id = user->user_id,
    };
}

static kal_bytes number_key(uint64_t user_no, uint8_t bytes[8])
{
    kal_store_be64(bytes, user_no);
    return kal_bytes_of(bytes, 8);
}

static void remember(kal_catalog *c, uint64_t user_no, const kal_user_state *state)
{
    uint8_t bytes[8];
    kal_user_state *copy = malloc(sizeof *copy + state->user_id.len);
    if (copy == NULL)
        kal_die("out of memory: user");
    *copy = *state;
    memcpy(copy + 1, state->user_id.ptr, state->user_id.len);
    copy->user_id.ptr = (const uint8_t *)(copy + 1);
    free(kal_map_put(&c->user_map, number_key(user_no, bytes), copy));
}

static kal_status load_one(void *context, const kal_user *user, kal_error *err)
{
    kal_user_state state = state_of(user);
    (void)err;
    remember(context, user->user_no, &state);
    return KAL_OK;
}

kal_status kal_users_load(kal_catalog *c, kal_error *err)
{
    return kal_users_scan(c, NULL, load_one, c, err);
}

/* A login changes the record, but not what tokens are worth. */
static bool has_same_rights(const kal_user_state *a, const kal_user_state *b)
{
    return a->token_generation == b->token_generation && a->role == b->role &&
           a->is_deleted == b->is_deleted;
}

void kal_users_publish(kal_catalog *c, const kal_change_step *step)
{
    uint8_t bytes[8];
    const kal_user_state *before = kal_map_find(&c->user_map, number_key(step->user_no, bytes));
    bool is_alike = before != NULL && has_same_rights(before, &step->user_state);

    remember(c, step->user_no, &step->user_state);
    if (!is_alike)
        atomic_fetch_add(&c->users_version, 1);
}

uint64_t kal_catalog_users_version(kal_catalog *c)
{
    return atomic_load(&c->users_version);
}

bool kal_catalog_user_state(kal_catalog *c, uint64_t user_no, uint32_t *generation_out,
                            kal_role *role_out)
{
    uint8_t bytes[8];

    pthread_rwlock_rdlock(&c->publish_lock);
    const kal_user_state *state = kal_map_find(&c->user_map, number_key(user_no, bytes));
    bool found = state != NULL && !state->is_deleted;
    if (found) {
        *generation_out = state->token_generation;
        *role_out = state->role;
    }
    pthread_rwlock_unlock(&c->publish_lock);
    return found;
}

bool kal_catalog_user_is_dropped(kal_catalog *c, uint64_t user_no)
{
    uint8_t bytes[8];

    pthread_rwlock_rdlock(&c->publish_lock);
    const kal_user_state *state = kal_map_find(&c->user_map, number_key(user_no, bytes));
    bool dropped = state != NULL && state->is_deleted;
    pthread_rwlock_unlock(&c->publish_lock);
    return dropped;
}

bool kal_catalog_user_name(kal_catalog *c, uint64_t user_no, kal_arena *arena,
                           kal_bytes *user_id_out)
{
    uint8_t bytes[8];

    pthread_rwlock_rdlock(&c->publish_lock);
    const kal_user_state *state = kal_map_find(&c->user_map, number_key(user_no, bytes));
    if (state != NULL)
        *user_id_out = kal_arena_copy(arena, state->user_id);
    pthread_rwlock_unlock(&c->publish_lock);
    return state != NULL;
}

/* How many others than except_no can log in, with this role or a higher one. */
static size_t count_logins(kal_catalog *c, kal_role least, uint64_t except_no)
{
    uint8_t bytes[8];
    size_t position = 0;
    size_t found = 0;
    kal_bytes key;
    const kal_user_state *state;

    pthread_rwlock_rdlock(&c->publish_lock);
    while ((state = kal_map_next(&c->user_map, &position, &key)) != NULL) {
        bool other = !kal_bytes_equal(key, number_key(except_no, bytes));
        found += other && !state->is_deleted && state->has_password && state->role >= least;
    }
    pthread_rwlock_unlock(&c->publish_lock);
    return found;
}

bool kal_catalog_any_password(kal_catalog *c)
{
    return count_logins(c, KAL_ROLE_USER, 0) > 0;
}

/* ---- changes ---- */

static kal_status put_user(kal_catalog_change *change, const kal_user *user, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    encode_user(user, &record);
    user_key(c, user->user_id, &key);
    kal_user_state state = state_of(user);
    state.user_id = kal_arena_copy(&change->arena, user->user_id);
    kal_status status = kal_entity_put(&c->users, change->batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    if (status == KAL_OK)
        kal_change_add(change, (kal_change_step){.kind = KAL_CHANGE_PUT_USER,
                                                 .user_no = user->user_no,
                                                 .user_state = state});
    return status;
}

static kal_status check_user_id(kal_bytes user_id, kal_error *err)
{
    bool valid = user_id.len > 0 && user_id.len <= KAL_USER_ID_BYTES_MAX && kal_utf8_valid(user_id);
    for (size_t i = 0; i < user_id.len && valid; i++)
        valid = user_id.ptr[i] > ' ' && user_id.ptr[i] != 0x7F && user_id.ptr[i] != '\'' &&
                user_id.ptr[i] != '"';
    if (valid)
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.*s' cannot be the name of a user", KAL_FMT(user_id));
    kal_error_hint(err, "1 to %d bytes of text without blanks and quotes", KAL_USER_ID_BYTES_MAX);
    return KAL_INVALID;
}

static bool is_erasing(const kal_user *user)
{
    return kal_bytes_equal(user->auth_type, KAL_STR(KAL_AUTH_ERASING));
}

static kal_status user_exists(const kal_user *found, kal_error *err)
{
    const char *why = "already exists";
    if (is_erasing(found))
        why = "is being erased";
    else if (found->deleted_at_us != 0)
        why = "was dropped: its name stays taken with its rows";
    kal_error_set(err, KAL_EXISTS, "user '%.*s' %s", KAL_FMT(found->user_id), why);
    kal_error_code(err, "USER_EXISTS");
    return KAL_EXISTS;
}

kal_status kal_catalog_create_user(kal_catalog_change *change, kal_user *user, kal_error *err)
{
    kal_user found;

    KAL_TRY(check_user_id(user->user_id, err));
    kal_status status =
        kal_catalog_get_any_user(change->catalog, user->user_id, &change->arena, &found, err);
    if (status == KAL_OK)
        return user_exists(&found, err);
    if (status != KAL_NOT_FOUND)
        return status;
    KAL_TRY(kal_counter_next(change, "user_no", &user->user_no, err));
    user->token_generation = 1;
    user->created_at_us = change->now_us;
    user->updated_at_us = change->now_us;
    user->last_seen_us = 0;
    user->deleted_at_us = 0;
    return put_user(change, user, err);
}

kal_status kal_users_create_root(kal_catalog_change *change, kal_error *err)
{
    kal_user root = {
        .user_id = KAL_STR("root"),
        .role = KAL_ROLE_SYSTEM,
        .auth_type = KAL_STR("internal"),
    };
    return kal_catalog_create_user(change, &root, err);
}

static kal_status not_found(kal_bytes user_id, kal_error *err)
{
    kal_error_set(err, KAL_NOT_FOUND, "user '%.*s' does not exist", KAL_FMT(user_id));
    kal_error_code(err, "USER_NOT_FOUND");
    return KAL_NOT_FOUND;
}

/* Somebody must be left who can manage users. */
static kal_status check_last_login(kal_catalog *c, const kal_user *before, bool stays,
                                   kal_error *err)
{
    bool counts = before->role >= KAL_ROLE_DBA && before->password_hash.len > 0;
    if (!counts || stays || count_logins(c, KAL_ROLE_DBA, before->user_no) > 0)
        return KAL_OK;
    return kal_error_set(err, KAL_INVALID, "'%.*s' is the last user who can manage users",
                         KAL_FMT(before->user_id));
}

kal_status kal_catalog_alter_user(kal_catalog_change *change, const kal_user *user, kal_error *err)
{
    kal_user now;

    kal_status status =
        kal_catalog_get_user(change->catalog, user->user_id, &change->arena, &now, err);
    if (status == KAL_NOT_FOUND)
        return not_found(user->user_id, err);
    KAL_TRY(status);
    bool stays = user->role >= KAL_ROLE_DBA && user->password_hash.len > 0;
    KAL_TRY(check_last_login(change->catalog, &now, stays, err));
    if (user->role != now.role || !kal_bytes_equal(user->password_hash, now.password_hash))
        now.token_generation++;
    now.role = user->role;
    now.password_hash = user->password_hash;
    now.email = user->email;
    now.auth_type = user->auth_type;
    now.auth_data = user->auth_data;
    now.updated_at_us = change->now_us;
    return put_user(change, &now, err);
}

kal_status kal_catalog_end_tokens(kal_catalog_change *change, kal_bytes user_id, kal_error *err)
{
    kal_user user;

    kal_status status = kal_catalog_get_user(change->catalog, user_id, &change->arena, &user, err);
    if (status == KAL_NOT_FOUND)
        return not_found(user_id, err);
    KAL_TRY(status);
    user.token_generation++;
    return put_user(change, &user, err);
}

kal_status kal_catalog_user_seen(kal_catalog_change *change, kal_bytes user_id, kal_error *err)
{
    kal_user user;

    KAL_TRY(kal_catalog_get_user(change->catalog, user_id, &change->arena, &user, err));
    user.last_seen_us = change->now_us;
    return put_user(change, &user, err);
}

static kal_status mark_dropped(kal_catalog_change *change, kal_user *user, kal_error *err)
{
    if (kal_bytes_equal(user->user_id, KAL_STR("root")))
        return kal_error_set(err, KAL_DENIED, "user 'root' cannot be dropped");
    KAL_TRY(check_last_login(change->catalog, user, false, err));
    user->deleted_at_us = change->now_us;
    user->updated_at_us = change->now_us;
    user->token_generation++;
    return KAL_OK;
}

kal_status kal_catalog_drop_user(kal_catalog_change *change, kal_bytes user_id, kal_error *err)
{
    kal_user user;

    kal_status status = kal_catalog_get_user(change->catalog, user_id, &change->arena, &user, err);
    if (status == KAL_NOT_FOUND)
        return not_found(user_id, err);
    KAL_TRY(status);
    KAL_TRY(mark_dropped(change, &user, err));
    return put_user(change, &user, err);
}

/* ---- erasing ---- */

kal_status kal_catalog_begin_erasing(kal_catalog_change *change, kal_bytes user_id, kal_error *err)
{
    kal_user user;

    kal_status status =
        kal_catalog_get_any_user(change->catalog, user_id, &change->arena, &user, err);
    if (status == KAL_NOT_FOUND)
        return not_found(user_id, err);
    KAL_TRY(status);
    if (user.deleted_at_us == 0)
        KAL_TRY(mark_dropped(change, &user, err));
    user.auth_type = KAL_STR(KAL_AUTH_ERASING);
    user.password_hash = (kal_bytes){0};
    user.email = (kal_bytes){0};
    user.auth_data = (kal_bytes){0};
    return put_user(change, &user, err);
}

/* In memory it stays a dropped one: what he has under way is still refused. */
kal_status kal_catalog_forget_user(kal_catalog_change *change, kal_bytes user_id, kal_error *err)
{
    kal_catalog *c = change->catalog;
    kal_entity_key key;
    kal_user user;

    kal_status status = kal_catalog_get_any_user(c, user_id, &change->arena, &user, err);
    if (status == KAL_NOT_FOUND)
        return not_found(user_id, err);
    KAL_TRY(status);
    KAL_ASSERT(user.deleted_at_us != 0);
    user_key(c, user_id, &key);
    return kal_entity_delete(&c->users, change->batch, &key, err);
}

typedef struct erasing_list {
    kal_arena *arena; /* borrowed */
    KAL_VEC(kal_user) users;
} erasing_list;

static kal_status note_erasing(void *context, const kal_user *user, kal_error *err)
{
    erasing_list *list = context;
    const kal_user found = {.user_no = user->user_no,
                            .user_id = kal_arena_copy(list->arena, user->user_id),
                            .role = user->role,
                            .deleted_at_us = user->deleted_at_us};

    if (!is_erasing(user) || user->deleted_at_us == 0)
        return KAL_OK;
    if (!kal_vec_try_push_in(list->arena, &list->users, found))
        return kal_error_set(err, KAL_LIMIT, "too many users are being erased");
    return KAL_OK;
}

kal_status kal_catalog_erasing_users(kal_catalog *c, kal_arena *arena, kal_user **users_out,
                                     size_t *count_out, kal_error *err)
{
    erasing_list list = {.arena = arena};

    kal_status status = kal_users_scan(c, NULL, note_erasing, &list, err);
    *users_out = list.users.items;
    *count_out = list.users.len;
    return status;
}
