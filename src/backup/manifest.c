#include "backup/manifest.h"
#include "base/digest.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#include <string.h>

enum {
    FORMAT = 3,     /* of a namespace */
    FORMAT_ALL = 2, /* of the whole database; 1: no segments */
    NAME_BYTES_MAX = 200
};

void kal_manifest_write(const kal_backup *backup, kal_buf *out)
{
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "format");
    kal_json_u64(&w, backup->namespace_id.len > 0 ? FORMAT : FORMAT_ALL);
    kal_json_key(&w, "version");
    kal_json_string(&w, backup->version);
    kal_json_key(&w, "created_at");
    kal_json_i64(&w, backup->created_at_us);
    if (backup->namespace_id.len > 0) {
        kal_json_key(&w, "namespace");
        kal_json_string(&w, backup->namespace_id);
    }
    if (backup->is_scheduled) {
        kal_json_key(&w, "scheduled");
        kal_json_bool(&w, true);
    }
    kal_json_key(&w, "files");
    kal_json_begin_array(&w);
    for (size_t i = 0; i < backup->file_count; i++) {
        const kal_backup_file *f = &backup->files[i];
        kal_json_begin_object(&w);
        kal_json_key(&w, "name");
        kal_json_string(&w, f->name);
        kal_json_key(&w, "size");
        kal_json_u64(&w, f->size_bytes);
        kal_json_key(&w, "sha256");
        kal_json_string(&w, f->sha256);
        kal_json_end_object(&w);
    }
    kal_json_end_array(&w);
    kal_json_end_object(&w);
}

static kal_status damaged(const char *what, kal_error *err)
{
    return kal_error_set(err, KAL_CORRUPT, KAL_MANIFEST_NAME " is damaged: %s", what);
}

/* In one of the folders, and letters, digits, '.', '_', '-', not a dot first; or a file beside
 * them.
 */
static bool is_name(kal_bytes name, bool of_namespace)
{
    static const char *const ALL[] = {"rocksdb/", KAL_BACKUP_SEGMENTS "/", NULL};
    static const char *const NAMESPACE[] = {KAL_BACKUP_TABLES "/", NULL};
    const char *const *folders = of_namespace ? NAMESPACE : ALL;
    size_t folder = 0;

    if (!of_namespace && kal_bytes_equal(name, KAL_STR("token-secret")))
        return true;
    if (of_namespace && (kal_bytes_equal(name, KAL_STR(KAL_BACKUP_NAMESPACE)) ||
                         kal_bytes_equal(name, KAL_STR(KAL_BACKUP_USERS))))
        return true;
    for (; *folders != NULL && folder == 0; folders++)
        folder = kal_bytes_starts_with(name, kal_cstr(*folders)) ? strlen(*folders) : 0;
    if (folder == 0 || name.len <= folder || name.len > NAME_BYTES_MAX || name.ptr[folder] == '.')
        return false;
    for (size_t i = folder; i < name.len; i++) {
        char c = (char)name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool is_hash(kal_bytes hash)
{
    for (size_t i = 0; i < hash.len; i++) {
        char c = (char)hash.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return hash.len == KAL_DIGEST_HEX_LEN;
}

static const kal_json *member(const kal_json *object, const char *key, kal_json_kind kind)
{
    const kal_json *found = object->kind == KAL_JSON_OBJECT ? kal_json_find(object, key) : NULL;
    return found != NULL && found->kind == kind ? found : NULL;
}

static bool whole_number(const kal_json *object, const char *key, int64_t *out)
{
    const kal_json *found = member(object, key, KAL_JSON_NUMBER);
    return found != NULL && kal_parse_i64(found->text, out) && *out >= 0;
}

static kal_status read_file(const kal_json *json, kal_backup *backup, kal_error *err)
{
    kal_backup_file *f = &backup->files[backup->file_count];
    const kal_json *name = member(json, "name", KAL_JSON_STRING);
    const kal_json *hash = member(json, "sha256", KAL_JSON_STRING);
    int64_t size = 0;

    if (name == NULL || !is_name(name->text, backup->namespace_id.len > 0))
        return damaged("a file has no proper name", err);
    if (hash == NULL || !is_hash(hash->text) || !whole_number(json, "size", &size))
        return damaged("a file has no size or checksum", err);
    if (backup->file_count > 0 && kal_bytes_compare(f[-1].name, name->text) >= 0)
        return damaged("its files are not in order", err);
    if (!kal_try_add(backup->size_bytes, (uint64_t)size, &backup->size_bytes))
        return damaged("sizes that cannot be", err);
    *f = (kal_backup_file){.name = name->text, .size_bytes = (uint64_t)size, .sha256 = hash->text};
    backup->file_count++;
    return KAL_OK;
}

/* What format says it is of. */
static kal_status read_namespace(const kal_json *json, int64_t format, kal_backup *out,
                                 kal_error *err)
{
    const kal_json *name = member(json, "namespace", KAL_JSON_STRING);
    bool is_name = name != NULL && name->text.len > 0 && name->text.len <= KAL_NAME_BYTES_MAX;

    for (size_t i = 0; is_name && i < name->text.len; i++) {
        char c = (char)name->text.ptr[i];
        is_name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (format < FORMAT)
        return KAL_OK;
    if (!is_name)
        return damaged("it names no namespace", err);
    out->namespace_id = name->text;
    return KAL_OK;
}

kal_status kal_manifest_read(kal_bytes text, kal_arena *arena, kal_backup *out, kal_error *err)
{
    kal_json *json = NULL;
    int64_t format = 0;

    *out = (kal_backup){0};
    if (kal_json_parse(text, arena, &json, NULL) != KAL_OK)
        return damaged("it is not JSON", err);
    if (!whole_number(json, "format", &format) || format == 0)
        return damaged("it has no format", err);
    if (format > FORMAT)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "the backup has format %lld, this server reads up to %d",
                             (long long)format, FORMAT);
    const kal_json *version = member(json, "version", KAL_JSON_STRING);
    const kal_json *files = member(json, "files", KAL_JSON_ARRAY);
    if (version == NULL || files == NULL || !whole_number(json, "created_at", &out->created_at_us))
        return damaged("it has no version, time or files", err);
    out->version = version->text;
    const kal_json *scheduled = member(json, "scheduled", KAL_JSON_BOOL);
    out->is_scheduled = scheduled != NULL && scheduled->boolean;
    KAL_TRY(read_namespace(json, format, out, err));
    out->files = kal_arena_try_array(arena, files->len + 1, sizeof *out->files);
    if (out->files == NULL)
        return kal_error_set(err, KAL_LIMIT, KAL_MANIFEST_NAME " is too large");
    for (size_t i = 0; i < files->len; i++)
        KAL_TRY(read_file(&files->items[i], out, err));
    return KAL_OK;
}
