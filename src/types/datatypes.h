/*
 * datatypes.h: the types as a list to be read by people: every name that a column's type may be
 * written with, and what it stands for (system.datatypes).
 *
 * It is the walk of kal_type_alias_at() with Arrow's name and a line of text, so a name that the
 * parser knows is in the list and the other way round.
 */
#ifndef KAL_TYPES_DATATYPES_H
#define KAL_TYPES_DATATYPES_H

#include "types/type.h"

typedef struct kal_datatype { /* all static */
    const char *arrow_name; /* "Int64"; parameters by their names: "Decimal128(precision, scale)" */
    const char *kalam_name; /* the type that a column gets: "BIGINT" */
    const char *sql_name;   /* as written: "INT8" */
    const char *description;
} kal_datatype;

/* Entry i: the 17 types first, then their aliases; false past the end. */
bool kal_datatype_at(size_t i, kal_datatype *out);

#endif
