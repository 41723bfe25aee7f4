/*
 * object_store.h: where whole objects lie (segments): bytes under a key, over a directory of the
 * file system, over a bucket (object_store_s3.h), or over memory. An object is written once as a
 * whole, read by ranges, listed by the beginning of its key, deleted; never changed in place.
 *
 * Keys are relative paths: parts of 1 to 255 bytes between single '/', 1024 bytes at most, no NUL,
 * no part `.` or `..`, none that begins with `.tmp-` (the backends' own). Anything else is
 * KAL_INVALID, from every function. A key is either an object or the beginning of others' paths,
 * never both: putting `a` while `a/b` exists, or the other way round, is KAL_INVALID. (A bucket
 * does not look: nothing may rely on it.)
 *
 * Durability (directory): when put or delete has answered KAL_OK, it survives a power cut: an
 * object is written under a temporary name in its folder, synced, renamed, and the folder synced.
 * After a crash or a failed put the object is the old one or the new one as a whole, or missing if
 * there was none; a stray temporary may remain, which nothing lists and deleting the object
 * removes. After KAL_IO from put or delete it is unknown which of the two is there.
 *
 * Errors: KAL_NOT_FOUND leaves err alone. KAL_IO names the object and what the system said.
 * Threads: any, also at the same time.
 */
#ifndef KAL_STORAGE_OBJECT_STORE_H
#define KAL_STORAGE_OBJECT_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define KAL_OBJECT_KEY_BYTES_MAX  1024u
#define KAL_OBJECT_PART_BYTES_MAX 255u

typedef struct kal_object_store kal_object_store; /* opaque: kal_object_store_close */

typedef struct kal_object {
    kal_bytes key; /* arena of the listing */
    uint64_t size; /* bytes */
} kal_object;

/* Asked while an operation takes its time; what it answers, but KAL_OK, ends the operation. */
typedef struct kal_object_poll {
    kal_status (*go_on)(void *context, kal_error *err);
    void *context;
} kal_object_poll;

/* Of the file system that holds the objects. */
typedef struct kal_object_space {
    uint64_t total_bytes;
    uint64_t used_bytes; /* by anything, not only by objects */
} kal_object_space;

/* Objects below `directory`, an absolute path (copied), which must be there when an object is put
 * or listed. KAL_INVALID when the path is not absolute or too long. */
KAL_MUST_CHECK kal_status kal_object_store_open_files(const char *directory,
                                                      kal_object_store **store_out, kal_error *err);
/* In memory. Each operation fails with KAL_IO in fail_per_1000 of 1000 cases, by the seed; a put or
 * delete that fails has been carried out or not. */
kal_object_store *kal_object_store_open_mem(uint64_t seed, unsigned fail_per_1000);
void kal_object_store_close(kal_object_store *store); /* NULL is allowed */
/* From now on operations ask poll (borrowed; NULL: nobody). A bucket only: the others are quick. */
void kal_object_store_watch(kal_object_store *store, const kal_object_poll *poll);

/* The operations that kal_object_store_break() lets fail, as bits. */
enum {
    KAL_OBJECT_PUT = 1,
    KAL_OBJECT_GET = 2, /* and size */
    KAL_OBJECT_LIST = 4,
    KAL_OBJECT_DELETE = 8,
    KAL_OBJECT_SPACE = 16,
};
/* Memory only: these operations fail from now on, without effect; 0: none. */
void kal_object_store_break(kal_object_store *store, unsigned operations);

/* Creates or replaces the object. */
KAL_MUST_CHECK kal_status kal_object_put(kal_object_store *store, kal_bytes key, kal_bytes content,
                                         kal_error *err);
/* The same with the bytes of a file, which stays as it is. KAL_IO also when it cannot be read. */
KAL_MUST_CHECK kal_status kal_object_put_file(kal_object_store *store, kal_bytes key,
                                              const char *path, kal_error *err);
/* Appends up to len bytes from offset on to out, fewer where the object ends. KAL_NOT_FOUND,
 * KAL_LIMIT when out's budget refuses; out is as before unless KAL_OK. */
KAL_MUST_CHECK kal_status kal_object_get(kal_object_store *store, kal_bytes key, uint64_t offset,
                                         size_t len, kal_buf *out, kal_error *err);
/* In bytes. KAL_NOT_FOUND. */
KAL_MUST_CHECK kal_status kal_object_size(kal_object_store *store, kal_bytes key,
                                          uint64_t *size_out, kal_error *err);
/* The objects whose keys begin with prefix (empty: all; it may end inside a part or with '/'), in
 * byte order of their keys. Everything lives in the arena; KAL_LIMIT when its budget refuses.
 * Objects that come or go meanwhile may be missing or there. */
KAL_MUST_CHECK kal_status kal_object_list(kal_object_store *store, kal_bytes prefix,
                                          kal_arena *arena, kal_object **objects_out,
                                          size_t *count_out, kal_error *err);
/* Where the object is, or would be, as a file that may be read (PATH_MAX bytes). KAL_UNSUPPORTED:
 * the store's objects are not files of this machine. */
KAL_MUST_CHECK kal_status kal_object_local_path(const kal_object_store *store, kal_bytes key,
                                                char *path_out, kal_error *err);
/* Deleting what is not there is KAL_OK. */
KAL_MUST_CHECK kal_status kal_object_delete(kal_object_store *store, kal_bytes key, kal_error *err);
/* KAL_UNSUPPORTED: nobody knows. */
KAL_MUST_CHECK kal_status kal_object_space_of(kal_object_store *store, kal_object_space *space_out,
                                              kal_error *err);

/*
 * Many objects that are put or deleted one after the other and become durable together: syncing
 * each by itself would take longer than all else. Until kal_object_group_sync() has answered KAL_OK
 * a crash may leave each new object as a whole, in part or not at all, and bring deleted ones back.
 * Only for keys that no object ever had. By one thread at a time.
 */
typedef struct kal_object_group kal_object_group; /* opaque: kal_object_group_close */
/* The store is borrowed until the group is closed. */
KAL_MUST_CHECK kal_status kal_object_group_open(kal_object_store *store,
                                                kal_object_group **group_out, kal_error *err);
/* Puts the bytes of a file, which becomes the object itself where it lies on the same file system:
 * afterwards it is still there or not. */
KAL_MUST_CHECK kal_status kal_object_group_move_file(kal_object_group *group, kal_bytes key,
                                                     const char *path, kal_error *err);
/* As kal_object_delete(). */
KAL_MUST_CHECK kal_status kal_object_group_delete(kal_object_group *group, kal_bytes key,
                                                  kal_error *err);
/* KAL_IO: any of them may not be durable. */
KAL_MUST_CHECK kal_status kal_object_group_sync(kal_object_group *group, kal_error *err);
void kal_object_group_close(kal_object_group *group); /* NULL is allowed */

/* KAL_INVALID with the reason. */
KAL_MUST_CHECK kal_status kal_object_key_check(kal_bytes key, kal_error *err);

#endif
