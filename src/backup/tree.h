/*
 * tree.h: the files of a backup: directories of plain files, at most two deep.
 *
 * Messages name the file. Only for this folder.
 */
#ifndef KAL_BACKUP_TREE_H
#define KAL_BACKUP_TREE_H

#include "backup/backup.h"
#include "base/digest.h"

#define KAL_TREE_PATH_BYTES 4096

/* directory/name, or KAL_INVALID when that is too long. */
KAL_MUST_CHECK kal_status kal_tree_path(const char *directory, const char *name,
                                        char out[KAL_TREE_PATH_BYTES], kal_error *err);
/* KAL_NOT_FOUND, KAL_DENIED, KAL_EXISTS, KAL_IO (also no space):
 * "cannot <doing> '<path>': <why>". */
kal_status kal_tree_failed(const char *doing, const char *path, int error, kal_error *err);

/* Names of the plain files in a directory, sorted, in the arena; others are KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_tree_list(const char *directory, kal_arena *arena, kal_bytes **out,
                                        size_t *count_out, kal_error *err);
/* A plain file, for reading: KAL_INVALID when it is a pipe, a link, a directory. */
KAL_MUST_CHECK kal_status kal_tree_open(const char *path, int *fd_out, kal_error *err);
/* The bytes of a plain file, appended to out: at most bytes_max, else KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_tree_read_text(const char *path, size_t bytes_max, kal_buf *out,
                                             kal_error *err);
/* Reads a file to its end: size and hash. With `copy` (or NULL) it is written there too, with the
 * given mode; either is on stable storage then. copy must not exist. */
KAL_MUST_CHECK kal_status kal_tree_read(const char *path, const char *copy, unsigned mode,
                                        const kal_backup_poll *poll, uint64_t *size_out,
                                        char hash_out[KAL_DIGEST_HEX_LEN + 1], kal_error *err);
KAL_MUST_CHECK kal_status kal_tree_make_directory(const char *path, kal_error *err); /* 0700 */
KAL_MUST_CHECK kal_status kal_tree_sync_directory(const char *path, kal_error *err);
/* A new empty directory whose name begins with path, beside it: out. */
KAL_MUST_CHECK kal_status kal_tree_make_beside(const char *path, char out[KAL_TREE_PATH_BYTES],
                                               kal_error *err);
/* Gives it the name that it was made for, durably. KAL_EXISTS: something has that name, other than
 * an empty directory. */
KAL_MUST_CHECK kal_status kal_tree_rename(const char *from, const char *to, kal_error *err);
/* Removes a directory of plain files and directories of such. What fails stays. */
void kal_tree_remove(const char *directory);

#endif
