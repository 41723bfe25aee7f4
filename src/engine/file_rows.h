/*
 * file_rows.h: which rows of a file are none any more.
 *
 * Threads: any; nothing is written.
 */
#ifndef KAL_ENGINE_FILE_ROWS_H
#define KAL_ENGINE_FILE_ROWS_H

#include "base/defs.h"

/* Borrowed from the statement. */
typedef struct kal_file_rows {
    const char *path;
    const uint64_t *dead; /* bit i of word i / 64: row i is dead; NULL: none is */
    uint64_t row_count;   /* by the manifest; rows from there on are not alive */
} kal_file_rows;

/* file->dead is not NULL. How many of count rows from first on are alive; their places among those
 * rows (0, 1, ...) go into live_out (count elements) unless it is NULL. */
size_t kal_file_rows_live(const kal_file_rows *file, uint64_t first, size_t count,
                          uint32_t *live_out);

#endif
