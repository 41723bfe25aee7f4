#include "backup/rows.h"
#include "base/assert.h"
#include "base/thread.h"

#include <stdio.h>

enum {
    FILE_ROWS_MAX = 4 * 1024 * 1024,
    BATCH_BYTES_MAX = 4 * 1024 * 1024, /* of values at a time */
    COMMIT_ROWS_MAX = 2000,
    READ_ROWS = 512,
    BUSY_MS = 20,
};
#define FILE_BYTES_MAX  (UINT64_C(1) << 30) /* of values, about */
#define USER_COLUMN     "_user_id"
#define SEQ_COLUMN      "_seq"
#define INSERTED_COLUMN "_inserted_at"
#define HIDDEN_MAX      3
/* Field ids; those of the table's columns are their column_ids. */
#define FIELD_USER     0x7fff0011u
#define FIELD_SEQ      0x7fff0002u
#define FIELD_INSERTED 0x7fff0012u

/* The columns of a file: hidden ones, then the table's. */
typedef struct row_columns {
    kal_parquet_column *items; /* arena */
    size_t count;
    size_t hidden;
    bool has_user;
    bool has_time;
} row_columns;

static row_columns columns_of(const kal_table_definition *def, kal_arena *arena)
{
    row_columns c = {.has_user = def->table_type != KAL_TABLE_SHARED,
                     .has_time = def->table_type == KAL_TABLE_STREAM};

    c.items = kal_arena_alloc(arena, (def->column_count + HIDDEN_MAX) * sizeof *c.items);
    if (c.has_user)
        c.items[c.count++] = (kal_parquet_column){KAL_STR(USER_COLUMN), kal_type_of(KAL_TYPE_TEXT),
                                                  true, FIELD_USER};
    c.items[c.count++] =
        (kal_parquet_column){KAL_STR(SEQ_COLUMN), kal_type_of(KAL_TYPE_BIGINT), true, FIELD_SEQ};
    if (c.has_time)
        c.items[c.count++] = (kal_parquet_column){
            KAL_STR(INSERTED_COLUMN), kal_type_of(KAL_TYPE_TIMESTAMP), true, FIELD_INSERTED};
    c.hidden = c.count;
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *column = &def->columns[i];
        c.items[c.count++] =
            (kal_parquet_column){column->name, column->type, false, column->column_id};
    }
    return c;
}

/* ---- writing ---- */

typedef struct row_writer {
    const kal_rows_write_args *args;
    row_columns columns;
    kal_scan *scan;  /* owned */
    kal_arena batch; /* owned: of the values that were handed out last */
    kal_row next;    /* has_next: taken from the scan and not written yet */
    bool has_next;
    bool has_user; /* user_id is of user_no */
    uint64_t user_no;
    kal_bytes user_id;
    uint64_t file_rows;
    uint64_t file_bytes;
    uint64_t rows; /* of all files */
} row_writer;

static kal_status take_next(row_writer *w, kal_error *err)
{
    kal_status status = kal_scan_next(w->scan, &w->next, NULL, err);
    w->has_next = status == KAL_OK;
    return status == KAL_END ? KAL_OK : status;
}

static kal_status name_user(row_writer *w, kal_value *out, kal_error *err)
{
    uint64_t user_no = kal_scan_user_no(w->scan);

    if (!w->has_user || user_no != w->user_no) {
        w->user_no = user_no;
        w->has_user = kal_users_mark(w->args->users, user_no, &w->user_id);
        if (!w->has_user)
            return kal_error_set(err, KAL_CORRUPT,
                                 "a row of table '%.*s' is of a user who does not exist",
                                 KAL_FMT(w->args->table->def->table_name));
    }
    *out = kal_value_text(w->user_id);
    return KAL_OK;
}

static kal_status put_row(row_writer *w, kal_value *values, size_t *bytes, kal_error *err)
{
    const row_columns *c = &w->columns;
    size_t at = 0;

    if (c->has_user)
        KAL_TRY(name_user(w, &values[at++], err));
    values[at++] = kal_value_bigint((int64_t)w->next.seq);
    if (c->has_time)
        values[at++] = kal_value_integer(KAL_TYPE_TIMESTAMP, kal_scan_inserted_us(w->scan));
    for (size_t i = 0; at + i < c->count; i++) {
        kal_value value;
        kal_row_get(&w->next, i, &value);
        if (!kal_value_copy(&value, &w->batch, &values[at + i]))
            return kal_error_set(err, KAL_LIMIT, "a backup's rows exceed the memory");
        *bytes += 8 + (value.is_null || !kal_type_is_bytes(value.type) ? 0 : value.bytes.len);
    }
    return KAL_OK;
}

static kal_status next_rows(void *context, size_t rows_max, kal_value *values, size_t *rows_out,
                            kal_error *err)
{
    row_writer *w = context;
    const kal_backup_poll *poll = w->args->making->poll;
    size_t bytes = 0;

    *rows_out = 0;
    kal_arena_reset(&w->batch);
    KAL_TRY(poll->go_on(poll->context, err));
    if (poll->note != NULL)
        poll->note(poll->context, w->args->table->def->table_name, w->rows);
    if (w->file_rows >= FILE_ROWS_MAX || w->file_bytes >= FILE_BYTES_MAX)
        return KAL_OK;
    while (w->has_next && *rows_out < rows_max && bytes < BATCH_BYTES_MAX) {
        KAL_TRY(put_row(w, values + *rows_out * w->columns.count, &bytes, err));
        (*rows_out)++;
        KAL_TRY(take_next(w, err));
    }
    w->file_rows += *rows_out;
    w->file_bytes += bytes;
    w->rows += *rows_out;
    return KAL_OK;
}

static kal_status write_file(row_writer *w, const char *name, kal_error *err)
{
    const kal_rows_write_args *args = w->args;
    const kal_table_definition *def = args->table->def;
    const kal_parquet_source source = {w, next_rows};
    const kal_parquet_metadata metadata = {KAL_STR("kalamdb.table"),
                                           kal_table_definition_qualified_name(def, args->arena)};
    kal_parquet_written written;
    char path[KAL_TREE_PATH_BYTES];

    KAL_TRY(kal_tree_path(args->making->directory, name, path, err));
    const kal_parquet_write_args file = {
        .path = path,
        .columns = w->columns.items,
        .column_count = w->columns.count,
        .compression = kal_table_options_compression(&def->options),
        .metadata = &metadata,
        .metadata_count = 1,
    };
    w->file_rows = 0;
    w->file_bytes = 0;
    KAL_TRY(kal_parquet_write(args->parquet, &file, &source, &written, err));
    if (written.row_count != w->file_rows)
        return kal_error_set(err, KAL_INTERNAL, "a file of a backup has %llu of %llu rows",
                             (unsigned long long)written.row_count,
                             (unsigned long long)w->file_rows);
    return kal_making_add(args->making, name, path, NULL, err);
}

static kal_status write_files(row_writer *w, kal_table_file *file, kal_error *err)
{
    const kal_rows_write_args *args = w->args;
    KAL_VEC(kal_bytes) names = {0}; /* arena */

    KAL_TRY(take_next(w, err));
    while (w->has_next) {
        const char *name = kal_arena_printf(args->arena, KAL_BACKUP_TABLES "/%.*s.%04zu.parquet",
                                            KAL_FMT(args->table->def->table_name), names.len + 1);
        KAL_TRY(write_file(w, name, err));
        if (!kal_vec_try_push_in(args->arena, &names, kal_cstr(name)))
            return kal_error_set(err, KAL_LIMIT, "the backup has too many files");
    }
    file->files = names.items;
    file->file_count = names.len;
    file->row_count = w->rows;
    return KAL_OK;
}

kal_status kal_rows_write(const kal_rows_write_args *args, kal_table_file *file_out, kal_error *err)
{
    row_writer w = {.args = args, .columns = columns_of(args->table->def, args->arena)};

    if (args->table->def->table_type == KAL_TABLE_VIEW)
        return KAL_OK;
    KAL_TRY(kal_scan_open_all_users(args->view, args->table, false, &w.scan, err));
    kal_arena_init(&w.batch, NULL);
    kal_status status = write_files(&w, file_out, err);
    kal_arena_release(&w.batch);
    kal_scan_close(w.scan);
    return status;
}

/* ---- loading ---- */

typedef struct row_loader {
    const kal_rows_load_args *args;
    row_columns columns;
    kal_arena arena;  /* owned: of the load */
    kal_write *write; /* owned; NULL: nothing waits to be committed */
    size_t write_bytes;
    kal_buf key; /* owned */
    uint64_t loaded;
    uint64_t skipped;
} row_loader;

static kal_status corrupt(const row_loader *l, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "the rows of table '%.*s' in the backup are damaged: %s",
                         KAL_FMT(l->args->table->def->table_name), what);
}

/* Called on the lane. */
static kal_status insert_new(void *context, const kal_row *current, kal_arena *arena,
                             kal_write_effect *effect_out, kal_error *err)
{
    (void)arena;
    if (current != NULL)
        return kal_error_set(err, KAL_CORRUPT, "the backup has two rows with one key");
    *effect_out = (kal_write_effect){KAL_WRITE_PUT, context};
    return KAL_OK;
}

kal_status kal_restore_commit(kal_write *write, const kal_backup_poll *poll, kal_error *err)
{
    kal_status status = KAL_BUSY;

    while (status == KAL_BUSY) {
        if (poll != NULL)
            KAL_TRY(poll->go_on(poll->context, err));
        status = kal_write_commit(write, err);
        if (status == KAL_BUSY)
            kal_thread_pause(BUSY_MS);
    }
    return status;
}

static kal_status commit(row_loader *l, kal_error *err)
{
    const kal_backup_poll *poll = l->args->poll;

    if (l->write == NULL)
        return KAL_OK;
    kal_status status = kal_restore_commit(l->write, poll, err);
    if (status == KAL_OK)
        l->loaded += kal_write_op_count(l->write);
    kal_write_close(l->write);
    l->write = NULL;
    l->write_bytes = 0;
    if (status == KAL_OK && poll->note != NULL)
        poll->note(poll->context, l->args->table->def->table_name, l->loaded);
    return status;
}

static kal_status make_key(row_loader *l, const kal_value *values, kal_error *err)
{
    const kal_table_definition *def = l->args->table->def;
    kal_value key_values[KAL_COLUMNS_MAX];

    kal_buf_clear(&l->key);
    if (def->key_column_count == 0)
        return KAL_OK; /* the lane makes one */
    for (uint32_t i = 0; i < def->key_column_count; i++)
        key_values[i] = values[def->key_columns[i]];
    return kal_table_key(l->args->table, key_values, &l->key, err);
}

static kal_status check_not_null(const row_loader *l, const kal_value *values, kal_error *err)
{
    const kal_table_definition *def = l->args->table->def;

    for (uint32_t i = 0; i < def->column_count; i++) {
        if (values[i].is_null && !def->columns[i].is_nullable)
            return corrupt(l, "NULL where none may be", err);
    }
    return KAL_OK;
}

static kal_status copy_row(row_loader *l, const kal_value *from, kal_value **values_out,
                           kal_error *err)
{
    size_t count = l->args->table->def->column_count;
    kal_arena *arena = kal_write_arena(l->write);
    kal_value *values = kal_arena_try_array(arena, count, sizeof *values);

    for (size_t i = 0; values != NULL && i < count; i++) {
        if (!kal_value_copy(&from[i], arena, &values[i]))
            return kal_error_set(err, KAL_LIMIT, "the rows exceed the memory");
        l->write_bytes +=
            8 + (from[i].is_null || !kal_type_is_bytes(from[i].type) ? 0 : from[i].bytes.len);
    }
    *values_out = values;
    return values != NULL ? KAL_OK : kal_error_set(err, KAL_LIMIT, "the rows exceed the memory");
}

static kal_status add_row(row_loader *l, const kal_value *row, kal_error *err)
{
    const row_columns *c = &l->columns;
    const kal_value *own = row + c->hidden;
    kal_value *values = NULL;
    kal_write_op op = {
        .table = l->args->table, .resolve = insert_new, .existence_only = true, .restored = true};

    for (size_t i = 0; i < c->hidden; i++) {
        if (row[i].is_null)
            return corrupt(l, "a row without its user, seq or time", err);
    }
    if (c->has_user && !kal_owners_find(l->args->owners, row[0].bytes, &op.user_no))
        return corrupt(l, "a row of a user whom users.txt does not name", err);
    if (c->has_user && op.user_no == 0) {
        l->skipped++;
        return KAL_OK;
    }
    op.inserted_us = c->has_time ? row[c->hidden - 1].integer : 0;
    KAL_TRY(check_not_null(l, own, err));
    KAL_TRY(make_key(l, own, err));
    if (l->write == NULL)
        l->write = kal_write_open(l->args->tables, NULL);
    KAL_TRY(copy_row(l, own, &values, err));
    op.key = kal_buf_bytes(&l->key);
    op.context = values;
    KAL_TRY(kal_write_add(l->write, &op, NULL, err));
    bool full =
        l->write_bytes >= BATCH_BYTES_MAX || kal_write_op_count(l->write) >= COMMIT_ROWS_MAX;
    return full ? commit(l, err) : KAL_OK;
}

static kal_status load_scan(row_loader *l, kal_parquet_scan *scan, kal_error *err)
{
    size_t count = l->columns.count;
    kal_value *values = kal_arena_alloc(&l->arena, READ_ROWS * count * sizeof *values);
    size_t rows = 0;

    for (;;) {
        KAL_TRY(kal_parquet_scan_next(scan, READ_ROWS, values, NULL, &rows, err));
        if (rows == 0)
            return KAL_OK;
        for (size_t i = 0; i < rows; i++)
            KAL_TRY(add_row(l, values + i * count, err));
    }
}

static kal_status load_file(row_loader *l, kal_bytes name, kal_error *err)
{
    const kal_rows_load_args *args = l->args;
    size_t count = l->columns.count;
    kal_parquet_read_column *columns = kal_arena_alloc(&l->arena, count * sizeof *columns);
    kal_parquet_scan *scan = NULL; /* owned */
    char path[KAL_TREE_PATH_BYTES];

    for (size_t i = 0; i < count; i++)
        columns[i] = (kal_parquet_read_column){l->columns.items[i].name, l->columns.items[i].type,
                                               l->columns.items[i].type};
    KAL_TRY(kal_tree_path(args->directory, kal_arena_cstr(&l->arena, name), path, err));
    const kal_parquet_scan_args file = {.path = path, .columns = columns, .column_count = count};
    KAL_TRY(kal_parquet_scan_open(args->parquet, &file, &scan, err));
    kal_status status = load_scan(l, scan, err);
    kal_parquet_scan_close(scan);
    return status;
}

static kal_status load_files(row_loader *l, kal_error *err)
{
    const kal_table_file *file = l->args->file;

    for (size_t i = 0; i < file->file_count; i++)
        KAL_TRY(load_file(l, file->files[i], err));
    KAL_TRY(commit(l, err));
    return l->loaded + l->skipped == file->row_count
               ? KAL_OK
               : corrupt(l, "there are more or fewer than it says", err);
}

kal_status kal_rows_load(const kal_rows_load_args *args, uint64_t *loaded_out,
                         uint64_t *skipped_out, kal_error *err)
{
    row_loader l = {.args = args};

    kal_arena_init(&l.arena, NULL);
    kal_buf_init(&l.key, NULL);
    l.columns = columns_of(args->table->def, &l.arena);
    kal_status status = load_files(&l, err);
    kal_write_close(l.write);
    kal_buf_release(&l.key);
    kal_arena_release(&l.arena);
    *loaded_out = l.loaded;
    *skipped_out = l.skipped;
    return status;
}
