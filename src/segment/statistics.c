#include "segment/statistics.h"
#include "base/assert.h"
#include "base/map.h"
#include "types/key.h"
#include "types/widen.h"

#include <stdlib.h>

enum {
    FILTER_HASHES = 7,     /* best at 10 bits per value: 1 in 120 values passes that is not there */
    FILTER_BYTES_MIN = 64, /* a filter of few values costs little and then hardly errs */
    HASHES_MIN = 64,
    /* So many bytes of a value decide its bound: a longer key is cut before them. */
    VALUE_BYTES = KAL_STATISTICS_BOUND_BYTES + 1,
};

/* ---- hashes ---- */

/* The widest type that the value's can become: of equal values after a widening, equal hashes. */
static kal_type canonical_type(kal_type type)
{
    switch (type.tag) {
    case KAL_TYPE_SMALLINT:
    case KAL_TYPE_INT:
        return kal_type_of(KAL_TYPE_BIGINT);
    case KAL_TYPE_FLOAT:
        return kal_type_of(KAL_TYPE_DOUBLE);
    case KAL_TYPE_DATE:
        return kal_type_of(KAL_TYPE_TIMESTAMP);
    default:
        return type; /* DECIMALs of one scale have one form at every precision */
    }
}

static uint64_t hash_value(const kal_value *value, kal_buf *scratch)
{
    kal_value wide;

    kal_value_widen(value, canonical_type(value->type), &wide);
    kal_buf_clear(scratch);
    kal_key_append(scratch, &wide);
    return kal_hash(kal_buf_bytes(scratch));
}

uint64_t kal_condition_hash(const kal_value *value, kal_bytes key)
{
    kal_buf scratch; /* owned; small: what widens has a fixed size */

    if (kal_type_equal(canonical_type(value->type), value->type))
        return kal_hash(key);

    kal_buf_init(&scratch, NULL);
    uint64_t hash = hash_value(value, &scratch);
    kal_buf_release(&scratch);
    return hash;
}

static uint64_t hash_user(uint64_t user_no)
{
    uint8_t bytes[8];
    kal_store_le64(bytes, user_no);
    return kal_hash(kal_bytes_of(bytes, sizeof bytes));
}

/* Distinct hashes, as long as they are few: open addressing, 0 is an empty slot. */
typedef struct hash_set {
    uint64_t *slots; /* owned */
    size_t slot_count;
    size_t count;
    uint64_t last; /* rows are in key order: one value often follows itself */
    bool is_full;  /* too many: there will be no filter */
} hash_set;

static void set_init(hash_set *set)
{
    *set = (hash_set){.slot_count = HASHES_MIN};
    set->slots = calloc(set->slot_count, sizeof *set->slots);
    if (set->slots == NULL)
        kal_die("out of memory: statistics");
}

static void set_release(hash_set *set)
{
    free(set->slots);
    *set = (hash_set){.is_full = true};
}

static void set_insert(hash_set *set, uint64_t hash)
{
    size_t at = hash & (set->slot_count - 1);
    while (set->slots[at] != 0) {
        if (set->slots[at] == hash)
            return;
        at = (at + 1) & (set->slot_count - 1);
    }
    set->slots[at] = hash;
    set->count++;
}

static void set_grow(hash_set *set)
{
    hash_set larger = {.slot_count = 2 * set->slot_count, .last = set->last};

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        kal_die("out of memory: statistics");
    for (size_t i = 0; i < set->slot_count; i++) {
        if (set->slots[i] != 0)
            set_insert(&larger, set->slots[i]);
    }
    free(set->slots);
    *set = larger;
}

static void set_add(hash_set *set, uint64_t hash)
{
    hash += hash == 0; /* the filter does the same */
    if (set->is_full || hash == set->last)
        return;
    set->last = hash;
    set_insert(set, hash);
    if (set->count > KAL_FILTER_VALUES_MAX)
        set_release(set);
    else if (2 * set->count > set->slot_count)
        set_grow(set);
}

/* ---- filters ---- */

/* The i-th bit of a hash among `bits`. */
static uint64_t filter_bit(uint64_t hash, unsigned i, uint64_t bits)
{
    return ((hash & UINT32_MAX) + i * (hash >> 32 | 1)) % bits;
}

static void append_filter(kal_buf *out, const hash_set *set)
{
    size_t bytes = (set->count * KAL_FILTER_BITS_PER_VALUE + 7) / 8;

    if (bytes < FILTER_BYTES_MIN)
        bytes = FILTER_BYTES_MIN;
    kal_buf_append_le32(out, (uint32_t)(1 + bytes));
    kal_buf_append_byte(out, FILTER_HASHES);
    size_t start = out->len;
    for (size_t i = 0; i < bytes; i++)
        kal_buf_append_byte(out, 0);
    for (size_t i = 0; i < set->slot_count; i++) {
        for (unsigned k = 0; set->slots[i] != 0 && k < FILTER_HASHES; k++) {
            uint64_t bit = filter_bit(set->slots[i], k, 8 * (uint64_t)bytes);
            out->ptr[start + bit / 8] |= (uint8_t)(1u << (bit % 8));
        }
    }
}

static bool filter_may_have(kal_bytes filter, uint64_t hash)
{
    if (filter.len < 2)
        return true;
    hash += hash == 0;
    for (unsigned k = 0; k < filter.ptr[0]; k++) {
        uint64_t bit = filter_bit(hash, k, 8 * (uint64_t)(filter.len - 1));
        if ((filter.ptr[1 + bit / 8] >> (bit % 8) & 1) == 0)
            return false;
    }
    return true;
}

/* ---- collecting ---- */

/* A least or greatest value; of one with bytes, the first VALUE_BYTES. */
typedef struct bound {
    kal_value value;
    uint8_t bytes[VALUE_BYTES];
} bound;

typedef struct column_collector {
    uint32_t column_id;
    kal_type type;
    bool has_bounds; /* the type has an order */
    bool has_value;
    bool has_filter;
    uint32_t null_count;
    bound least;
    bound greatest;
    hash_set hashes; /* owned if has_filter */
} column_collector;

struct kal_statistics_collector {
    uint64_t row_count;
    hash_set users;
    kal_buf scratch; /* owned */
    size_t column_count;
    column_collector columns[];
};

static bool has_order(kal_type type)
{
    return type.tag != KAL_TYPE_JSON && type.tag != KAL_TYPE_FILE && type.tag != KAL_TYPE_EMBEDDING;
}

kal_statistics_collector *kal_statistics_open(const kal_table_definition *def)
{
    size_t count = def->column_count;
    size_t filters = 0;

    if (count > KAL_STATISTICS_COLUMNS_MAX)
        count = KAL_STATISTICS_COLUMNS_MAX;
    kal_statistics_collector *c = calloc(1, sizeof *c + count * sizeof c->columns[0]);
    if (c == NULL)
        kal_die("out of memory: statistics");
    c->column_count = count;
    kal_buf_init(&c->scratch, NULL);
    set_init(&c->users);
    for (size_t i = 0; i < count; i++) {
        const kal_column *column = &def->columns[i];
        column_collector *to = &c->columns[i];
        to->column_id = column->column_id;
        to->type = column->type;
        to->has_bounds = has_order(column->type);
        to->has_filter = (column->is_primary_key || column->is_partition_key) && to->has_bounds &&
                         filters < KAL_STATISTICS_FILTERS_MAX;
        filters += to->has_filter;
        if (to->has_filter)
            set_init(&to->hashes);
    }
    return c;
}

void kal_statistics_close(kal_statistics_collector *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->column_count; i++)
        set_release(&c->columns[i].hashes);
    set_release(&c->users);
    kal_buf_release(&c->scratch);
    free(c);
}

static void keep_bound(bound *to, const kal_value *value)
{
    to->value = *value;
    if (!kal_type_is_bytes(value->type))
        return;
    if (to->value.bytes.len > 0)
        memcpy(to->bytes, value->bytes.ptr, to->value.bytes.len);
    to->value.bytes.ptr = to->bytes;
}

static void add_value(kal_statistics_collector *c, column_collector *column, const kal_value *value)
{
    kal_value v = *value;

    if (v.is_null) {
        column->null_count++;
        return;
    }
    if (column->has_filter && !column->hashes.is_full)
        set_add(&column->hashes, hash_value(value, &c->scratch));
    if (!column->has_bounds)
        return;
    if (kal_type_is_bytes(v.type) && v.bytes.len > VALUE_BYTES)
        v.bytes.len = VALUE_BYTES; /* what comes after does not change the bound */
    if (!column->has_value || kal_value_compare(&v, &column->least.value) < 0)
        keep_bound(&column->least, &v);
    if (!column->has_value || kal_value_compare(&v, &column->greatest.value) > 0)
        keep_bound(&column->greatest, &v);
    column->has_value = true;
}

void kal_statistics_add(kal_statistics_collector *c, uint64_t user_no, const kal_value *values)
{
    c->row_count++;
    set_add(&c->users, hash_user(user_no));
    for (size_t i = 0; i < c->column_count; i++)
        add_value(c, &c->columns[i], &values[i]);
}

/* The smallest bytes above all that begin with these; false: there are none. */
static bool to_prefix_end(kal_buf *key)
{
    while (key->len > 0 && key->ptr[key->len - 1] == 0xff)
        kal_buf_truncate(key, key->len - 1);
    if (key->len == 0)
        return false;
    key->ptr[key->len - 1]++;
    return true;
}

static void append_bound(kal_statistics_collector *c, const bound *of, bool is_upper, kal_buf *out)
{
    kal_buf *key = &c->scratch;

    kal_buf_clear(key);
    kal_key_append(key, &of->value);
    if (key->len > KAL_STATISTICS_BOUND_BYTES) {
        kal_buf_truncate(key, KAL_STATISTICS_BOUND_BYTES);
        if (is_upper && !to_prefix_end(key))
            kal_buf_clear(key);
    }
    kal_buf_append_text(out, kal_buf_bytes(key));
}

/* "Where they repeat": another filter would say little that the key's own index does not. */
static bool repeats(const kal_statistics_collector *c, const hash_set *set)
{
    return !set->is_full && set->count > 1 && 2 * set->count <= c->row_count;
}

kal_bytes kal_statistics_encode(kal_statistics_collector *c, kal_arena *arena)
{
    const kal_bytes none = {0};
    kal_buf out; /* owned */

    kal_buf_init(&out, NULL);
    kal_buf_append_byte(&out, KAL_STATISTICS_VERSION);
    if (c->users.is_full || c->users.count <= 1) /* one: then it is both bounds in the manifest */
        kal_buf_append_text(&out, none);
    else
        append_filter(&out, &c->users);
    kal_buf_append_le32(&out, (uint32_t)c->column_count);
    for (size_t i = 0; i < c->column_count; i++) {
        const column_collector *column = &c->columns[i];
        kal_buf_append_le32(&out, column->column_id);
        kal_type_encode(column->type, &out);
        kal_buf_append_le32(&out, column->null_count);
        if (column->has_value) {
            append_bound(c, &column->least, false, &out);
            append_bound(c, &column->greatest, true, &out);
        } else {
            kal_buf_append_text(&out, none);
            kal_buf_append_text(&out, none);
        }
        if (column->has_filter && repeats(c, &column->hashes))
            append_filter(&out, &column->hashes);
        else
            kal_buf_append_text(&out, none);
    }
    kal_bytes copy = kal_arena_copy(arena, kal_buf_bytes(&out));
    kal_buf_release(&out);
    return copy;
}

/* ---- reading ---- */

bool kal_statistics_read(kal_bytes statistics, kal_statistics_reader *reader_out)
{
    kal_statistics_reader reader = {.rest = statistics};
    uint8_t version = 0;

    if (!kal_bytes_take_u8(&reader.rest, &version) || version != KAL_STATISTICS_VERSION ||
        !kal_bytes_take_text(&reader.rest, &reader.user_filter) ||
        !kal_bytes_take_le32(&reader.rest, &reader.columns_left))
        return false;
    *reader_out = reader;
    return true;
}

bool kal_statistics_next(kal_statistics_reader *reader, kal_column_statistics *out)
{
    if (reader->columns_left == 0)
        return false;
    reader->columns_left--;
    if (kal_bytes_take_le32(&reader->rest, &out->column_id) &&
        kal_type_decode(&reader->rest, &out->type, NULL) == KAL_OK &&
        kal_bytes_take_le32(&reader->rest, &out->null_count) &&
        kal_bytes_take_text(&reader->rest, &out->least) &&
        kal_bytes_take_text(&reader->rest, &out->greatest) &&
        kal_bytes_take_text(&reader->rest, &out->filter))
        return true;
    reader->columns_left = 0;
    return false;
}

static bool find_column(kal_bytes statistics, uint32_t column_id, kal_column_statistics *out)
{
    kal_statistics_reader reader;

    if (!kal_statistics_read(statistics, &reader))
        return false;
    while (kal_statistics_next(&reader, out)) {
        if (out->column_id == column_id)
            return true;
    }
    return false;
}

bool kal_statistics_may_have_user(const kal_segment_info *info, uint64_t user_no)
{
    kal_statistics_reader reader;

    if (!kal_statistics_read(info->statistics, &reader))
        return true;
    return filter_may_have(reader.user_filter, hash_user(user_no));
}

/* ---- conditions ---- */

/* The bound as a key of the column's type of today. False: it cannot be said. */
static bool widen_bound(kal_bytes *of, kal_type from, kal_type to, kal_buf *room)
{
    kal_value value;

    if (of->len == 0 || kal_type_equal(from, to))
        return true;
    if (!kal_type_widens(from, to) || kal_type_is_bytes(from) ||
        kal_key_decode(of, from, NULL, &value, NULL) != KAL_OK || of->len > 0)
        return false;
    kal_value_widen(&value, to, &value);
    kal_key_append(room, &value);
    *of = kal_buf_bytes(room);
    return true;
}

static bool may_be_equal(const kal_column_statistics *column, kal_bytes least, kal_bytes greatest,
                         const kal_condition *c)
{
    for (size_t i = 0; i < c->key_count; i++) {
        if (kal_bytes_compare(c->keys[i], least) >= 0 &&
            (greatest.len == 0 || kal_bytes_compare(c->keys[i], greatest) <= 0) &&
            filter_may_have(column->filter, c->hashes[i]))
            return true;
    }
    return false;
}

static bool may_be_between(kal_bytes least, kal_bytes greatest, const kal_condition *c)
{
    if (c->lower.len > 0 && greatest.len > 0) {
        int order = kal_bytes_compare(greatest, c->lower);
        if (order < 0 || (order == 0 && c->lower_excluded))
            return false;
    }
    if (c->upper.len > 0) {
        int order = kal_bytes_compare(least, c->upper);
        if (order > 0 || (order == 0 && c->upper_excluded))
            return false;
    }
    return true;
}

static bool may_meet(const kal_segment_info *info, const kal_condition *c)
{
    kal_column_statistics column;
    kal_buf rooms[2]; /* owned */

    if (!find_column(info->statistics, c->column_id, &column))
        return true;
    if (c->kind == KAL_CONDITION_NULL)
        return column.null_count > 0;
    if (column.null_count >= info->row_count)
        return false; /* NULL meets no other condition */
    if (c->kind == KAL_CONDITION_NOT_NULL || column.least.len == 0)
        return true;
    kal_buf_init(&rooms[0], NULL);
    kal_buf_init(&rooms[1], NULL);
    kal_bytes least = column.least;
    kal_bytes greatest = column.greatest;
    bool may = true;
    if (widen_bound(&least, column.type, c->type, &rooms[0]) &&
        widen_bound(&greatest, column.type, c->type, &rooms[1]))
        may = c->kind == KAL_CONDITION_IN ? may_be_equal(&column, least, greatest, c)
                                          : may_be_between(least, greatest, c);
    kal_buf_release(&rooms[0]);
    kal_buf_release(&rooms[1]);
    return may;
}

bool kal_statistics_may_meet(const kal_segment_info *info, const kal_conditions *conditions)
{
    for (size_t i = 0; i < conditions->count; i++) {
        if (!may_meet(info, &conditions->items[i]))
            return false;
    }
    return true;
}
