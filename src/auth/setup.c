/*
 * setup.c: the first set-up: until somebody can log in, only the holder of the one-time token,
 * which lies in a 0600 file of the data directory, can do anything: give root a password.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/rng.h"

#include <sodium.h>

static kal_status set_root(kal_catalog_change *change, kal_bytes hash, kal_arena *arena,
                           kal_error *err)
{
    /* The catalog lock is held: read through the same catalog. */
    kal_user root;
    kal_catalog *catalog = kal_catalog_change_catalog(change);
    KAL_TRY(kal_catalog_get_user(catalog, KAL_STR("root"), arena, &root, err));
    root.password_hash = hash;
    root.auth_type = KAL_STR("password");
    return kal_catalog_alter_user(change, &root, err);
}

static kal_status commit(kal_auth *auth, kal_bytes root_hash, kal_user *user, kal_arena *arena,
                         kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(auth->catalog, &KAL_PRINCIPAL_SERVER); /* owned */
    kal_status status = set_root(change, root_hash, arena, err);

    if (status == KAL_OK && user != NULL)
        status = kal_catalog_create_user(change, user, err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}

/* Sets root's password and creates a dba, in one change. */
static kal_status carry_out(kal_auth *auth, kal_bytes root_password, kal_bytes name,
                            kal_bytes password, kal_error *err)
{
    kal_arena arena;
    char *root_hash = NULL;
    char *hash = NULL;
    kal_user user = {.user_id = name, .role = KAL_ROLE_DBA, .auth_type = KAL_STR("password")};

    kal_arena_init(&arena, NULL);
    kal_status status = kal_password_hash(root_password, &arena, &root_hash, err);
    if (status == KAL_OK && name.len > 0)
        status = kal_password_hash(password, &arena, &hash, err);
    if (status == KAL_OK) {
        user.password_hash = kal_cstr(hash);
        status = commit(auth, kal_cstr(root_hash), name.len > 0 ? &user : NULL, &arena, err);
    }
    kal_arena_release(&arena);
    return status;
}

static void finish_setup(kal_auth *auth)
{
    kal_error err = KAL_ERROR_INIT;
    auth->needs_setup = false;
    sodium_memzero(auth->setup_token, sizeof auth->setup_token);
    if (kal_files_remove(auth->files, auth->setup_path, &err) != KAL_OK)
        kal_log_warn("auth", "%s; it is of no use any more", err.message);
}

static kal_status make_setup_token(kal_auth *auth, kal_error *err)
{
    uint8_t bytes[32];
    char line[sizeof auth->setup_token + 1];

    kal_random_bytes(bytes, sizeof bytes);
    sodium_bin2hex(auth->setup_token, sizeof auth->setup_token, bytes, sizeof bytes);
    memcpy(line, auth->setup_token, sizeof auth->setup_token);
    line[sizeof auth->setup_token - 1] = '\n';
    auth->needs_setup = true;
    kal_status status = kal_files_replace(auth->files, auth->setup_path,
                                          kal_bytes_of(line, sizeof auth->setup_token), 0600, err);
    sodium_memzero(bytes, sizeof bytes);
    sodium_memzero(line, sizeof line);
    return status;
}

static kal_status root_has_password(kal_auth *auth, bool *has_out, kal_error *err)
{
    kal_user root;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_catalog_get_user(auth->catalog, KAL_STR("root"), &arena, &root, err);
    if (status == KAL_NOT_FOUND)
        status = kal_error_set(err, KAL_CORRUPT, "the catalog has no user 'root'");
    *has_out = status == KAL_OK && root.password_hash.len > 0;
    kal_arena_release(&arena);
    return status;
}

static kal_status set_root_only(kal_auth *auth, const char *root_password, kal_error *err)
{
    kal_status status =
        carry_out(auth, kal_cstr(root_password), (kal_bytes){0}, (kal_bytes){0}, err);
    if (status == KAL_INVALID)
        kal_error_hint(err, "this is about the password for root that was given at start");
    return status;
}

kal_status kal_setup_open(kal_auth *auth, const char *root_password, kal_error *err)
{
    bool has_password = false;

    KAL_TRY(root_has_password(auth, &has_password, err));
    if (!has_password && root_password != NULL && root_password[0] != '\0')
        KAL_TRY(set_root_only(auth, root_password, err));
    if (!kal_catalog_any_password(auth->catalog))
        return make_setup_token(auth, err);
    finish_setup(auth); /* the file may be there of an earlier start */
    return KAL_OK;
}

static kal_status refuse(const char *why, const char *code, kal_error *err)
{
    kal_error_set(err, KAL_DENIED, "%s", why);
    kal_error_code(err, code);
    return KAL_DENIED;
}

static bool token_matches(const kal_auth *auth, kal_bytes token)
{
    size_t len = sizeof auth->setup_token - 1;
    return token.len == len && sodium_memcmp(token.ptr, auth->setup_token, len) == 0;
}

static kal_status setup_locked(kal_auth *auth, kal_bytes token, kal_bytes root_password,
                               kal_bytes user, kal_bytes password, kal_error *err)
{
    if (!auth->needs_setup)
        return refuse("the server is set up already", "ALREADY_SET_UP", err);
    if (!token_matches(auth, token))
        return refuse("the set-up token is wrong", "INVALID_SETUP_TOKEN", err);
    KAL_TRY(carry_out(auth, root_password, user, password, err));
    finish_setup(auth);
    return KAL_OK;
}

kal_status kal_auth_setup(kal_auth *auth, kal_bytes setup_token, kal_bytes root_password,
                          kal_bytes user, kal_bytes password, const char *peer, kal_error *err)
{
    int64_t now_us = kal_auth_mono_us(auth);
    kal_bytes address = kal_cstr(peer);

    if (!kal_throttle_may_try(auth->addresses, address, now_us))
        return kal_error_set(err, KAL_BUSY, "too many failed attempts, try again later");
    pthread_mutex_lock(&auth->setup_lock);
    kal_status status = setup_locked(auth, setup_token, root_password, user, password, err);
    pthread_mutex_unlock(&auth->setup_lock);
    if (status == KAL_DENIED)
        kal_throttle_failed(auth->addresses, address, now_us);
    return status;
}

bool kal_auth_needs_setup(kal_auth *auth)
{
    return auth->needs_setup;
}

const char *kal_auth_setup_token_path(kal_auth *auth)
{
    return kal_auth_needs_setup(auth) ? auth->setup_path : NULL;
}
