/*
 * namespace.c: the backup of one namespace. Restoring it is in namespace_restore.c.
 */
#include "backup/namespace.h"
#include "backup/rows.h"

#include <string.h>

typedef struct namespace_making {
    kal_making base;
    const kal_backup_source *source;
    kal_bytes namespace_id;
    kal_namespace_info info;
    kal_view view;
    KAL_VEC(kal_table *) tables; /* retained; arena: as they are at the view's moment */
    kal_users users;
} namespace_making;

static kal_status ask(const void *context, kal_error *err)
{
    const kal_backup_poll *poll = context;
    return poll->go_on(poll->context, err);
}

/* ---- the moment ---- */

static kal_status retain_tables(namespace_making *m, kal_error *err)
{
    kal_catalog *catalog = m->source->catalog;
    kal_catalog_worker *worker = kal_catalog_worker_open(catalog); /* owned */
    kal_arena *arena = m->base.arena;
    uint32_t *ids = NULL;
    size_t count = 0;
    kal_table *table = NULL;

    kal_status status = kal_catalog_table_ids(catalog, m->namespace_id, arena, &ids, &count, err);
    for (size_t i = 0; i < count && status == KAL_OK; i++) {
        status = kal_catalog_get_table_by_id(worker, ids[i], &table, err);
        if (status == KAL_OK && !kal_vec_try_push_in(arena, &m->tables, table))
            status = kal_error_set(err, KAL_LIMIT, "the namespace has too many tables");
        if (status == KAL_OK)
            kal_table_retain(table);
    }
    kal_catalog_worker_close(worker);
    return status;
}

/* Under the DDL lock nothing changes but rows, so the tables are those of the snapshot. */
static kal_status take_moment(namespace_making *m, kal_error *err)
{
    kal_catalog *catalog = m->source->catalog;
    kal_catalog_change *change = kal_catalog_begin(catalog, m->source->actor); /* owned */

    kal_view_open(&m->view, m->source->tables, 0, NULL);
    kal_status status = kal_catalog_get_namespace(catalog, m->view.snapshot, m->namespace_id,
                                                  m->base.arena, &m->info, err);
    if (status == KAL_OK)
        status = retain_tables(m, err);
    kal_catalog_end(change);
    m->view.check = ask;
    m->view.check_context = m->base.poll;
    return status;
}

/* ---- tables ---- */

static kal_status add_history(namespace_making *m, const kal_table *table, kal_arena *arena,
                              kal_table_file *file, kal_error *err)
{
    kal_catalog *catalog = m->source->catalog;
    kal_schema_version *steps = NULL;
    size_t count = 0;

    KAL_TRY(kal_catalog_table_history(catalog, m->view.snapshot, table->def->table_id, arena,
                                      &steps, &count, err));
    file->versions = kal_arena_try_array(arena, count + 1, sizeof *file->versions);
    if (file->versions == NULL)
        return kal_error_set(err, KAL_LIMIT, "the history of a table exceeds the memory");
    for (size_t i = 0; i < count; i++) {
        kal_table_definition *def = NULL;
        KAL_TRY(kal_catalog_table_version(catalog, m->view.snapshot, table->def->table_id,
                                          steps[i].version, arena, &def, err));
        file->versions[i] = (kal_restored_version){.step = steps[i], .def = def};
    }
    file->version_count = count;
    if (count != table->def->schema_version)
        return kal_error_set(err, KAL_CORRUPT, "the history of table '%.*s' is not whole",
                             KAL_FMT(table->def->table_name));
    return KAL_OK;
}

static kal_status add_table(namespace_making *m, kal_table *table, kal_arena *arena, kal_error *err)
{
    const kal_rows_write_args rows = {
        .making = &m->base,
        .parquet = m->source->parquet,
        .view = &m->view,
        .table = table,
        .users = &m->users,
        .arena = arena,
    };
    kal_table_file file = {0};
    kal_buf text; /* owned */

    KAL_TRY(kal_rows_write(&rows, &file, err));
    KAL_TRY(add_history(m, table, arena, &file, err));
    kal_buf_init(&text, NULL);
    kal_table_file_write(&file, &text);
    kal_status status = kal_making_add_text(
        &m->base,
        kal_arena_printf(arena, KAL_BACKUP_TABLES "/%.*s.json", KAL_FMT(table->def->table_name)),
        kal_buf_bytes(&text), err);
    kal_buf_release(&text);
    return status;
}

static kal_status add_tables(namespace_making *m, kal_error *err)
{
    char folder[KAL_TREE_PATH_BYTES];
    kal_status status = KAL_OK;
    kal_arena arena; /* owned: of one table */

    KAL_TRY(kal_tree_path(m->base.directory, KAL_BACKUP_TABLES, folder, err));
    KAL_TRY(kal_tree_make_directory(folder, err));
    kal_arena_init(&arena, NULL);
    for (size_t i = 0; i < m->tables.len && status == KAL_OK; i++) {
        status = add_table(m, m->tables.items[i], &arena, err);
        kal_arena_reset(&arena);
    }
    kal_arena_release(&arena);
    return status == KAL_OK ? kal_tree_sync_directory(folder, err) : status;
}

static kal_status add_rest(namespace_making *m, kal_error *err)
{
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_namespace_file_write(m->namespace_id, &m->info, &text);
    kal_status status =
        kal_making_add_text(&m->base, KAL_BACKUP_NAMESPACE, kal_buf_bytes(&text), err);
    kal_buf_clear(&text);
    kal_users_write(&m->users, &text);
    if (status == KAL_OK)
        status = kal_making_add_text(&m->base, KAL_BACKUP_USERS, kal_buf_bytes(&text), err);
    kal_buf_release(&text);
    return status;
}

static kal_status fill(namespace_making *m, kal_error *err)
{
    kal_status status = kal_users_open(&m->users, m->source->catalog, m->view.snapshot, err);
    if (status == KAL_OK)
        status = add_tables(m, err);
    if (status == KAL_OK)
        status = add_rest(m, err);
    kal_users_close(&m->users);
    return status;
}

kal_status kal_backup_make_namespace(const kal_backup_source *source, kal_bytes namespace_id,
                                     kal_bytes path, const kal_backup_poll *poll, kal_arena *arena,
                                     kal_backup *out, kal_error *err)
{
    namespace_making m = {.base = {.poll = poll, .arena = arena, .backup = out},
                          .source = source,
                          .namespace_id = namespace_id};

    *out = (kal_backup){.version = KAL_STR(KAL_VERSION), .namespace_id = namespace_id};
    KAL_TRY(kal_making_begin(&m.base, source->data_dir, path, err));
    kal_status status = take_moment(&m, err);
    out->created_at_us = m.view.now_us;
    if (status == KAL_OK)
        status = fill(&m, err);
    for (size_t i = 0; i < m.tables.len; i++)
        kal_table_release(m.tables.items[i]);
    kal_view_close(&m.view);
    return kal_making_end(&m.base, status, err);
}
