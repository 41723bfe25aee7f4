/*
 * files.h: the file seam: the few whole-file operations that the server makes outside RocksDB.
 *
 * Two backends: the operating system, and memory (kal_files_mem) whose writes can be made to fail
 * or be torn by a seed. Paths are plain paths; a backend does not interpret them further.
 */
#ifndef KAL_BASE_FILES_H
#define KAL_BASE_FILES_H

#include "base/buf.h"
#include "base/error.h"

typedef struct kal_files kal_files;

const kal_files *kal_files_system(void);                         /* static */
kal_files *kal_files_mem(uint64_t seed, unsigned fail_per_1000); /* owned: kal_files_close */
void kal_files_close(kal_files *files);

/* Appends the whole file to out (whose budget bounds it). KAL_NOT_FOUND, KAL_LIMIT, KAL_IO. */
KAL_MUST_CHECK kal_status kal_files_read(const kal_files *files, const char *path, kal_buf *out,
                                         kal_error *err);
/* Replaces or creates the file durably: temporary name, write, fsync, rename, fsync of the
 * directory. After a crash the file is the old one or the new one. mode as for open(2). */
KAL_MUST_CHECK kal_status kal_files_replace(const kal_files *files, const char *path,
                                            kal_bytes content, unsigned mode, kal_error *err);
/* The permission bits of a file (07777), for secrets that others must not read. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_files_mode(const kal_files *files, const char *path,
                                         unsigned *mode_out, kal_error *err);
/* Removing what is not there is KAL_OK. */
KAL_MUST_CHECK kal_status kal_files_remove(const kal_files *files, const char *path,
                                           kal_error *err);
/* Makes the directory and its parents, 0700, durably; existing ones are left as they are. */
KAL_MUST_CHECK kal_status kal_files_make_dir(const kal_files *files, const char *path,
                                             kal_error *err);
/* Removes the files of a directory, and links but not what they point to. Directories in it are
 * left, with a warning in the log: they are somebody else's; so is what begins with '.'. Only of
 * the operating system. KAL_IO. */
KAL_MUST_CHECK kal_status kal_files_empty_dir(const char *path, kal_error *err);
/* Of resolved paths: inner is outer or lies somewhere in it. */
bool kal_path_holds(const char *outer, const char *inner);
/* Holds `path` as an exclusive lock file until the process ends or *lock_out is given to
 * kal_files_unlock(). KAL_BUSY when another process holds it. */
KAL_MUST_CHECK kal_status kal_files_lock(const kal_files *files, const char *path, int *lock_out,
                                         kal_error *err);
void kal_files_unlock(const kal_files *files, int lock);

#endif
