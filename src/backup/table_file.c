#include "backup/table_file.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#include <string.h>

enum { FORMAT = 1 };

/* ---- writing ---- */

void kal_table_file_write(const kal_table_file *file, kal_buf *out)
{
    kal_json_writer w;
    kal_buf sql; /* owned */

    kal_buf_init(&sql, NULL);
    kal_table_definition_to_sql(kal_table_file_def(file), &sql);
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "format");
    kal_json_u64(&w, FORMAT);
    kal_json_key(&w, "sql");
    kal_json_string(&w, kal_buf_bytes(&sql));
    kal_json_key(&w, "rows");
    kal_json_u64(&w, file->row_count);
    kal_json_key(&w, "files");
    kal_json_begin_array(&w);
    for (size_t i = 0; i < file->file_count; i++)
        kal_json_string(&w, file->files[i]);
    kal_json_end_array(&w);
    kal_json_key(&w, "versions");
    kal_json_begin_array(&w);
    for (size_t i = 0; i < file->version_count; i++) {
        kal_json_begin_object(&w);
        kal_json_key(&w, "step");
        kal_schema_version_write_json(&file->versions[i].step, (kal_bytes){0}, &w);
        kal_json_key(&w, "definition");
        kal_table_definition_write_json(file->versions[i].def, &w);
        kal_json_end_object(&w);
    }
    kal_json_end_array(&w);
    kal_json_end_object(&w);
    kal_buf_release(&sql);
}

void kal_namespace_file_write(kal_bytes namespace_id, const kal_namespace_info *info, kal_buf *out)
{
    kal_json_writer w;

    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "format");
    kal_json_u64(&w, FORMAT);
    kal_json_key(&w, "namespace");
    kal_json_string(&w, namespace_id);
    kal_json_key(&w, "created_at");
    kal_json_i64(&w, info->created_at_us);
    kal_json_key(&w, "options"); /* as text: numbers stay as they were written */
    if (info->options.ptr == NULL)
        kal_json_null(&w);
    else
        kal_json_string(&w, info->options);
    kal_json_end_object(&w);
}

/* ---- reading ---- */

static kal_status damaged(kal_bytes name, const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, "file '%.*s' of the backup is damaged: %s",
                         KAL_FMT(name), what);
}

static const kal_json *member(const kal_json *object, const char *key, kal_json_kind kind)
{
    const kal_json *found = object->kind == KAL_JSON_OBJECT ? kal_json_find(object, key) : NULL;
    return found != NULL && found->kind == kind ? found : NULL;
}

static bool number(const kal_json *object, const char *key, int64_t *out)
{
    const kal_json *found = member(object, key, KAL_JSON_NUMBER);
    return found != NULL && kal_parse_i64(found->text, out);
}

static kal_status parse(kal_bytes text, kal_bytes name, kal_arena *arena, kal_json **out,
                        kal_error *err)
{
    int64_t format = 0;

    kal_status status = kal_json_parse(text, arena, out, NULL);
    if (status == KAL_LIMIT)
        return kal_error_set(err, status, "file '%.*s' of the backup is too large or too deep",
                             KAL_FMT(name));
    if (status != KAL_OK)
        return damaged(name, "it is not JSON", err);
    if (!number(*out, "format", &format) || format < 1)
        return damaged(name, "it has no format", err);
    if (format > FORMAT)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "file '%.*s' of the backup has format %lld, this server reads up to "
                             "%d",
                             KAL_FMT(name), (long long)format, FORMAT);
    return KAL_OK;
}

/* Names beginning with _ are those of the hidden columns of the files. */
static bool has_free_names(const kal_table_definition *def)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].name.len == 0 || def->columns[i].name.ptr[0] == '_')
            return false;
    }
    return true;
}

static kal_status read_version(const kal_json *json, size_t number_of_it, kal_bytes name,
                               kal_bytes namespace_id, kal_arena *arena, kal_restored_version *out,
                               kal_error *err)
{
    const kal_json *step = member(json, "step", KAL_JSON_OBJECT);
    const kal_json *definition = member(json, "definition", KAL_JSON_OBJECT);
    kal_table_definition *def = NULL;
    kal_error inner = KAL_ERROR_INIT;

    if (step == NULL || definition == NULL)
        return damaged(name, "a version has no step or definition", err);
    kal_status status = kal_schema_version_from_json(step, arena, &out->step, &inner);
    if (status == KAL_OK)
        status = kal_table_definition_from_json(definition, arena, &def, &inner);
    if (status == KAL_OK)
        status = kal_table_definition_validate(def, &inner);
    if (status != KAL_OK)
        return damaged(name, inner.message, err);
    if (out->step.version != number_of_it || def->schema_version != number_of_it)
        return damaged(name, "its versions do not follow each other", err);
    if (!kal_bytes_equal(def->namespace_id, namespace_id))
        return damaged(name, "it is of another namespace", err);
    if (def->table_type == KAL_TABLE_SYSTEM ||
        (def->table_type == KAL_TABLE_VIEW) != (def->view != NULL) || !has_free_names(def))
        return damaged(name, "it is no table that can be", err);
    out->def = def;
    return KAL_OK;
}

/* The k-th file of a table has a name that follows from both. */
static kal_status read_files(const kal_json *files, kal_bytes name, kal_bytes table_name,
                             kal_arena *arena, kal_table_file *out, kal_error *err)
{
    out->files = kal_arena_try_array(arena, files->len + 1, sizeof *out->files);
    if (out->files == NULL)
        return kal_error_set(err, KAL_LIMIT, "the backup exceeds the memory");
    for (size_t i = 0; i < files->len; i++) {
        const char *expected = kal_arena_printf(arena, KAL_BACKUP_TABLES "/%.*s.%04zu.parquet",
                                                KAL_FMT(table_name), i + 1);
        if (files->items[i].kind != KAL_JSON_STRING ||
            !kal_bytes_equal(files->items[i].text, kal_cstr(expected)))
            return damaged(name, "it names a file that is not its own", err);
        out->files[out->file_count++] = files->items[i].text;
    }
    return KAL_OK;
}

static kal_status check_name(const kal_table_file *file, kal_bytes name, kal_arena *arena,
                             kal_error *err)
{
    const kal_table_definition *def = kal_table_file_def(file);
    const char *expected =
        kal_arena_printf(arena, KAL_BACKUP_TABLES "/%.*s.json", KAL_FMT(def->table_name));

    if (!kal_bytes_equal(name, kal_cstr(expected)))
        return damaged(name, "it is of another table", err);
    if (def->table_type == KAL_TABLE_VIEW && file->file_count > 0)
        return damaged(name, "a view with rows", err);
    if ((file->file_count == 0) != (file->row_count == 0))
        return damaged(name, "it has rows without files, or files without rows", err);
    return KAL_OK;
}

kal_status kal_table_file_read(kal_bytes text, kal_bytes name, kal_bytes namespace_id,
                               kal_arena *arena, kal_table_file *out, kal_error *err)
{
    kal_json *json = NULL;
    int64_t rows = 0;

    *out = (kal_table_file){0};
    KAL_TRY(parse(text, name, arena, &json, err));
    const kal_json *versions = member(json, "versions", KAL_JSON_ARRAY);
    const kal_json *files = member(json, "files", KAL_JSON_ARRAY);
    if (versions == NULL || versions->len == 0 || files == NULL || !number(json, "rows", &rows) ||
        rows < 0)
        return damaged(name, "it has no versions, files or number of rows", err);
    out->row_count = (uint64_t)rows;
    out->versions = kal_arena_try_array(arena, versions->len, sizeof *out->versions);
    if (out->versions == NULL)
        return kal_error_set(err, KAL_LIMIT, "the backup exceeds the memory");
    for (size_t i = 0; i < versions->len; i++) {
        KAL_TRY(read_version(&versions->items[i], i + 1, name, namespace_id, arena,
                             &out->versions[i], err));
        if (out->versions[i].def->table_type != out->versions[0].def->table_type)
            return damaged(name, "its versions are of different kinds", err);
    }
    out->version_count = versions->len;
    KAL_TRY(read_files(files, name, kal_table_file_def(out)->table_name, arena, out, err));
    return check_name(out, name, arena, err);
}

kal_status kal_namespace_file_read(kal_bytes text, kal_bytes namespace_id, kal_arena *arena,
                                   kal_namespace_info *out, kal_error *err)
{
    const kal_bytes file = KAL_STR(KAL_BACKUP_NAMESPACE);
    kal_json *json = NULL;

    *out = (kal_namespace_info){0};
    KAL_TRY(parse(text, file, arena, &json, err));
    const kal_json *name = member(json, "namespace", KAL_JSON_STRING);
    const kal_json *options = kal_json_find(json, "options");
    if (name == NULL || !kal_bytes_equal(name->text, namespace_id))
        return damaged(file, "it is of another namespace", err);
    if (!number(json, "created_at", &out->created_at_us) || options == NULL ||
        (options->kind != KAL_JSON_NULL && options->kind != KAL_JSON_STRING))
        return damaged(file, "it has no time or options", err);
    if (options->kind == KAL_JSON_STRING)
        out->options = options->text;
    return KAL_OK;
}
