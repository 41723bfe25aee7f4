/*
 * ddl.h: what CREATE TABLE and ALTER TABLE share: from what a statement says to columns, defaults
 * and options.
 */
#ifndef KAL_EXEC_DDL_H
#define KAL_EXEC_DDL_H

#include "exec/exec_internal.h"

/* The column as defined, validated. Texts are borrowed from the
 * statement or live in the run's arena. */
KAL_MUST_CHECK kal_status kal_ddl_column(kal_run *run, const kal_sql_column_def *def,
                                         uint32_t ordinal, kal_column *out, kal_error *err);
/* DEFAULT as written, evaluated: a literal keeps the type it was written in. NULL is no default. */
KAL_MUST_CHECK kal_status kal_ddl_default(kal_run *run, const kal_sql_expr *e,
                                          kal_column_default *out, kal_error *err);
KAL_MUST_CHECK kal_status kal_ddl_option_value(const kal_sql_option *option, kal_value *out,
                                               kal_error *err);
bool kal_ddl_is_column_name(kal_bytes name);
/* Names are free of what the server keeps for itself and of what cannot be typed unquoted. */
KAL_MUST_CHECK kal_status kal_ddl_check_column_name(const kal_sql_name *name, kal_error *err);
/* What is said of a table must not be said of a view. */
KAL_MUST_CHECK kal_status kal_ddl_check_is_table(const kal_table *table, uint32_t position,
                                                 kal_error *err);
/* ALTER USER TABLE and DROP USER TABLE must name a USER table. */
KAL_MUST_CHECK kal_status kal_ddl_check_kind(const kal_table *table, kal_sql_table_type word,
                                             uint32_t position, kal_error *err);

/* Ends a change: status is what became of its steps; commits unless there is nothing to. An error
 * is one of what stands at position. */
KAL_MUST_CHECK kal_status kal_ddl_finish(kal_run *run, kal_catalog_change *change,
                                         kal_status status, bool is_needed, uint32_t position,
                                         kal_error *err);

/* DROP TABLE and DROP VIEW: word is "Table" or "View"; check refuses the other kind, and lets what
 * is missing pass: the catalog reports it, or not, by IF EXISTS. */
KAL_MUST_CHECK kal_status kal_ddl_drop(
    kal_run *run, const char *word,
    kal_status (*check)(kal_run *run, const kal_sql_table_stmt *s, kal_error *err), kal_error *err);

#endif
