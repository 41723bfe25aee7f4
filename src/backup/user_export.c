#include "backup/user_export.h"
#include "backup/zip.h"
#include "base/json_writer.h"
#include "base/vec.h"
#include "types/json.h"

enum { FORMAT = 1, PIECE_BYTES = 64 * 1024, POLL_ROWS = 256 };

typedef struct user_export {
    const kal_user_export_args *args;
    kal_user_exported *out;
    kal_view view; /* of the user */
    kal_arena arena;
    KAL_VEC(kal_table *) tables; /* retained; arena: as they are at the view's moment */
    kal_zip *zip;                /* owned */
    kal_buf lines;               /* owned: what is not in the archive yet */
    kal_buf list;                /* owned: "tables" of export.json */
    kal_json_writer list_writer;
} user_export;

static kal_status ask(const void *context, kal_error *err)
{
    const kal_backup_poll *poll = context;
    return poll->go_on(poll->context, err);
}

/* ---- the moment ---- */

static bool has_partitions(const kal_table *table)
{
    kal_table_type type = table->def->table_type;
    return type == KAL_TABLE_USER || type == KAL_TABLE_STREAM;
}

static kal_status retain_tables(user_export *x, kal_error *err)
{
    kal_catalog *catalog = x->args->catalog;
    kal_catalog_worker *worker = kal_catalog_worker_open(catalog); /* owned */
    uint32_t *ids = NULL;
    size_t count = 0;
    kal_table *table = NULL;

    kal_status status =
        kal_catalog_table_ids(catalog, (kal_bytes){0}, &x->arena, &ids, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        status = kal_catalog_get_table_by_id(worker, ids[i], &table, err);
        if (status != KAL_OK || !has_partitions(table))
            continue;
        if (kal_vec_try_push_in(&x->arena, &x->tables, table))
            kal_table_retain(table);
        else
            status = kal_error_set(err, KAL_LIMIT, "there are too many tables");
    }
    kal_catalog_worker_close(worker);
    return status;
}

/* Under the DDL lock nothing changes but rows, so the tables are those of the snapshot. */
static kal_status take_moment(user_export *x, kal_error *err)
{
    kal_catalog_change *change =
        kal_catalog_begin(x->args->catalog, &KAL_PRINCIPAL_SERVER); /* owned */

    kal_view_open(&x->view, x->args->tables, x->args->user_no, NULL);
    x->view.check = ask;
    x->view.check_context = x->args->poll;
    kal_status status = retain_tables(x, err);
    kal_catalog_end(change);
    return status;
}

/* ---- rows ---- */

static kal_status flush_lines(user_export *x, size_t beyond, kal_error *err)
{
    if (x->lines.len <= beyond)
        return KAL_OK;
    kal_status status = kal_zip_write(x->zip, kal_buf_bytes(&x->lines), err);
    kal_buf_clear(&x->lines);
    return status;
}

static void append_row(user_export *x, const kal_table_definition *def, const kal_row *row)
{
    kal_json_writer w;

    kal_json_writer_init(&w, &x->lines);
    kal_json_begin_object(&w);
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_value value;
        kal_row_get(row, i, &value);
        kal_json_key_bytes(&w, def->columns[i].name);
        kal_value_write_json(&value, &w);
    }
    kal_json_end_object(&w);
    kal_buf_append_byte(&x->lines, '\n');
}

static kal_status add_rows(user_export *x, kal_table *table, kal_scan *scan, kal_row *row,
                           uint64_t *rows_out, kal_error *err)
{
    const kal_backup_poll *poll = x->args->poll;
    kal_status status = KAL_OK;

    while (status == KAL_OK) {
        append_row(x, table->def, row);
        if ((*rows_out)++ % POLL_ROWS == 0) {
            KAL_TRY(poll->go_on(poll->context, err));
            if (poll->note != NULL)
                poll->note(poll->context, table->def->table_name, *rows_out);
        }
        KAL_TRY(flush_lines(x, PIECE_BYTES, err));
        status = kal_scan_next(scan, row, NULL, err);
    }
    if (status != KAL_END)
        return status;
    return flush_lines(x, 0, err);
}

/* "NS/TABLE" and an end: names are letters, digits and _. */
static const char *entry_name(user_export *x, const kal_table_definition *def, const char *end)
{
    return kal_arena_printf(&x->arena, "%.*s/%.*s%s", KAL_FMT(def->namespace_id),
                            KAL_FMT(def->table_name), end);
}

static kal_status add_text(user_export *x, const char *name, const kal_buf *text, kal_error *err)
{
    KAL_TRY(kal_zip_begin(x->zip, name, x->view.now_us, err));
    return kal_zip_write(x->zip, kal_buf_bytes(text), err);
}

static kal_status add_schema(user_export *x, const kal_table_definition *def, kal_error *err)
{
    kal_json_writer w;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_begin_object(&w);
    kal_json_key(&w, "namespace");
    kal_json_string(&w, def->namespace_id);
    kal_json_key(&w, "table");
    kal_json_string(&w, def->table_name);
    kal_json_key(&w, "columns");
    kal_json_begin_array(&w);
    for (uint32_t i = 0; i < def->column_count; i++) {
        kal_json_begin_object(&w);
        kal_json_key(&w, "name");
        kal_json_string(&w, def->columns[i].name);
        kal_json_key(&w, "type");
        kal_type_write_json(def->columns[i].type, &w);
        kal_json_end_object(&w);
    }
    kal_json_end_array(&w);
    kal_json_end_object(&w);
    kal_status status = add_text(x, entry_name(x, def, ".schema.json"), &text, err);
    kal_buf_release(&text);
    return status;
}

static void list_table(user_export *x, const kal_table_definition *def, uint64_t rows)
{
    kal_json_writer *w = &x->list_writer;

    kal_json_begin_object(w);
    kal_json_key(w, "namespace");
    kal_json_string(w, def->namespace_id);
    kal_json_key(w, "table");
    kal_json_string(w, def->table_name);
    kal_json_key(w, "file");
    kal_json_cstr(w, entry_name(x, def, ".jsonl"));
    kal_json_key(w, "rows");
    kal_json_u64(w, rows);
    kal_json_end_object(w);
    x->out->table_count++;
    x->out->row_count += rows;
}

static kal_status add_table(user_export *x, kal_table *table, kal_scan *scan, kal_error *err)
{
    kal_row row;
    uint64_t rows = 0;

    kal_status status = kal_scan_next(scan, &row, NULL, err);
    if (status != KAL_OK) /* none of his rows: not in the archive */
        return status == KAL_END ? KAL_OK : status;
    KAL_TRY(kal_zip_begin(x->zip, entry_name(x, table->def, ".jsonl"), x->view.now_us, err));
    KAL_TRY(add_rows(x, table, scan, &row, &rows, err));
    KAL_TRY(add_schema(x, table->def, err));
    list_table(x, table->def, rows);
    return KAL_OK;
}

static kal_status add_tables(user_export *x, kal_error *err)
{
    const kal_scan_range all = {.no_keys = true, .complete = true};
    kal_status status = KAL_OK;

    for (size_t i = 0; i < x->tables.len && status == KAL_OK; i++) {
        kal_scan *scan = NULL; /* owned */
        status = kal_scan_open(&x->view, x->tables.items[i], &all, &scan, err);
        if (status == KAL_OK)
            status = add_table(x, x->tables.items[i], scan, err);
        kal_scan_close(scan);
    }
    return status;
}

static kal_status add_description(user_export *x, kal_error *err)
{
    kal_json_writer w;
    kal_buf text; /* owned */

    kal_json_end_array(&x->list_writer);
    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_begin_object(&w);
    kal_json_key(&w, "format");
    kal_json_u64(&w, FORMAT);
    kal_json_key(&w, "user");
    kal_json_string(&w, x->args->user_id);
    kal_json_key(&w, "created_at");
    kal_json_i64(&w, x->view.now_us);
    kal_json_key(&w, "version");
    kal_json_cstr(&w, KAL_VERSION);
    kal_json_key(&w, "tables");
    kal_json_raw(&w, kal_buf_bytes(&x->list));
    kal_json_end_object(&w);
    kal_status status = add_text(x, "export.json", &text, err);
    kal_buf_release(&text);
    return status;
}

static kal_status write_archive(user_export *x, kal_error *err)
{
    KAL_TRY(take_moment(x, err));
    KAL_TRY(kal_zip_create(x->args->path, x->args->bytes_max, &x->zip, err));
    KAL_TRY(add_tables(x, err));
    KAL_TRY(add_description(x, err));
    return kal_zip_finish(x->zip, &x->out->size_bytes, err);
}

kal_status kal_user_export(const kal_user_export_args *args, kal_user_exported *out, kal_error *err)
{
    user_export x = {.args = args, .out = out};

    *out = (kal_user_exported){0};
    kal_arena_init(&x.arena, NULL);
    kal_buf_init(&x.lines, NULL);
    kal_buf_init(&x.list, NULL);
    kal_json_writer_init(&x.list_writer, &x.list);
    kal_json_begin_array(&x.list_writer);
    kal_status status = write_archive(&x, err);
    kal_zip_close(x.zip);
    for (size_t i = 0; i < x.tables.len; i++)
        kal_table_release(x.tables.items[i]);
    kal_view_close(&x.view);
    kal_buf_release(&x.list);
    kal_buf_release(&x.lines);
    kal_arena_release(&x.arena);
    return status;
}
