#include "base/assert.h"
#include "table/table_internal.h"

uint16_t kal_row_shard(const kal_table *table, uint64_t user_no)
{
    return table->def->table_type == KAL_TABLE_SHARED ? table->shard : kal_shard_of_user(user_no);
}

void kal_row_key_prefix(const kal_table *table, uint64_t user_no,
                        uint8_t prefix_out[KAL_ROW_KEY_PREFIX_BYTES])
{
    KAL_ASSERT(table->hot_id != 0);
    KAL_ASSERT(table->def->table_type == KAL_TABLE_SHARED || user_no != 0);
    kal_store_be32(prefix_out, table->hot_id);
    kal_store_be16(prefix_out + 4, kal_row_shard(table, user_no));
    kal_store_be64(prefix_out + 6, kal_table_user_no(table, user_no));
}

kal_kv_family kal_row_family(const kal_table *table)
{
    return kal_table_is_stream(table) ? KAL_KV_STREAM : KAL_KV_ROWS;
}

void kal_row_bounds(const kal_table *table, uint8_t lower[KAL_ROW_SHARD_PREFIX_BYTES],
                    uint8_t upper[KAL_ROW_SHARD_PREFIX_BYTES])
{
    kal_store_be32(lower, table->hot_id);
    kal_store_be16(lower + 4, 0);
    kal_store_be32(upper, table->hot_id);
    kal_store_be16(upper + 4, KAL_SHARD_NONE);
}

kal_bytes kal_row_key(const kal_table *table, uint64_t user_no, kal_bytes primary_key,
                      uint8_t out[KAL_ROW_KEY_BYTES_MAX])
{
    KAL_ASSERT(primary_key.len <= KAL_PRIMARY_KEY_BYTES_MAX);
    kal_row_key_prefix(table, user_no, out);
    if (primary_key.len > 0)
        memcpy(out + KAL_ROW_KEY_PREFIX_BYTES, primary_key.ptr, primary_key.len);
    return kal_bytes_of(out, KAL_ROW_KEY_PREFIX_BYTES + primary_key.len);
}

void kal_row_key_set_space(uint8_t *row_key, uint32_t hot_id)
{
    kal_store_be32(row_key, hot_id);
}

kal_kv_range kal_user_range_of(const kal_table *table, uint64_t user_no, kal_kv_family family,
                               uint32_t number, kal_user_range *bytes_out)
{
    kal_row_key_prefix(table, user_no, bytes_out->lower);
    kal_row_key_set_space(bytes_out->lower, number);
    memcpy(bytes_out->upper, bytes_out->lower, sizeof bytes_out->upper);
    kal_bytes_increment(bytes_out->upper, sizeof bytes_out->upper); /* no number is all ones */
    return (kal_kv_range){.family = family,
                          .lower = kal_bytes_of(bytes_out->lower, sizeof bytes_out->lower),
                          .upper = kal_bytes_of(bytes_out->upper, sizeof bytes_out->upper)};
}

kal_bytes kal_row_key_behind(uint32_t hot_id, kal_bytes cold_key, kal_rest_bound *bytes_out)
{
    KAL_ASSERT(cold_key.len <= KAL_COLD_KEY_BYTES_MAX);
    kal_store_be32(bytes_out->bytes, hot_id);
    memcpy(bytes_out->bytes + 4, cold_key.ptr, cold_key.len);
    bytes_out->bytes[4 + cold_key.len] = 0;
    return kal_bytes_of(bytes_out->bytes, 4 + cold_key.len + 1);
}

/* Narrows the range to rows behind the last one that was moved. */
static void begin_behind_moved(const kal_manifest_head *head, kal_kv_range *range,
                               kal_rest_bound *bytes_out)
{
    kal_bytes first = kal_row_key_behind(head->frozen_hot_id, head->moved_to, bytes_out);

    if (kal_bytes_compare(first, range->lower) > 0)
        range->lower = kal_bytes_compare(first, range->upper) < 0 ? first : range->upper;
}

void kal_hot_range(const kal_manifest *manifest, uint32_t hot_id, kal_kv_range *range,
                   kal_rest_bound *bytes_out)
{
    if (manifest == NULL)
        return;
    range->undeleted = hot_id == manifest->head.active_hot_id || manifest->head.knows_moved;
    if (hot_id == manifest->head.frozen_hot_id && manifest->head.moved_to.len > 0)
        begin_behind_moved(&manifest->head, range, bytes_out);
}

kal_bytes kal_row_key_cold(kal_bytes row_key)
{
    KAL_ASSERT(row_key.len >= KAL_ROW_KEY_PREFIX_BYTES);
    return kal_bytes_of(row_key.ptr + 4, row_key.len - 4);
}

kal_status kal_table_key(const kal_table *table, const kal_value *key_values, kal_buf *key_out,
                         kal_error *err)
{
    size_t before = key_out->len;
    for (uint32_t i = 0; i < table->def->key_column_count; i++) {
        const kal_column *column = &table->def->columns[table->def->key_columns[i]];
        if (key_values[i].is_null)
            return kal_error_set(err, KAL_INVALID, "key column '%.*s' cannot be NULL",
                                 KAL_FMT(column->name));
        kal_key_append(key_out, &key_values[i]);
    }
    if (kal_buf_failed(key_out))
        return kal_error_set(err, KAL_LIMIT, "primary key exceeds the statement's memory");
    if (key_out->len - before > KAL_PRIMARY_KEY_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT,
                             "primary key of %zu bytes exceeds the limit of %d bytes",
                             key_out->len - before, KAL_PRIMARY_KEY_BYTES_MAX);
    return KAL_OK;
}
