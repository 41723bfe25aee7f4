/*
 * plain_duckdb.h: DuckDB in a test, as others use it.
 *
 * Threads: one.
 */
#ifndef KAL_TESTS_UNIT_ENGINE_PLAIN_DUCKDB_H
#define KAL_TESTS_UNIT_ENGINE_PLAIN_DUCKDB_H

#include "engine/duckdb_api.h"

typedef struct plain {
    kal_duckdb api;
    duckdb_database database;     /* owned */
    duckdb_connection connection; /* owned */
} plain;

void plain_open(plain *p);
void plain_close(plain *p);
/* All of a result of one text column, one value a line; the test fails if it is another. */
void plain_expect(plain *p, const char *sql, const char *expected);

#endif
