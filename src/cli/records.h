/*
 * records.h: the rows of a CSV or JSON file behind one face, for inference and import.
 *
 * Columns are those of the CSV header, or all members met in the JSON objects so far, in the order
 * in which they were met; a cell's index is its column's. A file is read twice: the first pass
 * finds the columns and that the file is well-formed, the second sends the rows.
 *
 * Threads: one at a time.
 */
#ifndef KAL_CLI_RECORDS_H
#define KAL_CLI_RECORDS_H

#include "base/map.h"
#include "cli/csv_reader.h"
#include "cli/json_records.h"

#define KAL_RECORD_COLUMNS_MAX 2000u

typedef enum kal_cell_kind {
    KAL_CELL_NULL,   /* also a member that is not there, and an empty CSV field without quotes */
    KAL_CELL_FIELD,  /* CSV: text of any type */
    KAL_CELL_STRING, /* JSON, unescaped; or a quoted empty CSV field */
    KAL_CELL_NUMBER, /* JSON, as written */
    KAL_CELL_BOOL,   /* JSON: text is true or false */
    KAL_CELL_NESTED, /* JSON array or object */
} kal_cell_kind;

typedef struct kal_cell {
    kal_cell_kind kind;
    kal_bytes text;       /* not of NESTED */
    const kal_json *json; /* NESTED */
} kal_cell;

typedef struct kal_records {
    kal_source source;
    bool is_json;
    kal_csv_reader csv;
    kal_json_records json;
    kal_arena arena; /* column names */
    KAL_VEC(kal_bytes) names;
    kal_map index;           /* JSON: name -> index + 1 */
    KAL_VEC(kal_cell) cells; /* of the current record; may be shorter than names at the end */
    uint64_t number;         /* of the current record, 1-based */
    uint64_t line;           /* where it begins */
} kal_records;

/* JSON by the ending .json, .jsonl or .ndjson, CSV by .csv or .tsv, else by the first character.
 * The header of a CSV file is read. */
KAL_MUST_CHECK kal_status kal_records_open(kal_bytes path, kal_records *records_out,
                                           kal_error *err);
void kal_records_release(kal_records *records);
KAL_MUST_CHECK kal_status kal_records_rewind(kal_records *records, kal_error *err);

/* Reads the next record into records->cells, which live until the next call. KAL_END. */
KAL_MUST_CHECK kal_status kal_records_next(kal_records *records, kal_error *err);

#endif
