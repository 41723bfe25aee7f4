/*
 * user_export.h: everything that one user has in USER and STREAM tables, as a file for him.
 *
 * A ZIP archive:
 *
 *     export.json            format, user, time, server version, and each table with file and rows
 *     NS/TABLE.jsonl         his rows, one JSON object a line, values as docs/types.md has them in
 * JSON NS/TABLE.schema.json   the columns with their types
 *
 * Tables in which he has no row are not in it. Everything is of one moment. Isolation is that of
 * any statement: the view has his user_no, and a scan through it sees no other partition.
 *
 * Threads: any, with stacks of KAL_ENGINE_STACK_BYTES; calls block.
 */
#ifndef KAL_BACKUP_USER_EXPORT_H
#define KAL_BACKUP_USER_EXPORT_H

#include "backup/backup.h"

/* All are borrowed. */
typedef struct kal_user_export_args {
    kal_catalog *catalog;
    kal_tables *tables;
    uint64_t user_no;
    kal_bytes user_id;
    const char *path;   /* a new file */
    uint64_t bytes_max; /* of the archive */
    const kal_backup_poll *poll;
} kal_user_export_args;

typedef struct kal_user_exported {
    size_t table_count; /* with rows of his */
    uint64_t row_count;
    uint64_t size_bytes;
} kal_user_exported;

/* On failure the file may be there in part: the caller removes it. KAL_LIMIT: it would be larger
 * than bytes_max; KAL_IO, and what poll says. */
KAL_MUST_CHECK kal_status kal_user_export(const kal_user_export_args *args, kal_user_exported *out,
                                          kal_error *err);

#endif
