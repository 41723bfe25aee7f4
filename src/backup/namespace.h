/*
 * namespace.h: the copy of one namespace, made and restored while the server runs.
 *
 *     backup.json                  as of every backup (backup.h); format 3, with the namespace
 *     namespace.json               its name, time of creation and options
 *     users.txt                    whose rows there are, one user a line (users.h)
 *     tables/NAME.json             a table or view: its versions, its files (table_file.h)
 *     tables/NAME.0001.parquet ... its rows, if it has any
 *
 * Everything is of one moment. The Parquet files are plain ones: a reader who knows nothing of us
 * finds the table's columns, and before them _user_id (whose row it is; USER and STREAM), _seq, and
 * in a STREAM table _inserted_at.
 *
 * Restoring checks every file first. Then the rows are written under tables without a name
 * (catalog/restored.h), and one change makes namespace, tables, views and history known: nobody
 * sees a part of it, whatever fails or is killed when. Rows get new seqs; rows of STREAM tables
 * keep their age. A row belongs to the account that it had: the user of its user_id here,
 * if he has the number and the time of creation that he had in the backup. A name may be somebody
 * else's by now, and on another server it always is another account: then whoever restores says
 * that they are the same people.
 *
 * Threads: any, with stacks of KAL_ENGINE_STACK_BYTES; calls block.
 */
#ifndef KAL_BACKUP_NAMESPACE_H
#define KAL_BACKUP_NAMESPACE_H

#include "backup/backup.h"

/* As kal_backup_make(). KAL_NOT_FOUND: there is no such namespace. */
KAL_MUST_CHECK kal_status kal_backup_make_namespace(const kal_backup_source *source,
                                                    kal_bytes namespace_id, kal_bytes path,
                                                    const kal_backup_poll *poll, kal_arena *arena,
                                                    kal_backup *out, kal_error *err);

/* All are borrowed. */
typedef struct kal_restore_target {
    kal_catalog *catalog;
    kal_tables *tables;
    kal_parquet *parquet;
    const kal_principal *actor;
    bool users_by_name;      /* whoever has a user's name here is that user */
    bool skip_missing_users; /* leave out the rows of users who are not here */
} kal_restore_target;

typedef struct kal_restored {
    size_t table_count; /* views among them */
    uint64_t row_count;
    uint64_t skipped_count; /* rows that were left out */
} kal_restored;

/*
 * name: what the namespace will be called; empty: as in the backup. KAL_EXISTS: there is one of
 * this name. KAL_INVALID: it is a backup of the whole database; users of it are not here (code
 * USER_NOT_FOUND, names the first). KAL_CONFLICT: one of them was dropped meanwhile.
 * KAL_UNSUPPORTED: it has views, which name their tables by namespace, and another name was asked
 * for. KAL_CORRUPT: names the file. Else as kal_backup_check(), or what poll says.
 */
KAL_MUST_CHECK kal_status kal_backup_restore_namespace(const kal_restore_target *target,
                                                       kal_bytes path, kal_bytes name,
                                                       const kal_backup_poll *poll,
                                                       kal_arena *arena, kal_restored *out,
                                                       kal_error *err);

#endif
