/*
 * row.c: the compact row codec.
 *
 * Encoding measures first, reserves once and then stores at known addresses. Reading is split: all
 * checks stand in kal_row_open(), once a row; kal_row_get() is a few loads and one switch, without
 * a loop, whatever the column.
 */
#include "types/row.h"
#include "base/assert.h"
#include "types/widen.h"

#define ROW_BYTES_MAX ((size_t)1 << 31)
#define OFFSET_MASK   0x7FFFFFFFu /* of kal_row_column.offset: far more than columns can take */

static size_t count_variable(const kal_type *types, size_t count)
{
    size_t variable = 0;
    for (size_t i = 0; i < count; i++)
        variable += kal_type_fixed_bytes(types[i]) == 0;
    return variable;
}

void kal_row_layout_init(kal_row_layout *layout, const kal_type *types, size_t count,
                         kal_arena *arena)
{
    KAL_ASSERT(count <= UINT32_MAX / 16); /* so that offsets fit */
    *layout = (kal_row_layout){.column_count = (uint32_t)count,
                               .bitmap_bytes = (uint32_t)((count + 7) / 8)};
    layout->columns = kal_arena_alloc(arena, count * sizeof *layout->columns);
    layout->variables =
        kal_arena_alloc(arena, count_variable(types, count) * sizeof *layout->variables);
    for (uint32_t i = 0; i < count; i++) {
        KAL_ASSERT(kal_type_valid(types[i]));
        kal_row_column *column = &layout->columns[i];
        size_t fixed_bytes = kal_type_fixed_bytes(types[i]);
        column->type = types[i];
        column->is_variable = fixed_bytes == 0;
        if (column->is_variable) {
            column->offset = layout->variable_count & OFFSET_MASK;
            layout->variables[layout->variable_count++] =
                (kal_row_variable){.column = i, .bytes = types[i].dim * (uint32_t)sizeof(float)};
        } else {
            column->offset = layout->fixed_bytes & OFFSET_MASK;
            layout->fixed_bytes += (uint32_t)fixed_bytes;
        }
    }
}

/* Everything before the variable bytes. */
static size_t head_bytes(const kal_row_layout *layout)
{
    return KAL_ROW_HEADER_BYTES + (size_t)layout->bitmap_bytes + layout->fixed_bytes +
           (size_t)layout->variable_count * sizeof(uint32_t);
}

/* The whole row's length; false when it overflows. */
static bool measure(const kal_row_layout *layout, const kal_value *values, size_t *bytes_out)
{
    size_t bytes = head_bytes(layout);
    for (uint32_t k = 0; k < layout->variable_count; k++) {
        const kal_value *v = &values[layout->variables[k].column];
        if (!v->is_null && !kal_try_add(bytes, v->bytes.len, &bytes))
            return false;
    }
    *bytes_out = bytes;
    return true;
}

static void store_fixed(uint8_t *p, const kal_value *v)
{
    switch (v->type.tag) {
    case KAL_TYPE_BOOLEAN:
        *p = v->boolean ? 1 : 0;
        break;
    case KAL_TYPE_SMALLINT:
        kal_store_le16(p, (uint16_t)v->integer);
        break;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        kal_store_le32(p, (uint32_t)v->integer);
        break;
    case KAL_TYPE_DOUBLE:
        memcpy(p, &v->f64, sizeof v->f64);
        break;
    case KAL_TYPE_FLOAT:
        memcpy(p, &v->f32, sizeof v->f32);
        break;
    case KAL_TYPE_DECIMAL:
        memcpy(p, &v->decimal, sizeof v->decimal);
        break;
    case KAL_TYPE_UUID:
        KAL_ASSERT(v->bytes.len == 16);
        memcpy(p, v->bytes.ptr, 16);
        break;
    default: /* BIGINT, TIMESTAMP, DATETIME, TIME */
        kal_store_le64(p, (uint64_t)v->integer);
        break;
    }
}

/* Fills a row of the measured length at p. */
static void store_row(const kal_row_layout *layout, const kal_value *values, uint8_t *p)
{
    uint8_t *nulls = p + KAL_ROW_HEADER_BYTES;
    uint8_t *fixed = nulls + layout->bitmap_bytes;
    uint8_t *ends = fixed + layout->fixed_bytes;
    uint8_t *variable = p + head_bytes(layout);
    uint32_t end = 0;

    memset(nulls, 0, (size_t)(ends - nulls));
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const kal_row_column *column = &layout->columns[i];
        const kal_value *v = &values[i];
        if (v->is_null) {
            nulls[i / 8] = (uint8_t)(nulls[i / 8] | 1u << i % 8);
        } else {
            KAL_ASSERT(kal_type_equal(v->type, column->type));
            if (!column->is_variable) {
                store_fixed(fixed + column->offset, v);
            } else if (v->bytes.len > 0) {
                memcpy(variable + end, v->bytes.ptr, v->bytes.len);
                end += (uint32_t)v->bytes.len;
            }
        }
        if (column->is_variable)
            kal_store_le32(ends + (size_t)column->offset * sizeof(uint32_t), end);
    }
}

kal_status kal_row_encode(const kal_row_layout *layout, uint32_t schema_version, uint64_t seq,
                          const kal_value *values, kal_buf *out, kal_error *err)
{
    size_t bytes = 0;

    if (!measure(layout, values, &bytes))
        return kal_error_set(err, KAL_LIMIT, "row exceeds the limit of %zu bytes", ROW_BYTES_MAX);
    if (bytes > ROW_BYTES_MAX)
        return kal_error_set(err, KAL_LIMIT, "row of %zu bytes exceeds the limit of %zu bytes",
                             bytes, ROW_BYTES_MAX);
    if (!kal_buf_reserve(out, bytes))
        return kal_error_set(err, KAL_LIMIT, "row of %zu bytes exceeds the memory limit", bytes);
    uint8_t *row = out->ptr + out->len;
    kal_store_le32(row, schema_version);
    kal_row_set_seq(row, seq);
    store_row(layout, values, row);
    out->len += bytes;
    return KAL_OK;
}

void kal_row_set_seq(uint8_t *row_bytes, uint64_t seq)
{
    kal_store_le64(row_bytes + sizeof(uint32_t), seq);
}

kal_status kal_row_peek(kal_bytes bytes, uint32_t *schema_version_out, uint64_t *seq_out,
                        kal_error *err)
{
    *schema_version_out = 0;
    *seq_out = 0;
    if (bytes.len < KAL_ROW_HEADER_BYTES)
        return kal_error_set(err, KAL_CORRUPT, "stored row of %zu bytes is cut short", bytes.len);
    *schema_version_out = kal_load_le32(bytes.ptr);
    *seq_out = kal_load_le64(bytes.ptr + sizeof(uint32_t));
    return KAL_OK;
}

static inline bool is_null_at(const uint8_t *nulls, size_t i)
{
    return (nulls[i / 8] >> i % 8 & 1) != 0;
}

static kal_status check_variables(const kal_row *row, size_t variable_bytes, kal_error *err)
{
    const kal_row_layout *layout = row->layout;
    uint32_t start = 0;
    for (uint32_t k = 0; k < layout->variable_count; k++) {
        const kal_row_variable *variable = &layout->variables[k];
        uint32_t end = kal_load_le32(row->ends + (size_t)k * sizeof(uint32_t));
        if (end < start || end > variable_bytes)
            return kal_error_set(err, KAL_CORRUPT, "stored row: column %u ends at %u of %zu bytes",
                                 variable->column, end, variable_bytes);
        uint32_t len = end - start;
        bool null = is_null_at(row->nulls, variable->column);
        if (null ? len != 0 : variable->bytes != 0 && len != variable->bytes)
            return kal_error_set(err, KAL_CORRUPT, "stored row: column %u has %u bytes",
                                 variable->column, len);
        start = end;
    }
    if (start != variable_bytes)
        return kal_error_set(err, KAL_CORRUPT, "stored row: %zu bytes behind its last column",
                             variable_bytes - start);
    return KAL_OK;
}

kal_status kal_row_open(const kal_row_layout *layout, kal_bytes bytes, kal_row *row_out,
                        kal_error *err)
{
    size_t head = head_bytes(layout);

    *row_out = (kal_row){.layout = layout};
    KAL_TRY(kal_row_peek(bytes, &row_out->schema_version, &row_out->seq, err));
    if (bytes.len < head)
        return kal_error_set(err, KAL_CORRUPT, "stored row of %zu bytes is cut short", bytes.len);
    row_out->nulls = bytes.ptr + KAL_ROW_HEADER_BYTES;
    row_out->fixed = row_out->nulls + layout->bitmap_bytes;
    row_out->ends = row_out->fixed + layout->fixed_bytes;
    row_out->variable = bytes.ptr + head;
    /* Bits behind the last column mean a row of another layout. */
    if (layout->column_count % 8 != 0 &&
        row_out->nulls[layout->bitmap_bytes - 1] >> layout->column_count % 8 != 0)
        return kal_error_set(err, KAL_CORRUPT, "stored row: null bits behind its last column");
    return check_variables(row_out, bytes.len - head, err);
}

kal_status kal_row_open_projected(const kal_row_projection *projection, kal_bytes bytes,
                                  kal_row *row_out, kal_error *err)
{
    KAL_TRY(kal_row_open(&projection->layout, bytes, row_out, err));
    row_out->projection = projection;
    return KAL_OK;
}

static inline kal_bytes variable_at(const kal_row *row, uint32_t k)
{
    const uint8_t *end_at = row->ends + (size_t)k * sizeof(uint32_t);
    uint32_t start = k == 0 ? 0 : kal_load_le32(end_at - sizeof(uint32_t));
    return kal_bytes_of(row->variable + start, kal_load_le32(end_at) - start);
}

/* Column i of the layout that the row was written with. */
static inline void get_stored(const kal_row *row, size_t i, kal_value *value_out)
{
    KAL_ASSERT(i < row->layout->column_count);
    const kal_row_column *column = &row->layout->columns[i];
    const uint8_t *p = row->fixed + column->offset;

    value_out->type = column->type;
    value_out->is_null = is_null_at(row->nulls, i);
    if (value_out->is_null)
        return;
    switch (column->type.tag) {
    case KAL_TYPE_BOOLEAN:
        value_out->boolean = *p != 0;
        break;
    case KAL_TYPE_SMALLINT:
        value_out->integer = (int16_t)kal_load_le16(p);
        break;
    case KAL_TYPE_INT:
    case KAL_TYPE_DATE:
        value_out->integer = (int32_t)kal_load_le32(p);
        break;
    case KAL_TYPE_BIGINT:
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
    case KAL_TYPE_TIME:
        value_out->integer = (int64_t)kal_load_le64(p);
        break;
    case KAL_TYPE_DOUBLE:
        memcpy(&value_out->f64, p, sizeof value_out->f64);
        break;
    case KAL_TYPE_FLOAT:
        memcpy(&value_out->f32, p, sizeof value_out->f32);
        break;
    case KAL_TYPE_DECIMAL:
        memcpy(&value_out->decimal, p, sizeof value_out->decimal);
        break;
    case KAL_TYPE_UUID:
        value_out->bytes = kal_bytes_of(p, 16);
        break;
    default:
        value_out->bytes = variable_at(row, column->offset);
        break;
    }
}

static void get_projected(const kal_row *row, size_t i, kal_value *value_out)
{
    KAL_ASSERT(i < row->projection->column_count);
    const kal_row_source *source = &row->projection->sources[i];

    if (source->column == KAL_ROW_NO_COLUMN) {
        *value_out = source->initial != NULL ? *source->initial : kal_value_null(source->type);
        return;
    }
    get_stored(row, source->column, value_out);
    kal_value_widen(value_out, source->type, value_out);
}

void kal_row_get(const kal_row *row, size_t i, kal_value *value_out)
{
    if (KAL_UNLIKELY(row->values != NULL))
        *value_out = row->values[i];
    else if (KAL_LIKELY(row->projection == NULL))
        get_stored(row, i, value_out);
    else
        get_projected(row, i, value_out);
}
