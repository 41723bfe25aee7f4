/*
 * probe.c: the steps of a probe. A step that needs an earlier one counts as failed without it.
 */
#include "storage/probe.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SMALL_BYTES = 64,
    LARGE_BYTES = 1024 * 1024,
    RANGE_BYTES = 100 * 1000 + 1,
    FOLDER_BYTES = 40,
    KEY_BYTES = 64
};

typedef struct prober {
    kal_object_store *store;
    kal_storage_probe *out;
    char folder[FOLDER_BYTES]; /* of this probe alone, with its '/' */
    char key[KEY_BYTES];
} prober;

/* Keeps the first failure. */
static bool is_ok(prober *p, kal_status status, const kal_error *err)
{
    if (status != KAL_OK && p->out->error.status == KAL_OK)
        p->out->error = *err;
    return status == KAL_OK;
}

static kal_status differs(const prober *p, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "object '%s' does not read back as it was written",
                         p->key);
}

static bool put(prober *p, kal_bytes content)
{
    kal_error err = KAL_ERROR_INIT;
    return is_ok(p, kal_object_put(p->store, kal_cstr(p->key), content, &err), &err);
}

static kal_status read_ranges(prober *p, size_t len, size_t range, kal_buf *out, kal_error *err)
{
    for (size_t at = 0; at < len; at += range) {
        kal_status status = kal_object_get(p->store, kal_cstr(p->key), at, range, out, err);
        if (status == KAL_NOT_FOUND)
            return kal_error_set(err, KAL_IO, "object '%s' is gone after it was written", p->key);
        KAL_TRY(status);
    }
    return KAL_OK;
}

static bool reads_back(prober *p, kal_bytes content, size_t range)
{
    kal_error err = KAL_ERROR_INIT;
    uint64_t size = 0;
    kal_buf out; /* owned */

    kal_buf_init(&out, NULL);
    kal_status status = kal_object_size(p->store, kal_cstr(p->key), &size, &err);
    if (status == KAL_NOT_FOUND || (status == KAL_OK && size != content.len))
        status = differs(p, &err);
    if (status == KAL_OK)
        status = read_ranges(p, content.len, range, &out, &err);
    if (status == KAL_OK && !kal_bytes_equal(kal_buf_bytes(&out), content))
        status = differs(p, &err);
    kal_buf_release(&out);
    return is_ok(p, status, &err);
}

static bool lists(prober *p)
{
    kal_error err = KAL_ERROR_INIT;
    kal_object *objects = NULL;
    size_t count = 0;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status =
        kal_object_list(p->store, kal_cstr(p->folder), &arena, &objects, &count, &err);
    bool found = count == 1 && kal_bytes_equal(objects[0].key, kal_cstr(p->key));
    if (status == KAL_OK && p->out->is_writable && !found)
        status = kal_error_set(&err, KAL_IO, "object '%s' is not listed", p->key);
    kal_arena_release(&arena);
    return is_ok(p, status, &err);
}

static bool deletes(prober *p)
{
    kal_error err = KAL_ERROR_INIT;
    uint64_t size = 0;
    kal_status status = kal_object_delete(p->store, kal_cstr(p->key), &err);

    if (status == KAL_OK) {
        status = kal_object_size(p->store, kal_cstr(p->key), &size, &err);
        if (status == KAL_OK)
            status =
                kal_error_set(&err, KAL_IO, "object '%s' is there after it was deleted", p->key);
        else if (status == KAL_NOT_FOUND)
            status = KAL_OK;
    }
    return is_ok(p, status, &err);
}

/* A larger object read in pieces, and the small one over it again. */
static void probe_large(prober *p, kal_bytes small)
{
    kal_storage_probe *out = p->out;
    kal_buf large; /* owned */

    kal_buf_init(&large, NULL);
    if (kal_buf_reserve(&large, LARGE_BYTES)) {
        kal_random_bytes(large.ptr, LARGE_BYTES);
        large.len = LARGE_BYTES;
    }
    out->is_writable = put(p, kal_buf_bytes(&large));
    out->is_readable = out->is_writable && reads_back(p, kal_buf_bytes(&large), RANGE_BYTES);
    kal_buf_release(&large);
    if (!out->is_readable)
        return;
    out->is_writable = put(p, small);
    out->is_readable = out->is_writable && reads_back(p, small, SMALL_BYTES);
}

static void probe_space(prober *p)
{
    kal_error err = KAL_ERROR_INIT;
    kal_status status = kal_object_space_of(p->store, &p->out->space, &err);
    p->out->has_space = status != KAL_UNSUPPORTED && is_ok(p, status, &err);
}

void kal_storage_probe_run(kal_object_store *store, const kal_clock *clock, bool extended,
                           kal_storage_probe *out)
{
    uint8_t bytes[SMALL_BYTES] = {0};
    kal_bytes small = kal_bytes_of(bytes, sizeof bytes);
    uint64_t number = 0;
    uint64_t start_ns = kal_clock_mono_ns(clock);
    prober p = {.store = store, .out = out};

    *out = (kal_storage_probe){.error = KAL_ERROR_INIT};
    kal_random_bytes(bytes, sizeof bytes);
    kal_random_bytes(&number, sizeof number);
    snprintf(p.folder, sizeof p.folder, ".kalam-check-%016llx/", (unsigned long long)number);
    snprintf(p.key, sizeof p.key, "%sprobe", p.folder);
    bool is_put = put(&p, small);
    out->is_writable = is_put;
    out->is_readable = is_put && reads_back(&p, small, SMALL_BYTES);
    if (extended && out->is_readable)
        probe_large(&p, small);
    out->is_listable = lists(&p);
    out->is_deletable = is_put && deletes(&p);
    probe_space(&p);
    out->latency_ns = kal_clock_mono_ns(clock) - start_ns;
}

const char *kal_storage_probe_status(const kal_storage_probe *probe)
{
    if (probe->error.status == KAL_OK)
        return "healthy";
    bool any =
        probe->is_writable || probe->is_readable || probe->is_listable || probe->is_deletable;
    return any ? "degraded" : "unreachable";
}
