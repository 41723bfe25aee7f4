/*
 * storages.h: what the statements about storages share.
 */
#ifndef KAL_EXEC_STORAGES_H
#define KAL_EXEC_STORAGES_H

#include "catalog/storages.h"
#include "exec/exec_internal.h"
#include "storage/object_store.h"

/* The folder of `local` in the data directory. */
#define KAL_STORAGE_LOCAL_FOLDER "storage"

/* Opens the storage's objects; the folder of `local` is made, nothing is asked of an S3 server.
 * KAL_IO, KAL_INVALID. */
KAL_MUST_CHECK kal_status kal_exec_open_storage(kal_exec *exec, const kal_storage *storage,
                                                kal_object_store **store_out, kal_error *err);

#endif
