/*
 * users.h: whose rows a backup has: users by number at the moment of the backup, and users.txt.
 * Only for this folder.
 */
#ifndef KAL_BACKUP_USERS_H
#define KAL_BACKUP_USERS_H

#include "base/buf.h"
#include "base/map.h"
#include "catalog/catalog.h"

typedef struct kal_users {
    kal_budget budget;
    kal_arena arena; /* owned; entries */
    kal_map map;     /* be64 user_no -> entry */
} kal_users;

/* Every user there is at the moment of the snapshot, dropped ones too. KAL_LIMIT: too many. */
KAL_MUST_CHECK kal_status kal_users_open(kal_users *users, kal_catalog *catalog,
                                         const kal_kv_snapshot *snapshot, kal_error *err);
void kal_users_close(kal_users *users);
/* The name of a user, who is marked as having rows; borrowed. False: nobody has this number. */
bool kal_users_mark(kal_users *users, uint64_t user_no, kal_bytes *user_id_out);
/* Of those who are marked: one a line, in order of names: user_no, created_at_us, user_id. */
void kal_users_write(const kal_users *users, kal_buf *out);

/* A line of users.txt: who it was. Whoever has another number or time of creation here is another
 * account of that name. */
typedef struct kal_backup_user {
    uint64_t user_no;
    int64_t created_at_us;
    kal_bytes user_id;
} kal_backup_user;
/* Takes the next line. KAL_END; KAL_CORRUPT: it can be no user, or is not behind the one before. */
KAL_MUST_CHECK kal_status kal_users_next(kal_bytes *text, kal_backup_user *user, kal_error *err);

/* Who has the rows here: names of the backup and numbers of this server. */
typedef struct kal_owners {
    kal_budget budget;
    kal_arena arena;       /* owned; entries */
    kal_map map;           /* user_id -> entry */
    size_t missing_count;  /* of users.txt: nobody of that name is here */
    size_t other_count;    /* somebody of that name, but another account */
    kal_buf missing_names; /* owned; the first few, quoted */
    kal_buf other_names;
} kal_owners;

/* Looks up everybody of users.txt. by_name: whoever has the name is the one. KAL_CORRUPT. */
KAL_MUST_CHECK kal_status kal_owners_open(kal_owners *owners, kal_catalog *catalog,
                                          kal_bytes users_text, bool by_name, kal_error *err);
void kal_owners_close(kal_owners *owners);
/* False: the file does not name him; *user_no_out 0: he is not here. */
bool kal_owners_find(const kal_owners *owners, kal_bytes user_id, uint64_t *user_no_out);
/* KAL_CONFLICT: one of them was dropped meanwhile. Under the DDL lock the answer holds. */
KAL_MUST_CHECK kal_status kal_owners_check(const kal_owners *owners, kal_catalog *catalog,
                                           kal_error *err);

#endif
