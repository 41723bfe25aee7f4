/*
 * type_forms.h: a type's forms for others (SQL, DuckDB, Arrow, replies), computed once and kept.
 *
 * Types without parameters are there from the first call on; DECIMAL(p,s) and EMBEDDING(n) are
 * interned when they are first met, until the cache is full: what does not fit any more is computed
 * each time. Entries never change and never go, so a hit is a load, without lock or copy, and its
 * answer may be kept. In the other direction, a pair of Arrow texts or a DuckDB name that we made
 * is recognised, not parsed.
 *
 * A hit is a conversion answered without computing or allocating; hits and misses are counted by
 * thread and added up when they are asked for.
 *
 * Threads: any. Source: design section 5.
 */
#ifndef KAL_TYPES_TYPE_FORMS_H
#define KAL_TYPES_TYPE_FORMS_H

#include "types/type.h"

#define KAL_TYPE_CACHE_SIZE_DEFAULT 1024u
#define KAL_ARROW_TYPE_KEY          "kalam_data_type"
#define KAL_ARROW_JSON_BYTES        160
#define KAL_REPLY_JSON_BYTES        64

/* A text of at most 16 bytes as numbers, by which it is recognised. */
typedef struct kal_text_words {
    uint64_t head;
    uint64_t tail;
    uint64_t len;
} kal_text_words;

typedef struct kal_type_forms {
    kal_type type;
    kal_text_words sql_words; /* these first: what recognising reads is one line of the cache */
    kal_text_words duckdb_words;
    char arrow_format[KAL_TYPE_NAME_BYTES]; /* "d:10,2" */
    char sql[KAL_TYPE_NAME_BYTES];          /* "DECIMAL(10,2)" */
    char duckdb[KAL_TYPE_NAME_BYTES];       /* "DECIMAL(10,2)", "FLOAT[384]", "VARCHAR" */
    /* One pair, as the Arrow C data interface encodes metadata: kalam_data_type = the SQL form. */
    char arrow_metadata[3 * sizeof(int32_t) + sizeof KAL_ARROW_TYPE_KEY + KAL_TYPE_NAME_BYTES];
    uint32_t arrow_metadata_bytes;
    char arrow_json[KAL_ARROW_JSON_BYTES]; /* data_type in the JSON of an Arrow schema: "Int64" */
    char reply_json[KAL_REPLY_JSON_BYTES]; /* data_type of a reply: "BigInt", quotes and all */
    uint16_t arrow_json_len;
    uint16_t reply_json_len;
} kal_type_forms;

/* The forms of a valid type; scratch is filled and returned when the cache is full. */
const kal_type_forms *kal_type_forms_of(kal_type type, kal_type_forms *scratch);
/* The type whose Arrow forms these are, exactly as we write them: format NUL-terminated, metadata
 * as the specification encodes it. False: they have to be read. */
bool kal_type_of_arrow(const char *format, const char *metadata, kal_type *type_out);
/* The type of a DuckDB name; where several types have one, the one it is read back as (VARCHAR is
 * TEXT). False: no name of one of our types. */
bool kal_type_of_duckdb(kal_bytes name, kal_type *type_out);

/* Counts a conversion that is kept elsewhere: the engine's handles of DuckDB's types. */
void kal_type_cache_count(bool hit);
/* How many types with parameters are kept, all threads together; before the first conversion. */
void kal_type_cache_set_size(size_t size);

typedef struct kal_type_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t size; /* types kept */
    uint64_t capacity;
} kal_type_cache_stats;
kal_type_cache_stats kal_type_cache_get_stats(void);

#endif
