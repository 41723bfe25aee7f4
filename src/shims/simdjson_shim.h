/*
 * simdjson_shim.h: a walk over one JSON document with simdjson On Demand, for C.
 *
 * Every part is visited, in order, and reported as an event; On Demand alone would only look at
 * what is asked for. Numbers and words (true, false, null) are reported as raw text and not
 * checked: that is the caller's part, as are duplicate keys.
 * Threads: any; documents up to 64 KiB share a parser per thread, larger ones have their own.
 */
#ifndef KAL_SHIMS_SIMDJSON_SHIM_H
#define KAL_SHIMS_SIMDJSON_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Readable bytes that must follow the document. */
#define KAL_SIMDJSON_PADDING 64

typedef enum kal_simdjson_result {
    KAL_SIMDJSON_OK,
    KAL_SIMDJSON_STOPPED,      /* an event handler returned false */
    KAL_SIMDJSON_DEPTH,        /* nested beyond depth_max */
    KAL_SIMDJSON_UTF8,         /* not UTF-8 */
    KAL_SIMDJSON_CONTROL_CHAR, /* a control character inside a string */
    KAL_SIMDJSON_UNCLOSED,     /* a string is not closed */
    KAL_SIMDJSON_STRING,       /* a bad escape sequence */
    KAL_SIMDJSON_TRAILING,     /* something follows the document */
    KAL_SIMDJSON_SYNTAX,       /* anything else that JSON does not allow */
    KAL_SIMDJSON_MEMORY,
    KAL_SIMDJSON_SIZE, /* larger than 4 GiB */
} kal_simdjson_result;

/* offset: where in the document the reported part begins. A handler returns false to stop. */
typedef struct kal_simdjson_events {
    void *context;
    bool (*begin)(void *context, bool is_object, size_t offset);
    bool (*end)(void *context, bool is_object);
    /* Unescaped; text is borrowed for the call. */
    bool (*key)(void *context, const char *text, size_t len, size_t offset);
    bool (*string)(void *context, const char *text, size_t len, size_t offset);
    /* Not a string: everything up to the next token, without the white space; points into json. */
    bool (*scalar)(void *context, const char *text, size_t len, size_t offset);
} kal_simdjson_events;

/* Bytes that a walk over len bytes allocates beside the document, 0 when it uses the parser of the
 * thread. */
size_t kal_simdjson_memory(size_t len);

/* Walks the document, which must be an array. json is followed by KAL_SIMDJSON_PADDING readable
 * bytes. offset_out: when the result is neither OK nor STOPPED, the place of the trouble, or len
 * when it is not known. */
kal_simdjson_result kal_simdjson_walk(const char *json, size_t len, unsigned depth_max,
                                      const kal_simdjson_events *events, size_t *offset_out);

#ifdef __cplusplus
}
#endif

#endif
