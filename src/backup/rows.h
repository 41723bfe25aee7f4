/*
 * rows.h: the rows of a table as Parquet files of a backup, and back. Only for this folder.
 */
#ifndef KAL_BACKUP_ROWS_H
#define KAL_BACKUP_ROWS_H

#include "backup/making.h"
#include "backup/table_file.h"
#include "backup/users.h"

typedef struct kal_rows_write_args {
    kal_making *making;
    kal_parquet *parquet;
    kal_view *view; /* the moment */
    kal_table *table;
    kal_users *users; /* of the moment; those who have rows are marked */
    kal_arena *arena; /* of what file_out names */
} kal_rows_write_args;

/* All rows of the table: files and row_count of *file_out. */
KAL_MUST_CHECK kal_status kal_rows_write(const kal_rows_write_args *args, kal_table_file *file_out,
                                         kal_error *err);

typedef struct kal_rows_load_args {
    const char *directory; /* of the backup */
    const kal_backup_poll *poll;
    kal_parquet *parquet;
    kal_tables *tables;
    kal_table *table;
    const kal_table_file *file;
    const kal_owners *owners; /* rows of those who are not here are left out */
} kal_rows_load_args;

/* Commits a write of a restoration, and waits while too many others do: their writes come first,
 * but its work is not lost for that. poll NULL: nobody ends the waiting. As kal_write_commit(),
 * never KAL_BUSY; what poll says. */
KAL_MUST_CHECK kal_status kal_restore_commit(kal_write *write, const kal_backup_poll *poll,
                                             kal_error *err);
/* Writes the rows into the table, in commits of a few megabytes. KAL_CORRUPT: they are not those
 * that the file says. */
KAL_MUST_CHECK kal_status kal_rows_load(const kal_rows_load_args *args, uint64_t *loaded_out,
                                        uint64_t *skipped_out, kal_error *err);

#endif
