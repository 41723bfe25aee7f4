/*
 * erase.h: taking a user's rows away for good: no byte of them is left in any file of the database.
 *
 * DELETE makes rows invisible; their bytes stay for a while in logs, in data files below the
 * deletion, in segments, the change log, and in files that old statements still read. Erasing goes
 * after all of these. It can be interrupted anywhere and called again: it looks at what is there.
 *
 * Rows of SHARED tables are nobody's and stay. Backups and exported files are not the database's.
 *
 * Threads: as flush.h; several users at the same time.
 */
#ifndef KAL_TABLE_ERASE_H
#define KAL_TABLE_ERASE_H

#include "table/flush.h"

typedef struct kal_erase_args {
    kal_flush_args flush; /* check is asked some times a second, too */
    kal_catalog_worker *worker;
    uint64_t user_no; /* was dropped: kal_catalog_user_is_dropped() */
    /* Told what is done now; NULL: nobody. */
    void (*progress)(void *context, const char *what);
    void *progress_context;
} kal_erase_args;

typedef struct kal_erase_result {
    uint64_t row_count;
    uint64_t segment_count; /* written anew */
    uint64_t change_count;  /* records of the change log */
} kal_erase_result;

/*
 * Afterwards nothing of the rows is left. It waits for statements that may still read them, and for
 * flushes that may carry them along. What it reports is of this call. KAL_IO, KAL_CORRUPT: of a
 * segment that has or may have rows of the user and cannot be read or removed, by name, when
 * everything else is done; KAL_NOT_FOUND: of a storage that has no record; KAL_BUSY; what check
 * says.
 */
KAL_MUST_CHECK kal_status kal_erase_rows(const kal_erase_args *args, kal_erase_result *result_out,
                                         kal_error *err);

#endif
