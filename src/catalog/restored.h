/*
 * restored.h: a namespace that comes back from a backup: all of it at once, or nothing.
 *
 * Each of its tables gets its numbers before it has a name: rows can be written then, and nobody
 * can name, list or read it. A record says so, and only the change that publishes the table takes
 * it away; whatever is recorded when the server starts was left behind by a crash and is removed
 * with its rows (as the doomed segments of segments.h).
 *
 *     kal_catalog_begin_restored() [one change each] -> rows -> one change:
 *         kal_catalog_restore_namespace(), kal_catalog_publish_restored() for each
 *     or: kal_catalog_forget_restored() for each
 */
#ifndef KAL_CATALOG_RESTORED_H
#define KAL_CATALOG_RESTORED_H

#include "catalog/catalog.h"

/* What a backup has of a namespace. */
typedef struct kal_namespace_info {
    int64_t created_at_us;
    kal_bytes options; /* a JSON object; ptr NULL = none */
} kal_namespace_info;

/* As of snapshot (NULL: now); in the arena. KAL_NOT_FOUND with code NAMESPACE_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_catalog_get_namespace(kal_catalog *catalog,
                                                    const kal_kv_snapshot *snapshot, kal_bytes name,
                                                    kal_arena *arena, kal_namespace_info *out,
                                                    kal_error *err);
/* As kal_catalog_create_namespace(), with what the backup has of it. KAL_INVALID: these are no
 * options. */
KAL_MUST_CHECK kal_status kal_catalog_restore_namespace(kal_catalog_change *change, kal_bytes name,
                                                        const kal_namespace_info *info,
                                                        kal_error *err);

/* One version of a table's history; borrowed. The last one is the table's. */
typedef struct kal_restored_version {
    kal_schema_version step;
    const kal_table_definition *def;
} kal_restored_version;

/* def: of the last version; its table_id is assigned. One per change, to be committed at once.
 * *table_out: one reference; takes writes from then on. KAL_INVALID, KAL_NOT_FOUND (its storage).
 */
KAL_MUST_CHECK kal_status kal_catalog_begin_restored(kal_catalog_change *change,
                                                     const kal_table_definition *def,
                                                     kal_table **table_out, kal_error *err);
/* The table as one of its namespace, with its history. KAL_INVALID: versions do not go from 1 to
 * the table's, or are of another table. */
KAL_MUST_CHECK kal_status kal_catalog_publish_restored(kal_catalog_change *change,
                                                       const kal_table *table,
                                                       const kal_restored_version *versions,
                                                       size_t count, kal_error *err);
/* The table was never there; its rows go. */
KAL_MUST_CHECK kal_status kal_catalog_forget_restored(kal_catalog_change *change,
                                                      const kal_table *table, kal_error *err);
/* Of all that was left behind: while nothing is being restored. Commits; says how many there were.
 */
KAL_MUST_CHECK kal_status kal_catalog_sweep_restored(kal_catalog *catalog, size_t *count_out,
                                                     kal_error *err);

#endif
