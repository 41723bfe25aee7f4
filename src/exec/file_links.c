#include "exec/file_links.h"
#include "base/assert.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KNOWN_FILES = 4096 }; /* a power of two; another segment in a place is looked for again */

typedef struct known_file {
    uint32_t segment_id;        /* 0: none */
    kal_file_identity identity; /* while it had it, it was found to be whole */
} known_file;

struct kal_file_links {
    const char *directory; /* borrowed */
    pthread_mutex_t lock;  /* the rest, and what stands in the directory */
    known_file files[KNOWN_FILES];
};

kal_file_links *kal_file_links_open(const char *directory)
{
    kal_file_links *links = calloc(1, sizeof *links);
    if (links == NULL)
        kal_die("out of memory: links to files");
    links->directory = directory;
    pthread_mutex_init(&links->lock, NULL);
    return links;
}

void kal_file_links_close(kal_file_links *links)
{
    if (links == NULL)
        return;
    pthread_mutex_destroy(&links->lock);
    free(links);
}

static known_file *place_of(kal_file_links *links, uint32_t segment_id)
{
    return &links->files[segment_id & (KNOWN_FILES - 1)];
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static kal_file_identity identify(const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return (kal_file_identity){0};
    return (kal_file_identity){
        .device = (uint64_t)info.st_dev,
        .inode = (uint64_t)info.st_ino,
        .size = (uint64_t)info.st_size,
        .written_ns = nanoseconds(info.st_mtim),
        .changed_ns = nanoseconds(info.st_ctim),
    };
}

static bool is_same(const kal_file_identity *a, const kal_file_identity *b)
{
    return a->inode != 0 && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->written_ns == b->written_ns && a->changed_ns == b->changed_ns;
}

bool kal_file_links_find(kal_file_links *links, uint32_t segment_id, kal_arena *arena,
                         const char **path_out, kal_file_identity *identity_out)
{
    *path_out = kal_arena_printf(arena, "%s/%08x.parquet", links->directory, segment_id);
    *identity_out = identify(*path_out);
    pthread_mutex_lock(&links->lock);
    known_file known = *place_of(links, segment_id);
    pthread_mutex_unlock(&links->lock);
    return known.segment_id == segment_id && is_same(identity_out, &known.identity);
}

kal_status kal_file_links_add(kal_file_links *links, uint32_t segment_id, const char *path,
                              const char *target, const kal_file_identity *before, kal_error *err)
{
    kal_status status = KAL_OK;

    pthread_mutex_lock(&links->lock);
    if (symlink(target, path) != 0 && errno != EEXIST)
        status = kal_error_set(err, KAL_IO, "cannot make '%s': %s", path, strerror(errno));
    kal_file_identity after = identify(path);
    if (status == KAL_OK && before != NULL && is_same(before, &after))
        *place_of(links, segment_id) = (known_file){segment_id, after};
    pthread_mutex_unlock(&links->lock);
    return status;
}

void kal_file_links_sweep(kal_file_links *links)
{
    DIR *dir = opendir(links->directory); /* owned */
    struct stat info;

    if (dir == NULL)
        return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        pthread_mutex_lock(&links->lock); /* against who makes the file's link at this moment */
        if (fstatat(dirfd(dir), entry->d_name, &info, 0) != 0 && errno == ENOENT)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        pthread_mutex_unlock(&links->lock);
    }
    closedir(dir);
}
