#include "sql/row_values.h"

size_t kal_row_value_count(const kal_table *table)
{
    return table->def->column_count + KAL_HIDDEN_COUNT;
}

uint64_t *kal_column_bits(const kal_table *table, kal_arena *arena, bool all)
{
    size_t count = kal_row_value_count(table);
    uint64_t *bits = kal_arena_alloc(arena, (count + 63) / 64 * sizeof *bits);
    for (size_t i = 0; all && i < count; i++)
        bits[i / 64] |= UINT64_C(1) << (i % 64);
    return bits;
}

static bool bit_set(const uint64_t *bits, size_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

void kal_row_values(const kal_table *table, const kal_row *row, const uint64_t *bits,
                    kal_value *values)
{
    size_t n = table->def->column_count;
    for (size_t i = 0; i < n; i++) {
        if (bit_set(bits, i))
            kal_row_get(row, i, &values[i]);
    }
    /* A change of the own transaction has no seq yet. */
    values[n + KAL_HIDDEN_SEQ] = row->seq == 0 ? kal_value_null(kal_hidden_type(KAL_HIDDEN_SEQ))
                                               : kal_value_bigint((int64_t)row->seq);
    values[n + KAL_HIDDEN_DELETED] = kal_value_boolean(false);
}
