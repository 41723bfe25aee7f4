/*
 * auth.h: who is calling: logins, tokens, first set-up.
 *
 * Passwords are argon2id (libsodium). A token is a JWT signed with HS256 by a secret that is made
 * at the first start and kept in the data directory (0600); it carries the user's token generation,
 * which is compared on every request: changing a password or role, logging out, or dropping the
 * user ends all earlier tokens at once. Verified tokens are cached.
 *
 * Before set-up (no user has a password) only set-up works: with the one-time token that is printed
 * at start and kept in <data>/setup-token (0600), or by the environment's root password.
 *
 * Threads: any. kal_auth_login() and kal_auth_setup() take 20 ms of CPU and more: never call them
 * on an event loop. Throttling per account (5 failures in 5 minutes lock it for 15) and per
 * address.
 */
#ifndef KAL_AUTH_AUTH_H
#define KAL_AUTH_AUTH_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "catalog/role.h"

#define KAL_PASSWORD_BYTES_MIN 8
#define KAL_PASSWORD_BYTES_MAX 256

typedef struct kal_auth kal_auth;       /* opaque: kal_auth_close */
typedef struct kal_catalog kal_catalog; /* catalog/catalog.h */

/* Reads or creates the secret and, when no user can log in yet, the set-up token. root_password may
 * be NULL; when given and root has no password yet, it is set. catalog is borrowed. */
KAL_MUST_CHECK kal_status kal_auth_open(kal_catalog *catalog, const kal_files *files,
                                        const char *data_dir, const kal_clock *clock,
                                        const char *root_password, kal_auth **auth_out,
                                        kal_error *err);
void kal_auth_close(kal_auth *auth);

/* True until somebody can log in. The token is NULL when set-up is done. */
bool kal_auth_needs_setup(kal_auth *auth);
const char *kal_auth_setup_token_path(kal_auth *auth);

typedef struct kal_login {
    kal_principal principal;
    char *access_token; /* arena, NUL-terminated */
    char *refresh_token;
    int64_t expires_at_us; /* of the access token: 24 h */
    int64_t refresh_expires_at_us;
    int64_t created_at_us; /* of the user */
    int64_t updated_at_us;
    char *email; /* arena, or NULL */
} kal_login;

/* KAL_UNAUTHORIZED with one and the same message and the same time for an unknown user and a wrong
 * password; KAL_BUSY when throttled. peer: the client's address text. */
KAL_MUST_CHECK kal_status kal_auth_login(kal_auth *auth, kal_bytes user, kal_bytes password,
                                         const char *peer, kal_arena *arena, kal_login *login_out,
                                         kal_error *err);
/* A new pair of tokens for a valid refresh token. */
KAL_MUST_CHECK kal_status kal_auth_refresh(kal_auth *auth, kal_bytes refresh_token,
                                           kal_arena *arena, kal_login *login_out, kal_error *err);
/* Ends all tokens of the user, wherever he is logged in. Writes and syncs: not on an event loop. */
KAL_MUST_CHECK kal_status kal_auth_logout(kal_auth *auth, const kal_principal *principal,
                                          kal_error *err);
/* Sets root's password and creates `user` (role dba) when not empty. KAL_DENIED once set up or when
 * the token is wrong. */
KAL_MUST_CHECK kal_status kal_auth_setup(kal_auth *auth, kal_bytes setup_token,
                                         kal_bytes root_password, kal_bytes user,
                                         kal_bytes password, const char *peer, kal_error *err);
/* Fast; for event loops. KAL_UNAUTHORIZED with a code such as TOKEN_EXPIRED, INVALID_TOKEN. */
KAL_MUST_CHECK kal_status kal_auth_verify(kal_auth *auth, kal_bytes token,
                                          kal_principal *principal_out, kal_error *err);

/* The same for who stays: until when the token is good, and what it stands and falls with. */
typedef struct kal_auth_session {
    kal_principal principal;
    uint32_t generation; /* of the user's tokens: kal_catalog_user_state() */
    int64_t expires_at_us;
} kal_auth_session;
KAL_MUST_CHECK kal_status kal_auth_verify_session(kal_auth *auth, kal_bytes token,
                                                  kal_auth_session *session_out, kal_error *err);

/* For CREATE and ALTER USER: checks the length and a list of common passwords, then hashes. */
KAL_MUST_CHECK kal_status kal_password_hash(kal_bytes password, kal_arena *arena, char **hash_out,
                                            kal_error *err);

#endif
