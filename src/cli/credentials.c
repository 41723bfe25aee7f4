/*
 * credentials.c: the file of tokens.
 */
#include "cli/credentials.h"

#include "base/files.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "types/json.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (1024u * 1024u)

static const char *join(kal_arena *arena, const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 2;
    char *path = kal_arena_alloc(arena, size);
    snprintf(path, size, "%s/%s", a, b);
    return path;
}

kal_status kal_home_path(kal_home_kind kind, const char *name, bool make, kal_arena *arena,
                         const char **path_out, kal_error *err)
{
    const char *base = getenv(kind == KAL_HOME_CONFIG ? "XDG_CONFIG_HOME" : "XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (base == NULL || base[0] != '/') {
        if (home == NULL || home[0] == '\0')
            return kal_error_set(err, KAL_NOT_FOUND, "HOME is not set");
        base = join(arena, home, kind == KAL_HOME_CONFIG ? ".config" : ".local/state");
    }
    const char *dir = join(arena, base, "kalam");
    *path_out = join(arena, dir, name);
    return make ? kal_files_make_dir(kal_files_system(), dir, err) : KAL_OK;
}

/* The file's tree; an empty object when there is no file. */
static kal_status read_all(const char *path, kal_arena *arena, kal_json **json_out, kal_error *err)
{
    kal_budget budget;
    kal_buf text; /* owned */

    kal_budget_init(&budget, NULL, FILE_BYTES_MAX);
    kal_buf_init(&text, &budget);
    kal_status status = kal_files_read(kal_files_system(), path, &text, err);
    if (status == KAL_NOT_FOUND)
        status = kal_json_parse(KAL_STR("{}"), arena, json_out, err);
    else if (status == KAL_OK)
        status = kal_json_parse(kal_arena_copy(arena, kal_buf_bytes(&text)), arena, json_out, err);
    if (status == KAL_INVALID || (status == KAL_OK && (*json_out)->kind != KAL_JSON_OBJECT)) {
        status = kal_error_set(err, KAL_INVALID, "'%s' is not a file of logins", path);
        kal_error_hint(err, "remove it and log in again");
    }
    kal_buf_release(&text);
    return status;
}

static const char *member(const kal_json *json, const char *key, kal_arena *arena)
{
    const kal_json *found = kal_json_find(json, key);
    return found == NULL || found->kind != KAL_JSON_STRING || found->text.len == 0
               ? NULL
               : kal_arena_cstr(arena, found->text);
}

kal_status kal_credentials_load(const char *url, kal_arena *arena, kal_credentials *credentials_out,
                                kal_error *err)
{
    const char *path = NULL;
    kal_json *json = NULL;

    *credentials_out = (kal_credentials){0};
    KAL_TRY(kal_home_path(KAL_HOME_CONFIG, "credentials.json", false, arena, &path, err));
    KAL_TRY(read_all(path, arena, &json, err));
    const kal_json *login = kal_json_find(json, url);
    credentials_out->user = member(login, "user", arena);
    credentials_out->access_token = member(login, "access_token", arena);
    credentials_out->refresh_token = member(login, "refresh_token", arena);
    return credentials_out->access_token == NULL ? KAL_NOT_FOUND : KAL_OK;
}

static void write_login(kal_json_writer *w, const char *url, const kal_credentials *credentials)
{
    kal_json_key(w, url);
    kal_json_begin_object(w);
    kal_json_key(w, "user");
    kal_json_cstr(w, credentials->user == NULL ? "" : credentials->user);
    kal_json_key(w, "access_token");
    kal_json_cstr(w, credentials->access_token);
    if (credentials->refresh_token != NULL) {
        kal_json_key(w, "refresh_token");
        kal_json_cstr(w, credentials->refresh_token);
    }
    kal_json_end_object(w);
}

static kal_status store(const char *url, const kal_credentials *credentials, kal_arena *arena,
                        kal_error *err)
{
    const char *path = NULL;
    kal_json *json = NULL;
    kal_json_writer w;
    kal_buf text; /* owned */

    KAL_TRY(kal_home_path(KAL_HOME_CONFIG, "credentials.json", true, arena, &path, err));
    KAL_TRY(read_all(path, arena, &json, err));
    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_begin_object(&w);
    for (size_t i = 0; i < json->len; i++) {
        const kal_json *login = &json->items[i];
        if (kal_bytes_equal(json->keys[i], kal_cstr(url)))
            continue;
        kal_json_key_bytes(&w, json->keys[i]);
        kal_json_write_tree(login, &w);
    }
    if (credentials != NULL)
        write_login(&w, url, credentials);
    kal_json_end_object(&w);
    kal_buf_append_byte(&text, '\n');
    kal_status status =
        kal_files_replace(kal_files_system(), path, kal_buf_bytes(&text), 0600, err);
    explicit_bzero(text.ptr, text.len);
    kal_buf_release(&text);
    return status;
}

kal_status kal_credentials_store(const char *url, const kal_credentials *credentials,
                                 kal_error *err)
{
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    kal_status status = store(url, credentials, &arena, err);
    kal_arena_release(&arena);
    return status;
}
