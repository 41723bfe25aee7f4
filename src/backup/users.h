/*
 * users.h: whose rows a backup has: users by number at the moment of the backup, and users.txt.
 * Only for this folder.
 */
#ifndef KAL_BACKUP_USERS_H
#define KAL_BACKUP_USERS_H

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
/* Of those who are marked: one a line, in order. */
void kal_users_write(const kal_users *users, kal_buf *out);

/* Takes the next line of users.txt. KAL_END; KAL_CORRUPT: it cannot be a user's name. */
KAL_MUST_CHECK kal_status kal_users_next(kal_bytes *text, kal_bytes *user_id_out, kal_error *err);

#endif
