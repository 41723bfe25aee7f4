/*
 * segments.h: which cold segments a table has, and which hot spaces: its manifest, as records of
 * the catalog.
 *
 * A table that was never flushed has no manifest: its rows are in the hot space of its definition.
 * A manifest names the hot space that takes new rows (active), the one that is being moved out
 * during a flush (frozen), and the segments. Its version rises with each change of any of these,
 * all of which happen under the DDL lock, in one batch.
 *
 * A segment's number is handed out durably before anything carries it, together with a record that
 * dooms it; the batch that puts it into a manifest takes that record away, the batch that takes it
 * out of the manifest puts it back. So whatever lies in a storage or in the families `index` and
 * `deleted` under a number is needed by a manifest, or doomed, and what is doomed can be removed.
 *
 * Threads: any; a change by one at a time.
 * Source: design section 8; reference hot-cold-prototype.md sections 5 and 6.
 */
#ifndef KAL_CATALOG_SEGMENTS_H
#define KAL_CATALOG_SEGMENTS_H

#include "catalog/catalog.h"
#include "types/key.h"

/* be16 shard | be64 user_no | primary key: a row's key without its space */
#define KAL_COLD_KEY_PREFIX_BYTES 10
#define KAL_COLD_KEY_BYTES_MAX    (KAL_COLD_KEY_PREFIX_BYTES + KAL_PRIMARY_KEY_BYTES_MAX)

typedef struct kal_manifest_head {
    uint64_t version;
    uint32_t active_hot_id;
    uint32_t frozen_hot_id; /* 0: none */
    bool knows_moved;       /* moved_to is known; false: frozen by an older server */
    kal_bytes moved_to;     /* key, as below, of the frozen space's last row that is in a segment
                               now: those up to it were deleted. Empty: none was. When the user
                               was erased: his prefix plus one */
} kal_manifest_head;

/* One segment: a file of rows in key order. Keys are be16 shard | be64 user_no | primary key. */
typedef struct kal_segment_info {
    uint32_t segment_id;
    uint32_t table_id;
    uint32_t schema_version; /* whose columns the file has */
    uint64_t row_count;      /* dead ones included */
    uint64_t size_bytes;
    uint64_t checksum; /* of its file; 0: not known */
    uint64_t seq_min;  /* of its rows */
    uint64_t seq_max;
    uint64_t user_min;
    uint64_t user_max;
    kal_bytes key_min;
    kal_bytes key_max;
    kal_bytes primary_min; /* of the primary keys alone */
    kal_bytes primary_max;
    kal_bytes storage_id;
    kal_bytes object;     /* its key in the storage */
    kal_bytes statistics; /* of columns: segment/statistics.h; may be empty */
    int64_t created_at_us;
} kal_segment_info;

/* ---- reading ---- */

/* As of snapshot (NULL: now); moved_to is in the arena. KAL_NOT_FOUND leaves err alone: the table
 * was never flushed. */
KAL_MUST_CHECK kal_status kal_catalog_manifest_head(kal_catalog *catalog,
                                                    const kal_kv_snapshot *snapshot,
                                                    uint32_t table_id, kal_arena *arena,
                                                    kal_manifest_head *head_out, kal_error *err);
/* All segments of a table, by number; everything in the arena. */
KAL_MUST_CHECK kal_status kal_catalog_segments(kal_catalog *catalog,
                                               const kal_kv_snapshot *snapshot, uint32_t table_id,
                                               kal_arena *arena, kal_segment_info **infos_out,
                                               size_t *count_out, kal_error *err);
/* Every table with a manifest; head is borrowed for the call. As kal_entity_visit: KAL_END stops.
 */
typedef kal_status (*kal_manifest_visit)(void *context, uint32_t table_id,
                                         const kal_manifest_head *head, kal_error *err);
KAL_MUST_CHECK kal_status kal_catalog_scan_manifests(kal_catalog *catalog,
                                                     const kal_kv_snapshot *snapshot,
                                                     kal_manifest_visit visit, void *context,
                                                     kal_error *err);

/* What is left of a segment that no manifest has. */
typedef struct kal_doomed_segment {
    uint32_t segment_id;
    kal_bytes storage_id;
    kal_bytes object;
    uint64_t user_min; /* it has no rows of other users; both 0: of a SHARED table */
    uint64_t user_max;
} kal_doomed_segment;
typedef kal_status (*kal_doomed_visit)(void *context, const kal_doomed_segment *doomed,
                                       kal_error *err);
KAL_MUST_CHECK kal_status kal_catalog_scan_doomed(kal_catalog *catalog, kal_doomed_visit visit,
                                                  void *context, kal_error *err);

/* Whether it is doomed now, whatever a scan has seen. */
KAL_MUST_CHECK kal_status kal_catalog_is_doomed(kal_catalog *catalog, uint32_t segment_id,
                                                bool *out, kal_error *err);

/* ---- changing ---- */

KAL_MUST_CHECK kal_status kal_catalog_new_hot_id(kal_catalog_change *change, uint32_t *hot_id_out,
                                                 kal_error *err);
/* `count` numbers from *first_out on; once in a change. */
KAL_MUST_CHECK kal_status kal_catalog_new_segment_ids(kal_catalog_change *change, uint32_t count,
                                                      uint32_t *first_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_catalog_put_manifest(kal_catalog_change *change, uint32_t table_id,
                                                   const kal_manifest_head *head, kal_error *err);
/* Adds the segment to its table, and is the end of its doom. */
KAL_MUST_CHECK kal_status kal_catalog_put_segment(kal_catalog_change *change,
                                                  const kal_segment_info *info, kal_error *err);
/* Takes them out: they are doomed, their entries in `index` and `deleted` are gone for later
 * snapshots. All that a change drops in one call: deleted ranges are dear, those of numbers without
 * a gap become one. */
KAL_MUST_CHECK kal_status kal_catalog_drop_segments(kal_catalog_change *change,
                                                    const kal_segment_info *const *infos,
                                                    size_t count, kal_error *err);
/* How many numbers from ids[0] on, which ascend, follow each other without a gap. */
size_t kal_segment_run(const uint32_t *ids, size_t count);
KAL_MUST_CHECK kal_status kal_catalog_put_doomed(kal_catalog_change *change,
                                                 const kal_doomed_segment *doomed, kal_error *err);
/* Nothing of it is left. */
KAL_MUST_CHECK kal_status kal_catalog_delete_doomed(kal_catalog_change *change, uint32_t segment_id,
                                                    kal_error *err);
/* The rows of a hot space are gone for later snapshots. */
void kal_catalog_delete_hot_space(kal_catalog_change *change, uint32_t hot_id);

/* The tables whose manifests the change writes or drops; borrowed from it until it is published. */
size_t kal_catalog_change_manifests(const kal_catalog_change *change, const uint32_t **ids_out);

#endif
