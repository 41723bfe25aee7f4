/*
 * toml_shim.h: toml++ for C: a TOML text as a list of leaves in the order of the file.
 *
 * Threads: any; no state.
 */
#ifndef KAL_SHIMS_TOML_SHIM_H
#define KAL_SHIMS_TOML_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kal_toml_kind {
    KAL_TOML_TEXT,
    KAL_TOML_INTEGER,
    KAL_TOML_BOOLEAN,
    KAL_TOML_OTHER, /* float, date, array, ... */
} kal_toml_kind;

typedef struct kal_toml_leaf {
    const char *path; /* "server.port"; valid for the call, like text */
    kal_toml_kind kind;
    const char *text;
    size_t text_len;
    int64_t integer;
    bool boolean;
    unsigned line; /* 1-based */
} kal_toml_leaf;

/* false ends the walk. */
typedef bool (*kal_toml_visit)(void *context, const kal_toml_leaf *leaf);

/* False when the text is not TOML: a message and its line. True otherwise, also when visit ended
 * the walk. */
bool kal_toml_walk(const char *text, size_t len, kal_toml_visit visit, void *context,
                   char *message_out, size_t message_size, unsigned *line_out);

#ifdef __cplusplus
}
#endif

#endif
