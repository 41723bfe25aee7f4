/*
 * probe.h: whether a storage works, found out by using it: an object of its own is written, read
 * back, listed and deleted.
 */
#ifndef KAL_STORAGE_PROBE_H
#define KAL_STORAGE_PROBE_H

#include "base/clock.h"
#include "storage/object_store.h"

typedef struct kal_storage_probe {
    bool is_writable;
    bool is_readable; /* what was written came back */
    bool is_listable;
    bool is_deletable;
    bool has_space;
    kal_object_space space;
    uint64_t latency_ns; /* of all steps together */
    kal_error error;     /* the first failure; KAL_OK: none */
} kal_storage_probe;

/* Never fails: what fails is in probe_out. extended: also a larger object, read in ranges and
 * replaced. Blocks as long as the storage does. */
void kal_storage_probe_run(kal_object_store *store, const kal_clock *clock, bool extended,
                           kal_storage_probe *probe_out);
/* "healthy": everything worked; "unreachable": nothing did; "degraded". */
const char *kal_storage_probe_status(const kal_storage_probe *probe);

#endif
