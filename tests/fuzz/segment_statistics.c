/*
 * segment_statistics.c: any bytes as what a manifest says of a segment's columns. Conditions of
 * every kind on every column that can be read, and on one that cannot, are answered; what is read
 * lies within the bytes.
 */
#include "base/assert.h"
#include "segment/statistics.h"
#include "types/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const kal_segment_info *info, uint32_t column_id, kal_type type)
{
    const kal_value value = kal_value_bigint(7);
    const kal_bytes key = KAL_STR("\200\000\000\000\000\000\000\007");
    const uint64_t hash = kal_condition_hash(&value, key);
    for (int kind = KAL_CONDITION_BETWEEN; kind <= KAL_CONDITION_NOT_NULL; kind++) {
        const kal_condition condition = {
            .kind = (kal_condition_kind)kind,
            .column_id = column_id,
            .type = type,
            .lower = key,
            .upper = key,
            .keys = &key,
            .hashes = &hash,
            .key_count = 1,
        };
        const kal_conditions conditions = {&condition, 1};
        bool may = kal_statistics_may_meet(info, &conditions);
        KAL_ASSERT(may == kal_statistics_may_meet(info, &conditions));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kal_segment_info info = {.row_count = 100, .statistics = kal_bytes_of(data, size)};
    kal_statistics_reader reader;
    kal_column_statistics column;

    bool known = kal_statistics_read(info.statistics, &reader);
    KAL_ASSERT(known || kal_statistics_may_have_user(&info, 1));
    (void)kal_statistics_may_have_user(&info, 1);
    ask(&info, 1, kal_type_of(KAL_TYPE_BIGINT));
    for (int i = 0; i < 64 && known && kal_statistics_next(&reader, &column); i++) {
        KAL_ASSERT(column.filter.len <= size && reader.rest.len <= size);
        ask(&info, column.column_id, column.type);
        ask(&info, column.column_id, kal_type_of(KAL_TYPE_BIGINT));
        ask(&info, column.column_id, kal_type_of(KAL_TYPE_TIMESTAMP));
    }
    return 0;
}
