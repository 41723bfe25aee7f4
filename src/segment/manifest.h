/*
 * manifest.h: manifests in memory: which segments and hot spaces a table has at a given snapshot.
 *
 * A manifest is immutable and shared by references. The newest one of every table is kept; an older
 * one is read again from the catalog's records, at the snapshot that needs it. So what a view gets
 * is always what its snapshot says:
 *
 *     epoch = kal_manifests_epoch();  snapshot;  ...  kal_manifests_get(snapshot, epoch, table)
 *
 *     kal_manifests_begin(table);  write the batch;  kal_manifests_end(table)
 *
 * begin says that the newest manifest may be overtaken by a batch any moment; from then on, until
 * end has read what was written, the records are asked. The epoch rises with each end: a view whose
 * epoch is as high as that of the newest manifest took its snapshot after the manifest was written.
 *
 * Threads: any; begin and end of one table by one at a time (the write lane).
 * Source: design section 8; reference hot-cold-prototype.md section 5.
 */
#ifndef KAL_SEGMENT_MANIFEST_H
#define KAL_SEGMENT_MANIFEST_H

#include "catalog/segments.h"

#include <pthread.h>

/* The rows of a segment that are dead, as of some snapshot; immutable, shared by references. */
typedef struct kal_dead_rows {
    _Atomic uint32_t refs;
    uint64_t count;
    uint64_t bits[]; /* row / 64 */
} kal_dead_rows;

typedef struct kal_segment {
    kal_segment_info info;
    kal_arena arena; /* owns what info borrows */
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    kal_dead_rows *dead; /* under lock: the last that was read, or NULL; one reference */
} kal_segment;

typedef struct kal_manifest {
    uint32_t table_id;
    kal_manifest_head head; /* its moved_to is the next one */
    uint8_t *moved_to;      /* owned */
    kal_segment **segments; /* owned, one reference each; newest first */
    size_t segment_count;
    /* The same by user, for those who look for one key: of many users each, newest first; and of
     * one user each, by his number. Both owned, what they point to is borrowed from `segments`. */
    kal_segment **mixed;
    size_t mixed_count;
    kal_segment **single;
    size_t single_count;
    uint64_t row_count; /* of all segments, dead ones included */
    uint64_t epoch;
    _Atomic uint32_t refs;
} kal_manifest;

typedef struct kal_manifests kal_manifests; /* opaque: kal_manifests_close */

/* Reads all manifests. The catalog is borrowed. */
KAL_MUST_CHECK kal_status kal_manifests_open(kal_catalog *catalog, kal_manifests **manifests_out,
                                             kal_error *err);
void kal_manifests_close(kal_manifests *manifests); /* NULL is allowed */

uint64_t kal_manifests_epoch(const kal_manifests *manifests);
/* The table's manifest at the snapshot, which was taken after `epoch` was asked for; a reference,
 * or NULL: it has none. cached_only: KAL_BUSY when records would have to be read. KAL_IO,
 * KAL_CORRUPT.
 */
KAL_MUST_CHECK kal_status kal_manifests_get(kal_manifests *manifests,
                                            const kal_kv_snapshot *snapshot, uint64_t epoch,
                                            uint32_t table_id, bool cached_only,
                                            kal_manifest **manifest_out, kal_error *err);
/* As of now; for the write lane and those who hold the DDL lock. */
KAL_MUST_CHECK kal_status kal_manifests_newest(kal_manifests *manifests, uint32_t table_id,
                                               kal_manifest **manifest_out, kal_error *err);
void kal_manifest_release(kal_manifest *manifest); /* NULL is allowed */
/* The manifest's segment of this number, borrowed from it; NULL: it has none. manifest may be NULL.
 */
kal_segment *kal_manifest_find(const kal_manifest *manifest, uint32_t segment_id);

/* Those of one user each that have this user's rows: how many, from *first_out on. */
size_t kal_manifest_single(const kal_manifest *manifest, uint64_t user_no,
                           kal_segment *const **first_out);

void kal_manifests_begin(kal_manifests *manifests, uint32_t table_id);
/* Also when the batch was not written. When the records cannot be read they go on being asked. */
void kal_manifests_end(kal_manifests *manifests, uint32_t table_id);

/* Tables that have a manifest now, ascending; owned by the caller, free(). */
size_t kal_manifests_tables(kal_manifests *manifests, uint32_t **table_ids_out);

#endif
