/*
 * error.h: what a function answers when it does not simply succeed.
 *
 * Three kinds of trouble. A bug is an assertion. An expected outcome (NOT_FOUND, EXISTS, END) is a
 * status alone. A failure is a status plus a kal_error, a fixed-size struct on the caller's stack
 * that is passed down as the last parameter; NULL is allowed and loses the text only.
 *
 * What a person sees is one level: code, message, optional hint and position. The first function
 * that knows what went wrong writes it; callers pass it on without prefixes.
 */
#ifndef KAL_BASE_ERROR_H
#define KAL_BASE_ERROR_H

#include "base/defs.h"

/* name, the code a client sees unless kal_error_code() gave a better one, HTTP status */
#define KAL_STATUS_LIST(X)                                                                         \
    X(OK, "OK", 200)                                                                               \
    X(NOT_FOUND, "NOT_FOUND", 404)           /* the thing asked for is not there */                \
    X(EXISTS, "ALREADY_EXISTS", 409)         /* the thing to be made is there already */           \
    X(CONFLICT, "TRANSACTION_CONFLICT", 409) /* another writer came first; retry may help */       \
    X(STALE, "TRANSACTION_CONFLICT", 409)    /* a table was altered meanwhile: bind again */       \
    X(COLD, "TRANSACTION_CONFLICT", 409)     /* a row lies in a segment: read it, then again */    \
    X(END, "END", 200)                       /* no further row, key or token */                    \
    X(INVALID, "INVALID_INPUT", 400)         /* what the client sent is wrong */                   \
    X(SYNTAX, "INVALID_SQL", 400)            /* the SQL text does not parse or bind */             \
    X(LIMIT, "LIMIT_EXCEEDED", 413)          /* a bound on size, depth, memory or count */         \
    X(DENIED, "PERMISSION_DENIED", 403)      /* known user, missing right */                       \
    X(UNAUTHORIZED, "UNAUTHORIZED", 401)     /* no valid identity */                               \
    X(UNSUPPORTED, "UNSUPPORTED", 400)       /* valid, but not built: the message says so */       \
    X(BUSY, "RATE_LIMIT_EXCEEDED", 429)      /* try later */                                       \
    X(TIMEOUT, "QUERY_TIMEOUT", 408)         /* stopped by its deadline */                         \
    X(CANCELLED, "CANCELLED", 499)           /* stopped by its owner or by shutdown */             \
    X(CORRUPT, "DATA_CORRUPTED", 500)        /* stored bytes are not what we wrote */              \
    X(IO, "IO_ERROR", 500)                   /* the system refused a read or write */              \
    X(INTERNAL, "INTERNAL_ERROR", 500)       /* a foreign library failed unexpectedly */

typedef enum kal_status {
#define KAL_STATUS_ENUM(name, code, http) KAL_##name,
    KAL_STATUS_LIST(KAL_STATUS_ENUM)
#undef KAL_STATUS_ENUM
} kal_status;

#define KAL_ERROR_MESSAGE_BYTES 512
#define KAL_ERROR_HINT_BYTES    256

typedef struct kal_error {
    kal_status status;
    const char *code;                      /* static string, never NULL once set */
    int64_t position;                      /* byte offset in the SQL text, -1 when unknown */
    uint64_t row;                          /* of a batch of parameters, from 1; 0: no batch */
    char message[KAL_ERROR_MESSAGE_BYTES]; /* one line, UTF-8, no full stop */
    char hint[KAL_ERROR_HINT_BYTES];       /* "" when there is none */
} kal_error;

#define KAL_ERROR_INIT ((kal_error){.status = KAL_OK, .code = "OK", .position = -1})

/* Fills err (NULL allowed) and returns status, so that it can stand in a return. A message that is
 * too long is cut at a character boundary. */
kal_status kal_error_set(kal_error *err, kal_status status, const char *format, ...)
    KAL_PRINTF(3, 4);
/* Adds to an error that was set: a more exact client code (a static string), a hint, a place.
 * kal_error_at() keeps a position that is already there. */
void kal_error_code(kal_error *err, const char *code);
void kal_error_hint(kal_error *err, const char *format, ...) KAL_PRINTF(2, 3);
void kal_error_at(kal_error *err, size_t position);
/* The row of a batch (from 1) that an error is about; the message says so too. One that is there
 * already is kept; without an error nothing happens. */
void kal_error_row(kal_error *err, uint64_t row);

const char *kal_status_name(kal_status status); /* "OK", "NOT_FOUND", ... */
const char *kal_status_code(kal_status status); /* the client code of the list above */
int kal_status_http(kal_status status);

/* Returns from a function that owns nothing when expr is not KAL_OK. */
#define KAL_TRY(expr)                                                                              \
    do {                                                                                           \
        kal_status kal_try_status_ = (expr);                                                       \
        if (KAL_UNLIKELY(kal_try_status_ != KAL_OK))                                               \
            return kal_try_status_;                                                                \
    } while (0)

#endif
