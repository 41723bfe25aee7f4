/*
 * csv_reader.h: CSV as RFC 4180 has it, record by record.
 *
 * Quoted fields may hold the delimiter, quotes ("") and line ends; lines end with LF or CR LF; the
 * last one may lack its end. A quote inside an unquoted field is itself. Text between a closing
 * quote and the next delimiter is an error. The delimiter is the first of , ; tab | that is most
 * frequent in the first record. Blank lines are skipped, unless a record has only one field.
 *
 * Threads: one at a time. Source: RFC 4180.
 */
#ifndef KAL_CLI_CSV_READER_H
#define KAL_CLI_CSV_READER_H

#include "base/vec.h"
#include "cli/source.h"

#define KAL_CSV_FIELD_COUNT_MAX 10000u

typedef struct kal_csv_field {
    kal_bytes text; /* unescaped; valid until the next record is read */
    bool quoted;    /* tells an empty text from nothing */
} kal_csv_field;

typedef struct kal_csv_reader {
    kal_source *source;            /* borrowed */
    KAL_VEC(kal_csv_field) fields; /* of the current record; owned */
    uint64_t line;                 /* where the current record begins, 1-based */
    uint8_t delimiter;
    size_t field_count; /* of every record; 0 until the first was read */
} kal_csv_reader;

/* Looks at the first record for the delimiter; reads nothing yet. */
KAL_MUST_CHECK kal_status kal_csv_reader_init(kal_csv_reader *reader, kal_source *source,
                                              kal_error *err);
void kal_csv_reader_release(kal_csv_reader *reader);

/* Reads a record into reader->fields. KAL_END; KAL_INVALID, which names the line; KAL_LIMIT. */
KAL_MUST_CHECK kal_status kal_csv_next(kal_csv_reader *reader, kal_error *err);

#endif
