/*
 * credentials.h: tokens kept between runs of kalam, one login per server.
 *
 * $XDG_CONFIG_HOME/kalam/credentials.json, else ~/.config/kalam/credentials.json, mode 0600:
 *   {"http://127.0.0.1:8080": {"user": "..", "access_token": "..", "refresh_token": ".."}}
 *
 * Passwords are never kept. Two kalams that write at the same moment: the later file stays whole.
 * Threads: one at a time.
 */
#ifndef KAL_CLI_CREDENTIALS_H
#define KAL_CLI_CREDENTIALS_H

#include "base/arena.h"
#include "base/error.h"

typedef struct kal_credentials {
    const char *user;
    const char *access_token;
    const char *refresh_token; /* or NULL */
} kal_credentials;

/* The login for a server; texts from the arena. KAL_NOT_FOUND; KAL_INVALID, KAL_IO. */
KAL_MUST_CHECK kal_status kal_credentials_load(const char *url, kal_arena *arena,
                                               kal_credentials *credentials_out, kal_error *err);
/* Keeps the login, or forgets it (credentials NULL). */
KAL_MUST_CHECK kal_status kal_credentials_store(const char *url, const kal_credentials *credentials,
                                                kal_error *err);

/* A path below the user's configuration or state folder, whose folders are made when `make`.
 * KAL_NOT_FOUND when there is no home. */
typedef enum kal_home_kind { KAL_HOME_CONFIG, KAL_HOME_STATE } kal_home_kind;
KAL_MUST_CHECK kal_status kal_home_path(kal_home_kind kind, const char *name, bool make,
                                        kal_arena *arena, const char **path_out, kal_error *err);

#endif
