/*
 * auth.c: logging in, and whom a token stands for.
 */
#include "auth/auth.h"
#include "auth/auth_internal.h"
#include "base/assert.h"
#include "base/log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { CACHED_TOKENS_MAX = 4096, SECOND_US = 1000000, SEEN_US = 60 * SECOND_US };

static const kal_throttle_limits ACCOUNT_LIMITS = {
    .failures_max = 5,
    .window_us = INT64_C(5) * 60 * SECOND_US,
    .lock_us = INT64_C(15) * 60 * SECOND_US,
    .names_max = 10000,
};
/* An address may stand for many people, so it takes more. */
static const kal_throttle_limits ADDRESS_LIMITS = {
    .failures_max = 50,
    .window_us = INT64_C(5) * 60 * SECOND_US,
    .lock_us = INT64_C(5) * 60 * SECOND_US,
    .names_max = 10000,
};

/* ---- opening ---- */

static char *path_in(const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        kal_die("out of memory: path");
    return path;
}

kal_status kal_auth_open(kal_catalog *catalog, const kal_files *files, const char *data_dir,
                         const kal_clock *clock, const char *root_password, kal_auth **auth_out,
                         kal_error *err)
{
    *auth_out = NULL;
    if (sodium_init() < 0)
        return kal_error_set(err, KAL_INTERNAL, "libsodium does not start");
    kal_auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL)
        kal_die("out of memory: auth");
    auth->catalog = catalog;
    auth->files = files;
    auth->clock = clock;
    auth->cache = kal_token_cache_open(CACHED_TOKENS_MAX);
    auth->accounts = kal_throttle_open(&ACCOUNT_LIMITS);
    auth->addresses = kal_throttle_open(&ADDRESS_LIMITS);
    auth->setup_path = path_in(data_dir, "setup-token");
    pthread_mutex_init(&auth->setup_lock, NULL);
    char *secret_path = path_in(data_dir, "token-secret");
    kal_status status = kal_secret_open(files, secret_path, auth->secret, err);
    free(secret_path);
    if (status == KAL_OK)
        status = kal_setup_open(auth, root_password, err);
    if (status != KAL_OK) {
        kal_auth_close(auth);
        return status;
    }
    *auth_out = auth;
    return KAL_OK;
}

void kal_auth_close(kal_auth *auth)
{
    if (auth == NULL)
        return;
    kal_token_cache_close(auth->cache);
    kal_throttle_close(auth->accounts);
    kal_throttle_close(auth->addresses);
    pthread_mutex_destroy(&auth->setup_lock);
    sodium_memzero(auth->secret, sizeof auth->secret);
    sodium_memzero(auth->setup_token, sizeof auth->setup_token);
    free(auth->setup_path);
    free(auth);
}

/* ---- logging in ---- */

int64_t kal_auth_mono_us(const kal_auth *auth)
{
    return (int64_t)(kal_clock_mono_ns(auth->clock) / 1000);
}

static kal_principal principal_of(const kal_user *user)
{
    kal_principal p = {.user_no = user->user_no, .role = user->role};
    KAL_ASSERT(user->user_id.len <= KAL_USER_ID_BYTES_MAX);
    memcpy(p.user_id, user->user_id.ptr, user->user_id.len);
    return p;
}

static void make_login(kal_auth *auth, const kal_user *user, kal_arena *arena, kal_login *out)
{
    int64_t now_s = kal_clock_wall_us(auth->clock) / SECOND_US;
    kal_token_claims claims = {
        .principal = principal_of(user),
        .generation = user->token_generation,
        .issued_s = now_s,
        .expires_s = now_s + KAL_ACCESS_SECONDS,
    };
    *out = (kal_login){
        .principal = claims.principal,
        .expires_at_us = claims.expires_s * SECOND_US,
        .refresh_expires_at_us = (now_s + KAL_REFRESH_SECONDS) * SECOND_US,
        .created_at_us = user->created_at_us,
        .updated_at_us = user->updated_at_us,
        .email = user->email.ptr == NULL ? NULL : kal_arena_cstr(arena, user->email),
    };
    out->access_token = kal_token_sign(auth->secret, &claims, arena);
    claims.is_refresh = true;
    claims.expires_s = now_s + KAL_REFRESH_SECONDS;
    out->refresh_token = kal_token_sign(auth->secret, &claims, arena);
}

/* Writes when somebody logged in, to the minute. A login does not wait for a schema change, nor
 * fail when this cannot be written. */
static void note_seen(kal_auth *auth, const kal_user *user)
{
    kal_principal principal = principal_of(user);
    kal_error err = KAL_ERROR_INIT;

    if (kal_clock_wall_us(auth->clock) - user->last_seen_us < SEEN_US)
        return;
    kal_catalog_change *change = kal_catalog_try_begin(auth->catalog, &principal); /* owned */
    if (change == NULL)
        return;
    kal_status status = kal_catalog_user_seen(change, user->user_id, &err);
    if (status == KAL_OK)
        status = kal_catalog_commit(change, &err);
    kal_catalog_end(change);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        kal_log_warn("auth", "the time of the login of '%.*s' was not written: %s",
                     KAL_FMT(user->user_id), err.message);
}

static kal_status throttled(kal_auth *auth, kal_bytes user, kal_bytes address, int64_t now_us,
                            kal_error *err)
{
    if (kal_throttle_may_try(auth->accounts, user, now_us) &&
        kal_throttle_may_try(auth->addresses, address, now_us))
        return KAL_OK;
    return kal_error_set(err, KAL_BUSY, "too many failed logins, try again later");
}

kal_status kal_auth_login(kal_auth *auth, kal_bytes user, kal_bytes password, const char *peer,
                          kal_arena *arena, kal_login *login_out, kal_error *err)
{
    int64_t now_us = kal_auth_mono_us(auth);
    kal_bytes address = kal_cstr(peer);
    kal_user found = {0};

    if (user.len > KAL_USER_ID_BYTES_MAX)
        user.len = KAL_USER_ID_BYTES_MAX; /* no user has this name; it still counts as a failure */
    KAL_TRY(throttled(auth, user, address, now_us, err));
    kal_status status = kal_catalog_get_user(auth->catalog, user, arena, &found, err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    kal_bytes hash = status == KAL_OK ? found.password_hash : (kal_bytes){0};
    if (!kal_password_matches(hash, password)) {
        kal_throttle_failed(auth->accounts, user, now_us);
        kal_throttle_failed(auth->addresses, address, now_us);
        kal_error_set(err, KAL_UNAUTHORIZED, "wrong user or password");
        kal_error_code(err, "INVALID_CREDENTIALS");
        return KAL_UNAUTHORIZED;
    }
    kal_throttle_succeeded(auth->accounts, user);
    make_login(auth, &found, arena, login_out);
    note_seen(auth, &found);
    return KAL_OK;
}

/* ---- tokens ---- */

static kal_status ended(kal_error *err)
{
    kal_error_set(err, KAL_UNAUTHORIZED, "the token was ended: log in again");
    kal_error_code(err, "TOKEN_REVOKED");
    return KAL_UNAUTHORIZED;
}

/* The role is the one of now, not of the token; a change of it ends the token anyway. */
static kal_status check_generation(kal_auth *auth, kal_token_claims *claims, kal_error *err)
{
    uint32_t generation = 0;
    if (!kal_catalog_user_state(auth->catalog, claims->principal.user_no, &generation,
                                &claims->principal.role) ||
        generation != claims->generation)
        return ended(err);
    return KAL_OK;
}

kal_status kal_auth_verify_session(kal_auth *auth, kal_bytes token, kal_auth_session *session_out,
                                   kal_error *err)
{
    kal_token_claims claims;
    int64_t now_s = kal_clock_wall_us(auth->clock) / SECOND_US;
    bool cached = kal_token_cache_find(auth->cache, token, &claims) && now_s < claims.expires_s;

    if (!cached)
        KAL_TRY(kal_token_verify(auth->secret, token, now_s, &claims, err));
    if (claims.is_refresh) {
        kal_error_set(err, KAL_UNAUTHORIZED, "a refresh token gives no access");
        kal_error_code(err, "INVALID_TOKEN");
        return KAL_UNAUTHORIZED;
    }
    KAL_TRY(check_generation(auth, &claims, err));
    if (!cached)
        kal_token_cache_add(auth->cache, token, &claims);
    *session_out =
        (kal_auth_session){claims.principal, claims.generation, claims.expires_s * SECOND_US};
    return KAL_OK;
}

kal_status kal_auth_verify(kal_auth *auth, kal_bytes token, kal_principal *principal_out,
                           kal_error *err)
{
    kal_auth_session session;

    KAL_TRY(kal_auth_verify_session(auth, token, &session, err));
    *principal_out = session.principal;
    return KAL_OK;
}

kal_status kal_auth_refresh(kal_auth *auth, kal_bytes refresh_token, kal_arena *arena,
                            kal_login *login_out, kal_error *err)
{
    kal_token_claims claims;
    kal_user user;
    int64_t now_s = kal_clock_wall_us(auth->clock) / SECOND_US;

    KAL_TRY(kal_token_verify(auth->secret, refresh_token, now_s, &claims, err));
    if (!claims.is_refresh) {
        kal_error_set(err, KAL_UNAUTHORIZED, "this is not a refresh token");
        kal_error_code(err, "INVALID_TOKEN");
        return KAL_UNAUTHORIZED;
    }
    KAL_TRY(check_generation(auth, &claims, err));
    kal_status status =
        kal_catalog_get_user(auth->catalog, kal_cstr(claims.principal.user_id), arena, &user, err);
    if (status == KAL_NOT_FOUND)
        return ended(err);
    KAL_TRY(status);
    make_login(auth, &user, arena, login_out);
    note_seen(auth, &user);
    return KAL_OK;
}

kal_status kal_auth_logout(kal_auth *auth, const kal_principal *principal, kal_error *err)
{
    kal_catalog_change *change = kal_catalog_begin(auth->catalog, principal); /* owned */
    kal_status status = kal_catalog_end_tokens(change, kal_cstr(principal->user_id), err);

    if (status == KAL_OK)
        status = kal_catalog_commit(change, err);
    kal_catalog_end(change);
    return status;
}
