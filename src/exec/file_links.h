/*
 * file_links.h: the directory of symbolic links by which DuckDB reads segments of SHARED tables
 * (engine/files.c), and which of their files were found to be whole.
 *
 * A link has the number of its segment, which is never used twice, so that it says the same for
 * ever. To look for a segment's file is to ask catalog and storage, to open it, and to compare its
 * checksum. A file that had the same identity (device, inode, size, times) before and after that is
 * known; as long as it has it, one stat() is enough. One that is missing, replaced, cut or written
 * to has another, and is looked for anew.
 *
 * Threads: any.
 */
#ifndef KAL_EXEC_FILE_LINKS_H
#define KAL_EXEC_FILE_LINKS_H

#include "base/arena.h"
#include "base/error.h"

typedef struct kal_file_links kal_file_links; /* opaque: kal_file_links_close */

/* directory: exists, and is nobody else's; borrowed. */
kal_file_links *kal_file_links_open(const char *directory);
void kal_file_links_close(kal_file_links *links); /* NULL is allowed */

typedef struct kal_file_identity {
    uint64_t device;
    uint64_t inode; /* 0: there is no file */
    uint64_t size;
    uint64_t written_ns; /* st_mtim */
    uint64_t changed_ns; /* st_ctim: also of its rights and names */
} kal_file_identity;

/* Whether the segment's file is known and what it was. *path_out: the link, in the arena;
 * *identity_out: of what is behind it now. */
bool kal_file_links_find(kal_file_links *links, uint32_t segment_id, kal_arena *arena,
                         const char **path_out, kal_file_identity *identity_out);
/* Makes the link to the file, unless it is there. before: what kal_file_links_find() answered, when
 * the file was checked after that and stays until the segment is removed; else NULL. */
KAL_MUST_CHECK kal_status kal_file_links_add(kal_file_links *links, uint32_t segment_id,
                                             const char *path, const char *target,
                                             const kal_file_identity *before, kal_error *err);
/* Takes away the links whose files are gone. */
void kal_file_links_sweep(kal_file_links *links);

#endif
