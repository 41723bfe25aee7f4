/*
 * making.h: a backup while it is made: a directory under a passing name, and the list of its files.
 *
 * Only for this folder.
 */
#ifndef KAL_BACKUP_MAKING_H
#define KAL_BACKUP_MAKING_H

#include "backup/backup.h"
#include "backup/tree.h"

enum { KAL_BACKUP_FILE_MODE = 0600, KAL_BACKUP_MANIFEST_BYTES_MAX = 64 * 1024 * 1024 };

typedef struct kal_making {
    const kal_backup_poll *poll; /* borrowed */
    kal_arena *arena;            /* borrowed; of what backup names */
    kal_backup *backup;          /* borrowed */
    size_t file_cap;
    char path[KAL_TREE_PATH_BYTES];      /* that it is made for */
    char directory[KAL_TREE_PATH_BYTES]; /* under its passing name */
} kal_making;

/* Absolute, without '/' at its end. KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_backup_path(kal_bytes path, char out[KAL_TREE_PATH_BYTES],
                                          kal_error *err);
/* Makes the directory. As kal_backup_make(). */
KAL_MUST_CHECK kal_status kal_making_begin(kal_making *m, const char *data_dir, kal_bytes path,
                                           kal_error *err);
/* A file that is there already (copy NULL), or is copied there: hashed and on stable storage. In
 * the order of names, at the latest when the making ends. */
KAL_MUST_CHECK kal_status kal_making_add(kal_making *m, const char *name, const char *from,
                                         const char *copy, kal_error *err);
/* A file of this content. */
KAL_MUST_CHECK kal_status kal_making_add_text(kal_making *m, const char *name, kal_bytes content,
                                              kal_error *err);
/* status KAL_OK: writes backup.json and gives the directory its name; else, and when that fails,
 * nothing is left of it. */
KAL_MUST_CHECK kal_status kal_making_end(kal_making *m, kal_status status, kal_error *err);

/* backup.json of a directory. As kal_backup_check(). */
KAL_MUST_CHECK kal_status kal_backup_read_manifest(const char *directory, kal_arena *arena,
                                                   kal_backup *out, kal_error *err);

#endif
