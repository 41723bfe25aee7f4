/*
 * history_model.h: what a table ought to hold, in the simplest way: rows are changed eagerly when a
 * column is added, dropped or retyped. The server does none of that, so that the two can only agree
 * if it reads old rows right.
 */
#ifndef KAL_TESTS_HISTORY_MODEL_H
#define KAL_TESTS_HISTORY_MODEL_H

#include "base/arena.h"
#include "base/assert.h"
#include "types/value.h"

#include <stdio.h>

enum { MODEL_COLUMNS_MAX = 12, MODEL_ROWS_MAX = 40, MODEL_VERSIONS_MAX = 64, MODEL_USERS = 2 };

typedef struct model_column {
    uint32_t column_id;
    uint32_t ordinal;
    char name[16];
    kal_type type;
    bool is_nullable;
} model_column;

typedef struct model_row {
    uint64_t user_no;
    int64_t key;
    kal_value values[MODEL_COLUMNS_MAX]; /* as the columns; 0 is the key */
} model_row;

typedef struct model_version {
    char table_name[16];
    model_column columns[MODEL_COLUMNS_MAX];
    size_t column_count;
} model_version;

typedef struct model {
    model_version now;
    uint32_t ordinal_max;
    uint32_t version;
    model_row rows[MODEL_ROWS_MAX]; /* by user and key */
    size_t row_count;
    model_version versions[MODEL_VERSIONS_MAX]; /* [version - 1] */
} model;

static inline int model_find_column(const model *m, const char *name)
{
    for (size_t i = 0; i < m->now.column_count; i++) {
        if (strcmp(m->now.columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static inline model_row *model_find(model *m, uint64_t user_no, int64_t key)
{
    for (size_t i = 0; i < m->row_count; i++) {
        if (m->rows[i].user_no == user_no && m->rows[i].key == key)
            return &m->rows[i];
    }
    return NULL;
}

/* The place of a new row, kept in order; the caller fills it. */
static inline model_row *model_insert(model *m, uint64_t user_no, int64_t key)
{
    size_t at = 0;
    KAL_ASSERT(m->row_count < MODEL_ROWS_MAX);
    while (at < m->row_count && (m->rows[at].user_no < user_no ||
                                 (m->rows[at].user_no == user_no && m->rows[at].key < key)))
        at++;
    memmove(&m->rows[at + 1], &m->rows[at], (m->row_count - at) * sizeof m->rows[0]);
    m->row_count++;
    m->rows[at] = (model_row){.user_no = user_no, .key = key};
    return &m->rows[at];
}

static inline void model_delete(model *m, model_row *row)
{
    size_t at = (size_t)(row - m->rows);
    m->row_count--;
    memmove(row, row + 1, (m->row_count - at) * sizeof *row);
}

/* ---- schema ---- */

static inline void model_add_column(model *m, const char *name, kal_type type, bool is_nullable,
                                    const kal_value *initial)
{
    KAL_ASSERT(m->now.column_count < MODEL_COLUMNS_MAX);
    model_column *column = &m->now.columns[m->now.column_count];
    m->ordinal_max++;
    *column = (model_column){.column_id = m->ordinal_max,
                             .ordinal = m->ordinal_max,
                             .type = type,
                             .is_nullable = is_nullable};
    snprintf(column->name, sizeof column->name, "%s", name);
    for (size_t i = 0; i < m->row_count; i++)
        m->rows[i].values[m->now.column_count] = initial == NULL ? kal_value_null(type) : *initial;
    m->now.column_count++;
}

static inline void model_drop_column(model *m, size_t at)
{
    size_t behind = m->now.column_count - at - 1;
    memmove(&m->now.columns[at], &m->now.columns[at + 1], behind * sizeof m->now.columns[0]);
    for (size_t i = 0; i < m->row_count; i++)
        memmove(&m->rows[i].values[at], &m->rows[i].values[at + 1], behind * sizeof(kal_value));
    m->now.column_count--;
}

/* The next wider type, or the same when there is none. */
static inline kal_type model_wider(kal_type type)
{
    switch (type.tag) {
    case KAL_TYPE_SMALLINT:
        return kal_type_of(KAL_TYPE_INT);
    case KAL_TYPE_INT:
        return kal_type_of(KAL_TYPE_BIGINT);
    case KAL_TYPE_FLOAT:
        return kal_type_of(KAL_TYPE_DOUBLE);
    case KAL_TYPE_DATE:
        return kal_type_of(KAL_TYPE_TIMESTAMP);
    case KAL_TYPE_DECIMAL:
        return type.precision < 38 ? kal_type_decimal(type.precision + 1u, type.scale) : type;
    default:
        return type;
    }
}

/* Midnight of the day; what no TIMESTAMP can hold is an infinity. */
static inline int64_t model_instant(int64_t days)
{
    kal_i128 us = (kal_i128)days * 86400000000;
    if (days == INT32_MAX || us > INT64_MAX - 1)
        return INT64_MAX;
    if (days == -INT32_MAX || us < -(kal_i128)9223372022400000000)
        return -INT64_MAX;
    return (int64_t)us;
}

/* The value in the wider type, computed here and not by what is tested. */
static inline kal_value model_convert(kal_value v, kal_type to)
{
    kal_value out = v;
    out.type = to;
    if (v.is_null || kal_type_equal(v.type, to))
        return out;
    if (v.type.tag == KAL_TYPE_FLOAT)
        out.f64 = (double)v.f32;
    else if (v.type.tag == KAL_TYPE_DATE)
        out.integer = model_instant(v.integer);
    return out;
}

static inline void model_set_type(model *m, size_t at, kal_type to)
{
    m->now.columns[at].type = to;
    for (size_t i = 0; i < m->row_count; i++)
        m->rows[i].values[at] = model_convert(m->rows[i].values[at], to);
}

static inline bool model_holds_null(const model *m, size_t at)
{
    for (size_t i = 0; i < m->row_count; i++) {
        if (m->rows[i].values[at].is_null)
            return true;
    }
    return false;
}

static inline void model_next_version(model *m)
{
    KAL_ASSERT(m->version < MODEL_VERSIONS_MAX);
    m->versions[m->version++] = m->now;
}

#endif
