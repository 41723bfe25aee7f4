/*
 * storage_internal.h: what the backends of object_store.h fill in. Keys and prefixes were checked
 * before an operation is called.
 */
#ifndef KAL_STORAGE_STORAGE_INTERNAL_H
#define KAL_STORAGE_STORAGE_INTERNAL_H

#include "base/vec.h"
#include "storage/object_store.h"

#define KAL_OBJECT_TEMPORARY ".tmp-" /* how the names of unfinished objects begin */

typedef KAL_VEC(kal_object) kal_object_vec; /* in the listing's arena */

typedef struct kal_object_ops {
    kal_status (*put)(kal_object_store *store, kal_bytes key, kal_bytes content, kal_error *err);
    kal_status (*put_file)(kal_object_store *store, kal_bytes key, const char *path,
                           kal_error *err);
    kal_status (*get)(kal_object_store *store, kal_bytes key, uint64_t offset, size_t len,
                      kal_buf *out, kal_error *err);
    kal_status (*size)(kal_object_store *store, kal_bytes key, uint64_t *size_out, kal_error *err);
    /* In any order. */
    kal_status (*list)(kal_object_store *store, kal_bytes prefix, kal_arena *arena,
                       kal_object_vec *objects, kal_error *err);
    kal_status (*remove)(kal_object_store *store, kal_bytes key, kal_error *err);
    /* NULL: objects are not files of this machine. */
    void (*local_path)(const kal_object_store *store, kal_bytes key, char *path_out);
    kal_status (*space)(kal_object_store *store, kal_object_space *space_out, kal_error *err);
    void (*close)(kal_object_store *store);
    /* All NULL: the store's puts and removals are durable one by one. */
    kal_status (*group_open)(kal_object_group *group, kal_error *err);
    kal_status (*group_move_file)(kal_object_group *group, kal_bytes key, const char *path,
                                  kal_error *err);
    kal_status (*group_remove)(kal_object_group *group, kal_bytes key, kal_error *err);
    kal_status (*group_sync)(kal_object_group *group, kal_error *err);
} kal_object_ops;

/* The first member of every backend's own struct. */
struct kal_object_store {
    const kal_object_ops *ops;
    const kal_object_poll *poll; /* borrowed, or NULL */
};

struct kal_object_group {
    kal_object_store *store; /* borrowed */
    int fd;                  /* owned; -1: none. Of the file system */
    bool has_folder;         /* a durable one */
    char *tidy_folder;       /* owned, free(); NULL, or one in which nothing unfinished was seen */
};

/* Adds an object under a copy of its key. KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_object_vec_add(kal_object_vec *objects, kal_arena *arena,
                                             kal_bytes key, uint64_t size, kal_error *err);
kal_status kal_object_in_the_way(kal_bytes key, kal_error *err);
kal_status kal_object_memory_used_up(kal_error *err);

#endif
