#include "segment/cold_scan.h"
#include "base/assert.h"
#include "segment/columns.h"
#include "types/key.h"

#include <stdlib.h>

enum { BATCH_ROWS = 2048, BATCH_VALUES_MAX = 64 * 1024 };

/* Where a column of the table comes from in what the open segment's reader gives. */
typedef struct column_place {
    uint32_t read_column; /* KAL_ROW_NO_COLUMN: initial */
    const kal_value *initial;
} column_place;

struct kal_cold_scan {
    kal_cold_scan_args args;
    size_t next_segment;
    bool keys;      /* are computed */
    bool by_chunks; /* kal_cold_scan_next_chunk() alone is called */
    bool has_seq;   /* _seq is read */
    kal_value *row; /* owned: one per column of the table */
    kal_buf key;    /* owned */

    /* the open segment */
    kal_segment *segment;       /* borrowed from the manifest */
    kal_segment_reader *reader; /* owned */
    kal_dead_rows *dead;        /* owned reference */
    kal_arena arena;            /* owns the rest */
    column_place *places;       /* one per column of the table */
    size_t read_count;          /* columns that are read */
    size_t batch_rows;          /* at most at a time */
    kal_value *batch;           /* arena; NULL before the first one */
    uint64_t row_numbers[BATCH_ROWS];
    size_t batch_len;
    size_t batch_at;

    /* the chunk at hand */
    kal_arena chunk_arena;
    uint32_t live[KAL_ENGINE_CHUNK_ROWS]; /* which of its rows are wanted */
};

static bool is_wanted(const kal_cold_scan *scan, uint32_t column)
{
    const uint64_t *bits = scan->args.wanted;
    if (bits == NULL || (bits[column / 64] >> (column % 64) & 1) != 0)
        return true;
    return scan->keys && scan->args.table->def->columns[column].is_primary_key;
}

static bool is_candidate(const kal_cold_scan_args *args, const kal_segment *segment)
{
    if (args->segment_id != 0 && segment->info.segment_id != args->segment_id)
        return false;
    return kal_segment_may_hold(segment, args->all_users, args->user_no, args->lower,
                                args->upper) &&
           kal_statistics_may_meet(&segment->info, &args->conditions);
}

bool kal_cold_scan_may_find(const kal_cold_scan_args *args)
{
    for (size_t i = 0; args->manifest != NULL && i < args->manifest->segment_count; i++) {
        if (is_candidate(args, args->manifest->segments[i]))
            return true;
    }
    return false;
}

kal_cold_scan *kal_cold_scan_open(const kal_cold_scan_args *args)
{
    kal_cold_scan *scan = calloc(1, sizeof *scan);
    if (scan == NULL)
        kal_die("out of memory: scan");
    scan->args = *args;
    scan->keys = args->wants_keys || args->lower.len > 0 || args->upper.len > 0;
    scan->by_chunks = args->by_chunks && !scan->keys;
    scan->has_seq = !(scan->by_chunks && args->no_seq);
    scan->row = calloc(args->table->def->column_count + 1, sizeof *scan->row);
    if (scan->row == NULL)
        kal_die("out of memory: scan");
    kal_buf_init(&scan->key, NULL);
    kal_arena_init(&scan->arena, NULL);
    kal_arena_init(&scan->chunk_arena, NULL);
    return scan;
}

static void close_segment(kal_cold_scan *scan)
{
    if (scan->reader != NULL)
        scan->reader->backend->ops->reader_close(scan->reader);
    scan->reader = NULL;
    kal_dead_rows_release(scan->dead);
    scan->dead = NULL;
    kal_arena_reset(&scan->arena);
    scan->batch_len = 0;
    scan->batch_at = 0;
}

void kal_cold_scan_close(kal_cold_scan *scan)
{
    if (scan == NULL)
        return;
    close_segment(scan);
    kal_arena_release(&scan->arena);
    kal_arena_release(&scan->chunk_arena);
    kal_buf_release(&scan->key);
    free(scan->row);
    free(scan);
}

/* ---- opening a segment ---- */

/* The columns to be read, _user_no and _seq first. */
static kal_status plan_columns(kal_cold_scan *scan, const kal_table_definition *file_def,
                               const kal_parquet_column *columns,
                               kal_parquet_read_column **read_out, kal_error *err)
{
    const kal_table_definition *def = scan->args.table->def;
    kal_segment_column_source *sources = NULL;
    kal_parquet_read_column *read = kal_arena_alloc(
        &scan->arena, (KAL_SEGMENT_HIDDEN_COUNT + def->column_count) * sizeof *read);

    KAL_TRY(kal_segment_sources(scan->args.table, file_def, &scan->arena, &sources, err));
    scan->read_count = scan->has_seq ? KAL_SEGMENT_HIDDEN_COUNT : KAL_SEGMENT_SEQ_COLUMN;
    for (size_t i = 0; i < scan->read_count; i++)
        read[i] = (kal_parquet_read_column){columns[i].name, columns[i].type, columns[i].type};
    scan->places = kal_arena_alloc(&scan->arena, def->column_count * sizeof *scan->places);
    for (uint32_t i = 0; i < def->column_count; i++) {
        uint32_t at = sources[i].file_column;
        scan->places[i] = (column_place){KAL_ROW_NO_COLUMN, NULL};
        if (!is_wanted(scan, i))
            continue;
        scan->places[i].initial = sources[i].initial;
        if (at == KAL_ROW_NO_COLUMN)
            continue;
        scan->places[i].read_column = (uint32_t)scan->read_count;
        read[scan->read_count++] =
            (kal_parquet_read_column){columns[at].name, columns[at].type, def->columns[i].type};
    }
    *read_out = read;
    return KAL_OK;
}

/* Whether the file has the key column as today's, so that it may be compared with its bounds. */
static bool has_key_column(const kal_cold_scan *scan, const kal_table_definition *file_def,
                           uint32_t at)
{
    const kal_table_definition *def = scan->args.table->def;

    if (at >= def->key_column_count || at >= file_def->key_column_count)
        return false;
    const kal_column *now = &def->columns[def->key_columns[at]];
    const kal_column *then = &file_def->columns[file_def->key_columns[at]];
    return now->column_id == then->column_id && kal_type_equal(now->type, then->type);
}

/* The next value of a bound of keys, which is moved behind it; false: there is no whole one. */
static bool next_of_bound(kal_cold_scan *scan, kal_type type, kal_bytes *bound, kal_value *out)
{
    return bound->len > 0 && kal_key_decode(bound, type, &scan->arena, out, NULL) == KAL_OK;
}

/* Bounds of the key columns, as far as the bounds of keys begin with whole values of them: of the
 * first, and as long as both have the same value, of the next one. Wider than the bounds of keys:
 * rows are compared again. */
static size_t add_bounds(kal_cold_scan *scan, const kal_table_definition *file_def,
                         kal_parquet_filter *filters, size_t count)
{
    const kal_table_definition *def = scan->args.table->def;
    kal_bytes lower = scan->args.lower;
    kal_bytes upper = scan->args.upper;
    bool same = true;

    for (uint32_t i = 0; same && has_key_column(scan, file_def, i); i++) {
        kal_type type = def->columns[def->key_columns[i]].type;
        kal_bytes name = file_def->columns[file_def->key_columns[i]].name;
        kal_bytes from = lower;
        kal_bytes to = upper;
        kal_value value;
        bool has_lower = next_of_bound(scan, type, &lower, &value);
        if (has_lower)
            filters[count++] = (kal_parquet_filter){name, KAL_PARQUET_GE, value};
        bool has_upper = next_of_bound(scan, type, &upper, &value);
        if (has_upper)
            filters[count++] = (kal_parquet_filter){name, KAL_PARQUET_LE, value};
        same = has_lower && has_upper &&
               kal_bytes_equal(kal_bytes_of(from.ptr, from.len - lower.len),
                               kal_bytes_of(to.ptr, to.len - upper.len));
    }
    return count;
}

static size_t plan_filters(kal_cold_scan *scan, const kal_table_definition *file_def,
                           const kal_parquet_column *columns, kal_parquet_filter **filters_out)
{
    const kal_segment_info *info = &scan->segment->info;
    uint64_t user_no = scan->args.user_no;
    size_t count = 0;

    *filters_out = kal_arena_alloc(&scan->arena, (1 + 2 * scan->args.table->def->key_column_count) *
                                                     sizeof **filters_out);
    if (!scan->args.all_users && !(info->user_min == user_no && info->user_max == user_no))
        (*filters_out)[count++] =
            (kal_parquet_filter){columns[KAL_SEGMENT_USER_COLUMN].name, KAL_PARQUET_EQ,
                                 kal_value_bigint((int64_t)user_no)};
    return add_bounds(scan, file_def, *filters_out, count);
}

static kal_status open_segment(kal_cold_scan *scan, kal_segment *segment, kal_error *err)
{
    const kal_cold_scan_args *a = &scan->args;
    const kal_segment_info *info = &segment->info;
    const kal_segment_place place = {info->storage_id, info->object};
    const kal_segment_written expected = {info->row_count, info->size_bytes, info->checksum};
    const kal_table_definition *def = a->table->def;
    kal_table_definition *older = NULL;
    kal_parquet_filter *filters = NULL;
    kal_parquet_read_column *read = NULL;
    size_t count = 0;

    scan->segment = segment;
    if (info->schema_version != def->schema_version) {
        KAL_TRY(kal_catalog_table_version(a->table->catalog, a->snapshot, def->table_id,
                                          info->schema_version, &scan->arena, &older, err));
        def = older;
    }
    if (!a->dead_too)
        KAL_TRY(kal_dead_rows_get(a->kv, a->snapshot, segment, &scan->dead, err));
    const kal_parquet_column *columns = kal_segment_columns(def, &scan->arena, &count);
    KAL_TRY(plan_columns(scan, def, columns, &read, err));
    size_t filter_count = plan_filters(scan, def, columns, &filters);
    kal_parquet_scan_args args = {
        .columns = read,
        .column_count = scan->read_count,
        .filters = filters,
        .filter_count = filter_count,
        .no_row_numbers = scan->by_chunks && scan->dead == NULL,
        .few_rows = a->few_rows,
        .check = a->check,
        .check_context = a->check_context,
        .budget = a->budget,
    };
    scan->batch_rows = BATCH_VALUES_MAX / scan->read_count;
    if (scan->batch_rows > BATCH_ROWS)
        scan->batch_rows = BATCH_ROWS;
    if (scan->batch_rows > info->row_count)
        scan->batch_rows = info->row_count;
    if (scan->batch_rows == 0 || a->few_rows)
        scan->batch_rows = 1;
    scan->batch = NULL;
    return a->backend->ops->open(a->backend, &place, &expected, &args, &scan->reader, err);
}

/* KAL_END: there are no more. */
static kal_status open_next(kal_cold_scan *scan, kal_error *err)
{
    const kal_manifest *manifest = scan->args.manifest;

    while (scan->next_segment < manifest->segment_count) {
        kal_segment *segment = manifest->segments[scan->next_segment++];
        if (!is_candidate(&scan->args, segment))
            continue;
        kal_status status = open_segment(scan, segment, err);
        /* The records of a version that a segment names are never deleted before the segment. */
        if (status == KAL_NOT_FOUND)
            status = kal_error_set(err, KAL_CORRUPT, "segment '%.*s' has an unknown version",
                                   KAL_FMT(segment->info.object));
        return status;
    }
    return KAL_END;
}

/* ---- rows ---- */

static kal_status fetch_batch(kal_cold_scan *scan, kal_error *err)
{
    scan->batch_at = 0;
    scan->batch_len = 0;
    if (scan->batch == NULL) /* a scan by chunks needs none */
        scan->batch =
            kal_arena_alloc(&scan->arena, scan->batch_rows * scan->read_count * sizeof(kal_value));
    KAL_TRY(scan->reader->backend->ops->next(scan->reader, scan->batch_rows, scan->batch,
                                             scan->row_numbers, &scan->batch_len, err));
    if (scan->batch_len == 0)
        close_segment(scan);
    return KAL_OK;
}

static void compute_key(kal_cold_scan *scan, uint64_t user_no)
{
    const kal_table *table = scan->args.table;
    bool shared = table->def->table_type == KAL_TABLE_SHARED;

    kal_buf_clear(&scan->key);
    kal_buf_append_be16(&scan->key, shared ? table->shard : kal_shard_of_user(user_no));
    kal_buf_append_be64(&scan->key, user_no);
    for (uint32_t i = 0; i < table->def->key_column_count; i++)
        kal_key_append(&scan->key, &scan->row[table->def->key_columns[i]]);
}

static bool is_in_bounds(const kal_cold_scan *scan)
{
    kal_bytes primary = kal_bytes_of(scan->key.ptr + KAL_COLD_KEY_PREFIX_BYTES,
                                     scan->key.len - KAL_COLD_KEY_PREFIX_BYTES);
    if (kal_bytes_compare(primary, scan->args.lower) < 0)
        return false;
    return scan->args.upper.len == 0 || kal_bytes_compare(primary, scan->args.upper) < 0;
}

/* A column of the table, of a row as the reader gives it. */
static kal_value column_of(const kal_cold_scan *scan, const kal_value *given, uint32_t column)
{
    const column_place *place = &scan->places[column];
    if (place->read_column != KAL_ROW_NO_COLUMN)
        return given[place->read_column];
    return place->initial != NULL ? *place->initial
                                  : kal_value_null(scan->args.table->def->columns[column].type);
}

static void fill_row(kal_cold_scan *scan, const kal_value *given)
{
    for (uint32_t i = 0; i < scan->args.table->def->column_count; i++)
        scan->row[i] = column_of(scan, given, i);
}

static kal_status wrong_file(const kal_cold_scan *scan, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "segment '%.*s' is not what was written",
                         KAL_FMT(scan->segment->info.object));
}

/* Whether the row of the batch is alive. KAL_CORRUPT also when it is somebody else's: the filter
 * lets nobody else's through. */
static kal_status is_live(const kal_cold_scan *scan, size_t at, bool *out, kal_error *err)
{
    const kal_value *given = scan->batch + at * scan->read_count;
    const kal_value *user = &given[KAL_SEGMENT_USER_COLUMN];
    uint64_t row = scan->row_numbers[at];

    if (row >= scan->segment->info.row_count || user->is_null ||
        (scan->has_seq && given[KAL_SEGMENT_SEQ_COLUMN].is_null) ||
        (!scan->args.all_users && (uint64_t)user->integer != scan->args.user_no))
        return wrong_file(scan, err);
    *out = !kal_dead_rows_has(scan->dead, row);
    return KAL_OK;
}

/* KAL_NOT_FOUND: not one of the rows that are wanted. */
static kal_status take_row(kal_cold_scan *scan, kal_cold_row *out, kal_error *err)
{
    size_t at = scan->batch_at++;
    const kal_value *given = scan->batch + at * scan->read_count;
    bool live = false;

    KAL_TRY(is_live(scan, at, &live, err));
    if (!live)
        return KAL_NOT_FOUND;
    uint64_t user_no = (uint64_t)given[KAL_SEGMENT_USER_COLUMN].integer;
    fill_row(scan, given);
    if (scan->keys) {
        compute_key(scan, user_no);
        if (!is_in_bounds(scan))
            return KAL_NOT_FOUND;
    }
    *out = (kal_cold_row){
        .values = scan->row,
        .seq = (uint64_t)given[KAL_SEGMENT_SEQ_COLUMN].integer,
        .user_no = user_no,
        .cold_key = kal_buf_bytes(&scan->key),
        .segment = scan->segment,
        .row = (uint32_t)scan->row_numbers[at],
    };
    return KAL_OK;
}

kal_status kal_cold_scan_next(kal_cold_scan *scan, kal_cold_row *row_out, kal_error *err)
{
    for (;;) {
        if (scan->reader == NULL)
            KAL_TRY(open_next(scan, err));
        if (scan->batch_at == scan->batch_len) {
            KAL_TRY(fetch_batch(scan, err));
            continue;
        }
        kal_status status = take_row(scan, row_out, err);
        if (status != KAL_NOT_FOUND)
            return status;
    }
}

/* ---- many rows ---- */

bool kal_cold_scan_is_by_chunks(const kal_cold_scan *scan)
{
    return scan->by_chunks;
}

/* What the column is in every row of the segment; false: it is in the file. */
static bool find_constant(const kal_cold_scan *scan, uint32_t column, kal_value *out)
{
    if (column == KAL_COLD_COLUMN_FALSE) {
        *out = kal_value_boolean(false);
        return true;
    }
    if (column == KAL_COLD_COLUMN_SEQ || scan->places[column].read_column != KAL_ROW_NO_COLUMN)
        return false;
    *out = column_of(scan, NULL, column);
    return true;
}

/* The rows that are alive, in scan->live. KAL_CORRUPT when a row is somebody else's: the filter
 * lets nobody else's through. */
static kal_status find_live(kal_cold_scan *scan, kal_parquet_scan *file,
                            const kal_parquet_chunk *chunk, size_t *count_out, kal_error *err)
{
    const int64_t *users = NULL;
    bool all_right = true;
    size_t count = 0;

    KAL_TRY(kal_parquet_scan_bigints(file, KAL_SEGMENT_USER_COLUMN, &users, err));
    for (size_t r = 0; r < chunk->row_count && !scan->args.all_users; r++)
        all_right &= (uint64_t)users[r] == scan->args.user_no;
    for (size_t r = 0; r < chunk->row_count && chunk->row_numbers != NULL; r++) {
        uint64_t row = (uint64_t)chunk->row_numbers[r];
        all_right &= row < scan->segment->info.row_count;
        scan->live[count] = (uint32_t)r;
        count += !all_right || !kal_dead_rows_has(scan->dead, row);
    }
    *count_out = chunk->row_numbers == NULL ? chunk->row_count : count;
    return all_right ? KAL_OK : wrong_file(scan, err);
}

/* The rows of the chunk that are wanted, into the target. */
static kal_status give_rows(kal_cold_scan *scan, kal_parquet_scan *file,
                            const kal_parquet_chunk *chunk, const uint32_t *columns,
                            size_t column_count, kal_engine_chunk *target, size_t *rows_out,
                            kal_error *err)
{
    uint32_t *from = kal_arena_alloc(&scan->chunk_arena, (column_count + 1) * sizeof *from);
    size_t count = 0;

    KAL_TRY(find_live(scan, file, chunk, &count, err));
    for (size_t i = 0; i < column_count; i++) {
        kal_value constant;
        from[i] = KAL_PARQUET_NO_COLUMN;
        if (find_constant(scan, columns[i], &constant))
            kal_engine_chunk_fill(target, i, &constant, count);
        else
            from[i] = columns[i] == KAL_COLD_COLUMN_SEQ ? KAL_SEGMENT_SEQ_COLUMN
                                                        : scan->places[columns[i]].read_column;
    }
    *rows_out = count;
    if (count == 0)
        return KAL_OK;
    return kal_parquet_scan_give(file, from, count == chunk->row_count ? NULL : scan->live, count,
                                 target, err);
}

static kal_value cell(const kal_cold_scan *scan, const kal_value *given, uint32_t column)
{
    kal_value constant;
    if (find_constant(scan, column, &constant))
        return constant;
    return column == KAL_COLD_COLUMN_SEQ ? given[KAL_SEGMENT_SEQ_COLUMN]
                                         : column_of(scan, given, column);
}

/* The same of a backend without Parquet files. */
static kal_status give_values(kal_cold_scan *scan, const uint32_t *columns, size_t column_count,
                              kal_engine_chunk *target, size_t *rows_out, kal_error *err)
{
    KAL_TRY(fetch_batch(scan, err));
    kal_value *values =
        kal_arena_alloc(&scan->chunk_arena, (scan->batch_len * column_count + 1) * sizeof *values);
    for (; scan->batch_at < scan->batch_len; scan->batch_at++) {
        const kal_value *given = scan->batch + scan->batch_at * scan->read_count;
        bool live = false;
        KAL_TRY(is_live(scan, scan->batch_at, &live, err));
        for (size_t i = 0; live && i < column_count; i++)
            values[*rows_out * column_count + i] = cell(scan, given, columns[i]);
        *rows_out += live;
    }
    kal_engine_chunk_store(target, values, *rows_out);
    return KAL_OK;
}

kal_status kal_cold_scan_next_chunk(kal_cold_scan *scan, const uint32_t *columns,
                                    size_t column_count, kal_engine_chunk *target, size_t *rows_out,
                                    kal_error *err)
{
    kal_parquet_chunk chunk;

    KAL_ASSERT(scan->by_chunks);
    *rows_out = 0;
    kal_arena_reset(&scan->chunk_arena);
    if (scan->reader == NULL)
        KAL_TRY(open_next(scan, err));
    const kal_segment_backend_ops *ops = scan->reader->backend->ops;
    if (ops->parquet_scan == NULL)
        return give_values(scan, columns, column_count, target, rows_out, err);
    kal_parquet_scan *file = ops->parquet_scan(scan->reader);
    KAL_TRY(kal_parquet_scan_next_chunk(file, &chunk, err));
    if (chunk.row_count > 0)
        return give_rows(scan, file, &chunk, columns, column_count, target, rows_out, err);
    close_segment(scan);
    return KAL_OK;
}
