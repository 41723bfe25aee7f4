/*
 * rows.h: the tables of the simulation: three shapes, and rows as small numbers.
 *
 * Every table has SIM_KEYS possible primary keys, numbered in their SQL order, so that the model
 * needs neither key encoding nor comparison: key 3 comes before key 4, and a bound is a number.
 * Next to its key a row carries a number and a text, either of which may be NULL.
 */
#ifndef KAL_TESTS_SIM_ROWS_H
#define KAL_TESTS_SIM_ROWS_H

#include "table/table.h"

enum {
    SIM_KEYS = 16,
    SIM_KEY_GROUP = 4, /* composite keys: so many keys in turn share their first column */
    SIM_SHAPES = 3,
    SIM_COLUMNS_MAX = 4,
};

/* What a row holds besides its key. */
typedef struct sim_image {
    bool has_number; /* false: NULL */
    int64_t number;
    unsigned text; /* names a text; 0: NULL */
} sim_image;

bool sim_image_equal(const sim_image *a, const sim_image *b);

/* The definition of a new table; KAL_OK for any two names. */
KAL_MUST_CHECK kal_status sim_definition(kal_bytes ns, kal_bytes name, kal_table_type type,
                                         unsigned shape, int64_t now_us, kal_arena *arena,
                                         kal_table_definition **out, kal_error *err);
/* The layout of a shape's rows, for records of tables that are gone. */
void sim_layout(unsigned shape, kal_arena *arena, kal_row_layout *layout_out);
/* One value per column of the shape. */
void sim_values(unsigned shape, unsigned key, const sim_image *image, kal_arena *arena,
                kal_value values_out[SIM_COLUMNS_MAX]);
/* The ordered primary key; lives in the arena. */
kal_bytes sim_key(const kal_table *table, unsigned shape, unsigned key, kal_arena *arena);
/* The bound before `key` for a scan: where a first column's group begins, that column alone. */
kal_bytes sim_bound(const kal_table *table, unsigned shape, unsigned key, kal_arena *arena);
/* What a row says; false when its columns are none that sim_values() makes. */
bool sim_read(unsigned shape, const kal_row *row, unsigned *key_out, sim_image *image_out);

#endif
