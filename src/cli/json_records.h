/*
 * json_records.h: a file of JSON objects, one object in memory at a time.
 *
 *   [ {..}, {..} ]        an array of objects
 *   {..}\n{..}\n          one object a line (NDJSON), or just one after the other
 *
 * Only the extent of each object is found here; kal_json_parse() then checks and reads it.
 * Threads: one at a time.
 */
#ifndef KAL_CLI_JSON_RECORDS_H
#define KAL_CLI_JSON_RECORDS_H

#include "base/json_reader.h"
#include "cli/source.h"

typedef struct kal_json_records {
    kal_source *source; /* borrowed */
    kal_arena arena;    /* of the current object */
    uint64_t line;      /* where the current object begins, 1-based */
    uint64_t number;    /* of objects read */
    bool is_array;
    bool is_started;
    bool is_ended; /* the closing bracket was read */
} kal_json_records;

void kal_json_records_init(kal_json_records *records, kal_source *source);
void kal_json_records_release(kal_json_records *records);

/* Reads the next object; the tree lives until the next call. KAL_END; KAL_INVALID, which names the
 * line; KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_json_records_next(kal_json_records *records,
                                                const kal_json **object_out, kal_error *err);

#endif
