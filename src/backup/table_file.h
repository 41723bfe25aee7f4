/*
 * table_file.h: tables/NAME.json and namespace.json of the backup of a namespace. Only for this
 * folder.
 *
 * NAME.json: {"format":1,"sql":"CREATE TABLE ...","rows":3,"files":["tables/NAME.0001.parquet"],
 * "versions":[{"step":{...},"definition":{...}},...]}; sql is for who reads it, the last definition
 * is the table.
 */
#ifndef KAL_BACKUP_TABLE_FILE_H
#define KAL_BACKUP_TABLE_FILE_H

#include "backup/manifest.h"
#include "catalog/restored.h"

typedef struct kal_table_file {
    kal_restored_version *versions; /* at least one; the last is the table */
    size_t version_count;
    kal_bytes *files; /* names in the backup */
    size_t file_count;
    uint64_t row_count;
} kal_table_file;

static inline const kal_table_definition *kal_table_file_def(const kal_table_file *file)
{
    return file->versions[file->version_count - 1].def;
}

void kal_table_file_write(const kal_table_file *file, kal_buf *out);
/* Nothing in it is believed: versions, definitions and names of files are checked by themselves and
 * against each other, and the namespace is namespace_id. In the arena. KAL_CORRUPT,
 * KAL_UNSUPPORTED, KAL_LIMIT; name: of the file, for messages. */
KAL_MUST_CHECK kal_status kal_table_file_read(kal_bytes text, kal_bytes name,
                                              kal_bytes namespace_id, kal_arena *arena,
                                              kal_table_file *out, kal_error *err);

void kal_namespace_file_write(kal_bytes namespace_id, const kal_namespace_info *info, kal_buf *out);
KAL_MUST_CHECK kal_status kal_namespace_file_read(kal_bytes text, kal_bytes namespace_id,
                                                  kal_arena *arena, kal_namespace_info *out,
                                                  kal_error *err);

#endif
