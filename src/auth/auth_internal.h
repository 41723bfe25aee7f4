/*
 * auth_internal.h: the parts of auth/: passwords, the secret, tokens, throttling, set-up.
 */
#ifndef KAL_AUTH_AUTH_INTERNAL_H
#define KAL_AUTH_AUTH_INTERNAL_H

#include "auth/auth.h"
#include "base/list.h"
#include "base/map.h"
#include "catalog/catalog.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- passwords (password.c) ---- */

/* Among those that anybody would try first; case folded (password_common.c). */
bool kal_password_is_common(kal_bytes password);
/* Takes as long for an unknown user (hash empty) as for a known one. */
bool kal_password_matches(kal_bytes hash, kal_bytes password);

/* ---- the secret (secret.c) ---- */

#define KAL_TOKEN_SECRET_BYTES 32u

/* Reads the file, or makes it (0600). KAL_CORRUPT, saying why, when it has another length or others
 * may read it. */
KAL_MUST_CHECK kal_status kal_secret_open(const kal_files *files, const char *path,
                                          uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_error *err);

/* ---- tokens (token.c) ---- */

#define KAL_TOKEN_BYTES_MAX 2048u
#define KAL_ACCESS_SECONDS  (INT64_C(24) * 3600)
#define KAL_REFRESH_SECONDS (7 * KAL_ACCESS_SECONDS)

typedef struct kal_token_claims {
    kal_principal principal;
    uint32_t generation;
    bool is_refresh;
    int64_t issued_s; /* seconds since 1970 */
    int64_t expires_s;
} kal_token_claims;

/* A signed token, NUL-terminated, in the arena. */
char *kal_token_sign(const uint8_t secret[KAL_TOKEN_SECRET_BYTES], const kal_token_claims *claims,
                     kal_arena *arena);
/* KAL_UNAUTHORIZED with code INVALID_TOKEN or TOKEN_EXPIRED. */
KAL_MUST_CHECK kal_status kal_token_verify(const uint8_t secret[KAL_TOKEN_SECRET_BYTES],
                                           kal_bytes token, int64_t now_s,
                                           kal_token_claims *claims_out, kal_error *err);

/* ---- verified tokens (token_cache.c) ---- */

typedef struct kal_token_cache kal_token_cache;

kal_token_cache *kal_token_cache_open(size_t tokens_max);
void kal_token_cache_close(kal_token_cache *cache);
/* Only tokens that were verified are in it; expiry, type and generation are still to be looked at.
 */
bool kal_token_cache_find(kal_token_cache *cache, kal_bytes token, kal_token_claims *claims_out);
void kal_token_cache_add(kal_token_cache *cache, kal_bytes token, const kal_token_claims *claims);

/* ---- throttling (throttle.c) ---- */

typedef struct kal_throttle kal_throttle;

typedef struct kal_throttle_limits {
    unsigned failures_max; /* within the window */
    int64_t window_us;
    int64_t lock_us;
    size_t names_max; /* the oldest are forgotten */
} kal_throttle_limits;

kal_throttle *kal_throttle_open(const kal_throttle_limits *limits);
void kal_throttle_close(kal_throttle *throttle);
/* False while the name is locked. now_us of all three: a clock that never steps back. */
bool kal_throttle_may_try(kal_throttle *throttle, kal_bytes name, int64_t now_us);
void kal_throttle_failed(kal_throttle *throttle, kal_bytes name, int64_t now_us);
void kal_throttle_succeeded(kal_throttle *throttle, kal_bytes name);

struct kal_auth {
    kal_catalog *catalog;   /* borrowed */
    const kal_files *files; /* borrowed */
    const kal_clock *clock; /* borrowed */
    uint8_t secret[KAL_TOKEN_SECRET_BYTES];
    kal_token_cache *cache;
    kal_throttle *accounts;
    kal_throttle *addresses;
    char *setup_path;           /* owned */
    _Atomic bool needs_setup;   /* only ever goes to false; event loops ask for it */
    pthread_mutex_t setup_lock; /* held through a set-up; protects setup_token */
    char setup_token[65];       /* hex; "" once set up */
};

/* The clock of throttling. */
int64_t kal_auth_mono_us(const kal_auth *auth);

/* ---- first set-up (setup.c) ---- */

KAL_MUST_CHECK kal_status kal_setup_open(kal_auth *auth, const char *root_password, kal_error *err);

#endif
