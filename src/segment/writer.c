#include "segment/writer.h"
#include "base/assert.h"
#include "segment/columns.h"
#include "segment/statistics.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the index ---- */

enum { PATH_BYTES = 4096 };

/* Nobody else uses the segment's number. */
static kal_status open_load(kal_index_load *load, uint32_t segment_id, kal_error *err)
{
    char path[PATH_BYTES];
    const char *directory = load->directory == NULL ? "." : load->directory;
    int len = snprintf(path, sizeof path, "%s/index-%08x.sst", directory, segment_id);

    if (len < 0 || len >= (int)sizeof path)
        return kal_error_set(err, KAL_INVALID, "the data directory's path is too long");
    return kal_kv_load_open(load->kv, KAL_KV_INDEX, path, &load->load, err);
}

static kal_status add_entry(kal_index_load *load, uint32_t segment_id, kal_bytes cold_key,
                            kal_bytes value, kal_error *err)
{
    uint8_t key[KAL_INDEX_KEY_BYTES_MAX];

    if (load->load != NULL && segment_id < load->segment_id)
        KAL_TRY(kal_index_load_finish(load, err));
    if (load->load == NULL)
        KAL_TRY(open_load(load, segment_id, err));
    load->segment_id = segment_id;
    return kal_kv_load_add(load->load, kal_index_key(segment_id, cold_key, key), value, err);
}

kal_status kal_index_load_finish(kal_index_load *load, kal_error *err)
{
    kal_status status = load->load == NULL ? KAL_OK : kal_kv_load_finish(load->load, err);
    kal_index_load_close(load);
    return status;
}

void kal_index_load_close(kal_index_load *load)
{
    kal_kv_load_close(load->load);
    load->load = NULL;
}

/* ---- rows ---- */

typedef struct segment_writer {
    const kal_segment_write_args *args;
    const kal_segment_source *source;
    kal_arena batch;  /* owned: bytes of the values that were handed out last */
    kal_arena *arena; /* of info's bytes */
    size_t column_count;
    uint64_t bytes;
    bool ended; /* the source, or this segment */
    bool has_row;
    kal_segment_row first; /* taken before anything was made; valid until the source goes on */
    kal_buf key_max;       /* owned */
    kal_buf primary_min;   /* owned */
    kal_buf primary_max;   /* owned */
    kal_statistics_collector *statistics; /* owned */
    kal_segment_info info;
} segment_writer;

static uint64_t value_bytes(const kal_value *v)
{
    return !v->is_null && kal_type_is_bytes(v->type) ? v->bytes.len + 8 : 8;
}

static void set_text(kal_buf *buf, kal_bytes text)
{
    kal_buf_clear(buf);
    kal_buf_append_bytes(buf, text);
}

/* What the manifest says: bounds of keys, users and seqs. */
static void note_row(segment_writer *w, const kal_segment_row *row)
{
    kal_segment_info *info = &w->info;
    uint64_t user_no = kal_load_be64(row->cold_key.ptr + 2);
    kal_bytes primary = kal_bytes_of(row->cold_key.ptr + KAL_COLD_KEY_PREFIX_BYTES,
                                     row->cold_key.len - KAL_COLD_KEY_PREFIX_BYTES);
    bool first = info->row_count == 0;

    if (first)
        info->key_min = kal_arena_copy(w->arena, row->cold_key);
    set_text(&w->key_max, row->cold_key);
    if (first || kal_bytes_compare(primary, kal_buf_bytes(&w->primary_min)) < 0)
        set_text(&w->primary_min, primary);
    if (first || kal_bytes_compare(primary, kal_buf_bytes(&w->primary_max)) > 0)
        set_text(&w->primary_max, primary);
    info->user_min = first || user_no < info->user_min ? user_no : info->user_min;
    info->user_max = first || user_no > info->user_max ? user_no : info->user_max;
    info->seq_min = first || row->seq < info->seq_min ? row->seq : info->seq_min;
    info->seq_max = first || row->seq > info->seq_max ? row->seq : info->seq_max;
}

static kal_status take_row(segment_writer *w, const kal_segment_row *row, kal_value *values,
                           kal_error *err)
{
    uint8_t value[KAL_INDEX_VALUE_BYTES];
    uint64_t user_no = kal_load_be64(row->cold_key.ptr + 2);

    note_row(w, row);
    kal_statistics_add(w->statistics, user_no, row->values);
    kal_index_value((uint32_t)w->info.row_count, row->seq, value);
    KAL_TRY(add_entry(w->args->index, w->args->segment_id, row->cold_key,
                      kal_bytes_of(value, sizeof value), err));
    values[KAL_SEGMENT_USER_COLUMN] = kal_value_bigint((int64_t)user_no);
    values[KAL_SEGMENT_SEQ_COLUMN] = kal_value_bigint((int64_t)row->seq);
    for (size_t i = KAL_SEGMENT_HIDDEN_COUNT; i < w->column_count; i++) {
        const kal_value *from = &row->values[i - KAL_SEGMENT_HIDDEN_COUNT];
        if (!kal_value_copy(from, &w->batch, &values[i]))
            return kal_error_set(err, KAL_LIMIT, "a segment's rows exceed the memory");
        w->bytes += value_bytes(from);
    }
    w->info.row_count++;
    return KAL_OK;
}

static bool is_full(const segment_writer *w)
{
    const kal_segment_write_args *args = w->args;
    return (args->rows_max > 0 && w->info.row_count >= args->rows_max) ||
           (args->bytes_max > 0 && w->bytes >= args->bytes_max) ||
           w->info.row_count >= UINT32_MAX - 1;
}

static kal_status next_rows(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                            kal_error *err)
{
    segment_writer *w = context;

    *rows_out = 0;
    kal_arena_reset(&w->batch);
    while (!w->ended && *rows_out < rows_max) {
        kal_segment_row row = w->first;
        if (!w->has_row) {
            kal_status status = w->source->next(w->source->context, &row, err);
            w->ended = status == KAL_END;
            if (w->ended)
                break;
            KAL_TRY(status);
        }
        w->has_row = false;
        KAL_TRY(take_row(w, &row, values + *rows_out * w->column_count, err));
        (*rows_out)++;
        w->ended = is_full(w);
    }
    return KAL_OK;
}

/* For whoever reads the file without us. */
static kal_parquet_metadata *metadata(const kal_segment_write_args *args, kal_arena *arena,
                                      size_t *count_out)
{
    const kal_table_definition *def = args->table->def;
    kal_parquet_metadata *out = kal_arena_alloc(arena, 4 * sizeof *out);

    out[0] = (kal_parquet_metadata){
        KAL_STR("kalamdb.table"),
        kal_cstr(kal_arena_printf(arena, "%.*s.%.*s", KAL_FMT(def->namespace_id),
                                  KAL_FMT(def->table_name)))};
    out[1] = (kal_parquet_metadata){KAL_STR("kalamdb.table_id"),
                                    kal_cstr(kal_arena_printf(arena, "%u", def->table_id))};
    out[2] = (kal_parquet_metadata){KAL_STR("kalamdb.schema_version"),
                                    kal_cstr(kal_arena_printf(arena, "%u", def->schema_version))};
    out[3] =
        (kal_parquet_metadata){KAL_STR("kalamdb.segment_id"), /* check: system-columns (a key) */
                               kal_cstr(kal_arena_printf(arena, "%u", args->segment_id))};
    *count_out = 4;
    return out;
}

static kal_status write_file(segment_writer *w, kal_arena *arena, kal_error *err)
{
    const kal_segment_write_args *args = w->args;
    const kal_parquet_column *columns =
        kal_segment_columns(args->table->def, arena, &w->column_count);
    const kal_parquet_source source = {w, next_rows};
    kal_segment_written written = {0};
    kal_parquet_write_args file = {
        .columns = columns,
        .column_count = w->column_count,
        .compression = kal_table_options_compression(&args->table->def->options),
        .cancelled = args->cancelled,
    };

    file.metadata = metadata(args, arena, &file.metadata_count);
    KAL_TRY(args->backend->ops->write(args->backend, args->group, &args->place, &file, &source,
                                      &written, err));
    if (written.row_count != w->info.row_count)
        return kal_error_set(err, KAL_INTERNAL, "a segment has %llu of %llu rows",
                             (unsigned long long)written.row_count,
                             (unsigned long long)w->info.row_count);
    w->info.size_bytes = written.size_bytes;
    w->info.checksum = written.checksum;
    return KAL_OK;
}

static void fill_info(segment_writer *w)
{
    const kal_segment_write_args *args = w->args;
    kal_segment_info *info = &w->info;

    info->segment_id = args->segment_id;
    info->table_id = args->table->def->table_id;
    info->schema_version = args->table->def->schema_version;
    info->key_max = kal_arena_copy(w->arena, kal_buf_bytes(&w->key_max));
    info->primary_min = kal_arena_copy(w->arena, kal_buf_bytes(&w->primary_min));
    info->primary_max = kal_arena_copy(w->arena, kal_buf_bytes(&w->primary_max));
    info->storage_id = kal_arena_copy(w->arena, args->place.storage_id);
    info->object = kal_arena_copy(w->arena, args->place.object);
    info->statistics = kal_statistics_encode(w->statistics, w->arena);
    info->created_at_us = args->now_us;
}

kal_status kal_segment_write(const kal_segment_write_args *args, const kal_segment_source *source,
                             kal_arena *arena, kal_segment_info *info_out, kal_error *err)
{
    segment_writer w = {.args = args, .source = source, .arena = arena};
    kal_arena scratch; /* owned */

    KAL_TRY(source->next(source->context, &w.first, err));
    w.has_row = true;
    kal_arena_init(&w.batch, NULL);
    kal_arena_init(&scratch, NULL);
    kal_buf_init(&w.key_max, NULL);
    kal_buf_init(&w.primary_min, NULL);
    kal_buf_init(&w.primary_max, NULL);
    w.statistics = kal_statistics_open(args->table->def);
    kal_status status = write_file(&w, &scratch, err);
    if (status == KAL_OK) {
        fill_info(&w);
        *info_out = w.info;
    }
    kal_buf_release(&w.key_max);
    kal_buf_release(&w.primary_min);
    kal_buf_release(&w.primary_max);
    kal_statistics_close(w.statistics);
    kal_arena_release(&scratch);
    kal_arena_release(&w.batch);
    return status;
}
