/*
 * dml.h: what INSERT, UPDATE and DELETE share.
 *
 * Each row operation is a resolve function over the newest row (table/table.h). Where it runs is
 * decided here: on the lane for statements bound to keys; over the transaction's overlay inside
 * BEGIN ... COMMIT; over an overlay of the statement's own, committed as prepared operations, for
 * everything else.
 */
#ifndef KAL_EXEC_DML_H
#define KAL_EXEC_DML_H

#include "exec/exec_internal.h"

/* ---- values ---- */

/* The value of a column that is not given: its default, or NULL. */
KAL_MUST_CHECK kal_status kal_dml_default(kal_run *run, const kal_column *column,
                                          kal_value *value_out, kal_error *err);
/* The value as the column's type; names the column in errors. position < 0: unknown. */
KAL_MUST_CHECK kal_status kal_dml_assign(const kal_column *column, const kal_value *value,
                                         kal_arena *arena, int64_t position, kal_value *value_out,
                                         kal_error *err);
KAL_MUST_CHECK kal_status kal_dml_check_not_null(const kal_table *table, const kal_value *values,
                                                 kal_error *err);
/* Evaluates expressions without columns that the binder does not admit, by DuckDB. */
KAL_MUST_CHECK kal_status kal_dml_engine_values(kal_run *run, const kal_sql_expr *const *exprs,
                                                size_t count, kal_value *values, kal_error *err);
/* The ordered primary key of a whole row, in the arena. */
KAL_MUST_CHECK kal_status kal_dml_key(kal_run *run, const kal_table *table, const kal_value *values,
                                      kal_bytes *key_out, kal_error *err);
kal_status kal_dml_duplicate(const kal_table *table, const kal_value *values, kal_error *err);
/* The same of a row that has its _seq as its key. */
KAL_MUST_CHECK kal_status kal_dml_arrival_key(kal_run *run, const kal_value *seq,
                                              kal_bytes *key_out, kal_error *err);
/* KAL_UNSUPPORTED: a STREAM table, whose rows do not change. */
KAL_MUST_CHECK kal_status kal_dml_check_updatable(const kal_table *table, kal_error *err);
/* A parameter that is the whole value of a column: as docs/types.md says for JSON. */
KAL_MUST_CHECK kal_status kal_dml_assign_param(kal_run *run, const kal_column *column,
                                               const kal_sql_expr *param, kal_value *value_out,
                                               kal_error *err);
/* Sets the run's parameters, at most count_max; json is borrowed for the run, NULL: none. */
KAL_MUST_CHECK kal_status kal_run_params(kal_run *run, const kal_json *json, size_t count_max,
                                         kal_error *err);

/* ---- assignments (SET) ---- */

typedef struct kal_dml_set {
    uint32_t column;
    int64_t position;
    const kal_expr *expr; /* NULL: value, or for the engine (source) */
    const kal_sql_expr *source;
    kal_value value; /* DEFAULT, evaluated once; or a parameter */
} kal_dml_set;

typedef struct kal_dml_sets {
    kal_dml_set *items; /* arena */
    size_t count;
    bool needs_engine;
    bool parses_json; /* which takes too long for the lane */
    bool sets_key;
} kal_dml_sets;

KAL_MUST_CHECK kal_status kal_dml_bind_sets(kal_run *run, kal_binder *b, const kal_table *table,
                                            const kal_sql_assignments *assignments,
                                            kal_dml_sets *out, kal_error *err);
/* Applies the assignments to a row: values[] of all columns, computed from `from` (which may be
 * longer and may be values itself). */
KAL_MUST_CHECK kal_status kal_dml_apply_sets(const kal_dml_sets *sets, const kal_table *table,
                                             const kal_expr_session *session, const kal_value *from,
                                             kal_arena *arena, kal_value *values, kal_error *err);

/* ---- RETURNING ---- */

typedef struct kal_dml_returning {
    kal_expr **items; /* arena */
    kal_result_column *columns;
    size_t count; /* 0: none asked for */
} kal_dml_returning;

KAL_MUST_CHECK kal_status kal_dml_bind_returning(kal_run *run, kal_binder *b,
                                                 const kal_table *table, const kal_sql_items *items,
                                                 kal_dml_returning *out, kal_error *err);

/* ---- carrying out ---- */

/* What a statement does to rows, wherever it runs. */
typedef struct kal_dml {
    kal_table *table;
    kal_dml_returning returning;
    const char *verb; /* "Inserted" */
    bool returns_old; /* DELETE */
} kal_dml;

/* One operation of a kal_write, done to the run's overlay instead. read: the row as the view had
 * it, read before; NULL: it is read now. */
KAL_MUST_CHECK kal_status kal_dml_apply_to_overlay(kal_run *run, kal_view *view,
                                                   kal_overlay *overlay, kal_write_op *op,
                                                   const kal_view_wanted *read, kal_error *err);
/* Writes the statement's result from operations that were carried out. */
KAL_MUST_CHECK kal_status kal_dml_result(kal_run *run, const kal_dml *dml, kal_write *write,
                                         kal_error *err);

/*
 * Runs `collect` against a view and an overlay of the statement's own (or the transaction's), then
 * commits; again from the start, up to five times, when somebody else changed a row meanwhile.
 * collect puts its changes into `overlay` and counts them; rows for RETURNING come from the commit.
 */
typedef kal_status (*kal_dml_collect_fn)(void *context, kal_run *run, kal_view *view,
                                         kal_overlay *overlay, uint64_t *count_out, kal_error *err);
KAL_MUST_CHECK kal_status kal_dml_run_prepared(kal_run *run, const kal_dml *dml,
                                               kal_dml_collect_fn collect, void *context,
                                               kal_error *err);

/* Adds INSERT's rows as operations; KAL_BUSY when that cannot be done on an event loop. */
KAL_MUST_CHECK kal_status kal_insert_prepare(kal_run *run, kal_dml *dml_out, kal_write *write,
                                             kal_error *err);
/* Adds UPDATE or DELETE as operations; KAL_END when it is not bound to keys. */
KAL_MUST_CHECK kal_status kal_change_prepare(kal_run *run, kal_dml *dml_out, kal_write *write,
                                             kal_error *err);
/* UPDATE or DELETE in any other way. */
KAL_MUST_CHECK kal_status kal_change_run_prepared(kal_run *run, kal_error *err);

#endif
