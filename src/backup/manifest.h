/*
 * manifest.h: backup.json, the list of a backup's files. Only for this folder.
 */
#ifndef KAL_BACKUP_MANIFEST_H
#define KAL_BACKUP_MANIFEST_H

#include "backup/backup.h"
#include "base/buf.h"

#define KAL_MANIFEST_NAME "backup.json"

/* Of the backup of a namespace, see namespace.h. */
#define KAL_BACKUP_TABLES    "tables"
#define KAL_BACKUP_NAMESPACE "namespace.json"
#define KAL_BACKUP_USERS     "users.txt"

void kal_manifest_write(const kal_backup *backup, kal_buf *out);
/* Nothing in it is believed: names are those that a backup has, sizes and hashes well formed, no
 * file twice. KAL_CORRUPT, KAL_UNSUPPORTED. */
KAL_MUST_CHECK kal_status kal_manifest_read(kal_bytes text, kal_arena *arena, kal_backup *out,
                                            kal_error *err);

#endif
