/*
 * reply.h: the reply of the SQL endpoint, as the protocol lays it out.
 *
 *   {"status":"success","results":[{"schema":[{"name","data_type","index","flags"?}],"rows":[[..]],
 *    "row_count":n,"message"?}],"took":12.345}
 *   {"status":"error","results":[],"took":..,"error":{"code","message","details"?,"hint"?,"position"?}}
 *   {"error":"unauthorized","message":".."}            (the endpoints below /v1/api/auth)
 *
 * A server is not trusted to be well-formed: every row is checked to have one cell a column.
 * Everything here lives in the reply's arena. Threads: one at a time.
 */
#ifndef KAL_CLIENT_REPLY_H
#define KAL_CLIENT_REPLY_H

#include "base/json_reader.h"

typedef struct kal_reply_column {
    kal_bytes name;
    const kal_json *data_type; /* "BigInt", {"Embedding":384}: see kal_type_from_json() */
    bool is_key;
    bool is_not_null;
} kal_reply_column;

typedef struct kal_reply_result {
    kal_reply_column *columns;
    size_t column_count;  /* 0: a statement that answers with a message, not with rows */
    const kal_json *rows; /* array of arrays of column_count cells, or NULL */
    size_t row_count;     /* rows returned, or rows changed */
    kal_bytes message;    /* empty when there is none */
} kal_reply_result;

typedef struct kal_reply {
    kal_arena arena; /* owns all below */
    kal_reply_result *results;
    size_t result_count;
    double took_ms; /* as measured by the server */
    /* An answer that is an error. */
    bool refused;
    int http_code;
    kal_bytes code; /* "TABLE_NOT_FOUND" */
    kal_bytes message;
    kal_bytes hint;    /* empty when there is none */
    int64_t position;  /* byte offset in the SQL text, -1 when unknown */
    uint64_t row;      /* of a batch of parameters, from 1; 0: none is named */
    kal_bytes details; /* empty when there are none */
} kal_reply;

void kal_reply_init(kal_reply *reply);
void kal_reply_release(kal_reply *reply);

/* Cell of a row, both by index; result->rows must not be NULL. */
const kal_json *kal_reply_cell(const kal_reply_result *result, size_t row, size_t column);

/*
 * Reads an initialised, empty reply from the body. When the server refused: the status that fits
 * the HTTP code, reply->refused, and err filled from the answer. KAL_INTERNAL with refused = false:
 * the body is not what a KalamDB server answers.
 */
KAL_MUST_CHECK kal_status kal_reply_parse(kal_bytes body, int http_code, kal_reply *reply,
                                          kal_error *err);
/* The same of any endpoint: only the errors are looked at; the tree is handed out. */
KAL_MUST_CHECK kal_status kal_reply_parse_plain(kal_bytes body, int http_code, kal_reply *reply,
                                                const kal_json **json_out, kal_error *err);

#endif
