#include "server/config.h"
#include "base/json_writer.h"
#include "shims/toml_shim.h"

#include <stddef.h>
#include <stdio.h>

typedef struct setting {
    const char *key;
    const char *option;
    const char *env;
    const char *help;
    const char *text_default; /* NULL: a number */
    int64_t least;
    int64_t most;
    int64_t number_default;
    size_t offset; /* in kal_config */
} setting;

static const setting SETTINGS[] = {
#define TEXT_ROW(member, key_, option_, env_, by_default, help_)                                   \
    {.key = key_,                                                                                  \
     .option = option_,                                                                            \
     .env = env_,                                                                                  \
     .help = help_,                                                                                \
     .text_default = by_default,                                                                   \
     .offset = offsetof(kal_config, member)},
    KAL_CONFIG_TEXT_LIST(TEXT_ROW)
#undef TEXT_ROW
#define NUMBER_ROW(member, key_, option_, env_, least_, most_, by_default, help_)                  \
    {.key = key_,                                                                                  \
     .option = option_,                                                                            \
     .env = env_,                                                                                  \
     .help = help_,                                                                                \
     .least = least_,                                                                              \
     .most = most_,                                                                                \
     .number_default = by_default,                                                                 \
     .offset = offsetof(kal_config, member)},
        KAL_CONFIG_NUMBER_LIST(NUMBER_ROW)
#undef NUMBER_ROW
};

static bool is_number(const setting *s)
{
    return s->text_default == NULL;
}

static const char **text_of(kal_config *config, const setting *s)
{
    return (const char **)(void *)((char *)config + s->offset);
}

static int64_t *number_of(kal_config *config, const setting *s)
{
    return (int64_t *)(void *)((char *)config + s->offset);
}

static void set_defaults(kal_config *config)
{
    *config = (kal_config){0};
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS); i++) {
        if (is_number(&SETTINGS[i]))
            *number_of(config, &SETTINGS[i]) = SETTINGS[i].number_default;
        else
            *text_of(config, &SETTINGS[i]) = SETTINGS[i].text_default;
    }
}

/* ---- values ---- */

/* `where` names the option, variable or line that is being read. */
static kal_status set_number(kal_config *config, const setting *s, int64_t v, const char *where,
                             kal_error *err)
{
    if (v < s->least || v > s->most)
        return kal_error_set(err, KAL_INVALID, "%s: %lld is not between %lld and %lld", where,
                             (long long)v, (long long)s->least, (long long)s->most);
    *number_of(config, s) = v;
    return KAL_OK;
}

static kal_status set_text(kal_config *config, const setting *s, kal_bytes text, const char *where,
                           kal_arena *arena, kal_error *err)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return kal_error_set(err, KAL_INVALID, "%s: a NUL byte", where);
    *text_of(config, s) = kal_arena_cstr(arena, text);
    return KAL_OK;
}

static kal_status set_from_text(kal_config *config, const setting *s, const char *text,
                                const char *where, kal_arena *arena, kal_error *err)
{
    int64_t v = 0;
    if (!is_number(s))
        return set_text(config, s, kal_cstr(text), where, arena, err);
    if (!kal_parse_i64(kal_cstr(text), &v))
        return kal_error_set(err, KAL_INVALID, "%s: '%s' is not a whole number", where, text);
    return set_number(config, s, v, where, err);
}

static kal_status check_word(const char *value, const char *const *words, const char *key,
                             kal_error *err)
{
    for (const char *const *word = words; *word != NULL; word++) {
        if (strcmp(*word, value) == 0)
            return KAL_OK;
    }
    kal_error_set(err, KAL_INVALID, "%s cannot be '%s'", key, value);
    kal_error_hint(err, "%s%s%s%s%s%s%s", words[0], " or ", words[1],
                   words[2] == NULL ? "" : " or ", words[2] == NULL ? "" : words[2],
                   words[2] == NULL || words[3] == NULL ? "" : " or ",
                   words[2] == NULL || words[3] == NULL ? "" : words[3]);
    return KAL_INVALID;
}

static kal_status check_words(const kal_config *config, kal_error *err)
{
    static const char *const DURABILITY[] = {"commit", "interval", NULL};
    static const char *const LEVELS[] = {"error", "warn", "info", "debug", NULL};
    static const char *const FORMATS[] = {"text", "json", NULL};
    KAL_TRY(check_word(config->durability, DURABILITY, "storage.durability", err));
    KAL_TRY(check_word(config->log_level, LEVELS, "log.level", err));
    return check_word(config->log_format, FORMATS, "log.format", err);
}

/* ---- server.toml ---- */

static const setting *find_key(const char *key)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS); i++) {
        if (strcmp(SETTINGS[i].key, key) == 0)
            return &SETTINGS[i];
    }
    return NULL;
}

static void hint_near(const char *word, bool options, kal_error *err)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS); i++) {
        const char *name = options ? SETTINGS[i].option : SETTINGS[i].key;
        size_t distance = kal_edit_distance(kal_cstr(name), kal_cstr(word));
        if (distance < least) {
            least = distance;
            best = name;
        }
    }
    if (best != NULL)
        kal_error_hint(err, "did you mean '%s'?", best);
}

typedef struct toml_reader {
    kal_config *config;
    const char *name;
    kal_arena *arena;
    kal_status status;
    kal_error *err;
} toml_reader;

static kal_status read_leaf(toml_reader *r, const kal_toml_leaf *leaf)
{
    const setting *s = find_key(leaf->path);
    const char *where =
        kal_arena_printf(r->arena, "%s line %u, %s", r->name, leaf->line, leaf->path);

    if (s == NULL) {
        kal_error_set(r->err, KAL_INVALID, "%s line %u: unknown key '%s'", r->name, leaf->line,
                      leaf->path);
        hint_near(leaf->path, false, r->err);
        return KAL_INVALID;
    }
    if (is_number(s) && leaf->kind == KAL_TOML_INTEGER)
        return set_number(r->config, s, leaf->integer, where, r->err);
    if (!is_number(s) && leaf->kind == KAL_TOML_TEXT)
        return set_text(r->config, s, kal_bytes_of(leaf->text, leaf->text_len), where, r->arena,
                        r->err);
    return kal_error_set(r->err, KAL_INVALID, "%s must be %s", where,
                         is_number(s) ? "a whole number" : "text in quotes");
}

static bool visit_leaf(void *context, const kal_toml_leaf *leaf)
{
    toml_reader *r = context;
    r->status = read_leaf(r, leaf);
    return r->status == KAL_OK;
}

kal_status kal_config_parse_toml(kal_bytes text, const char *name, kal_arena *arena,
                                 kal_config *config, kal_error *err)
{
    toml_reader reader = {config, name, arena, KAL_OK, err};
    char message[256] = "";
    unsigned line = 0;

    if (!kal_toml_walk((const char *)text.ptr, text.len, visit_leaf, &reader, message,
                       sizeof message, &line))
        return kal_error_set(err, KAL_INVALID, "%s line %u: %s", name, line, message);
    return reader.status;
}

/* Notes the file in the configuration when there is one. */
static kal_status read_file(const char *path, bool must_exist, const kal_files *files,
                            kal_arena *arena, kal_config *config, kal_error *err)
{
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_status status = kal_files_read(files, path, &text, err);
    if (status == KAL_OK) {
        config->file = path;
        status = kal_config_parse_toml(kal_buf_bytes(&text), path, arena, config, err);
    } else if (status == KAL_NOT_FOUND) {
        status = must_exist
                     ? kal_error_set(err, KAL_INVALID, "--config: there is no file '%s'", path)
                     : KAL_OK;
    }
    kal_buf_release(&text);
    return status;
}

/* ---- command line ---- */

/* The value of `--name value` or `--name=value`; NULL when argv[*i] is another option. */
static const char *option_value(const char *option, int argc, char **argv, int *i)
{
    size_t len = strlen(option);
    if (strncmp(argv[*i], option, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] != '\0')
        return NULL;
    return *i + 1 < argc ? argv[++*i] : "";
}

static kal_status unknown_option(const char *text, kal_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    kal_error_set(err, KAL_INVALID, "unknown option '%s'", name);
    hint_near(name, true, err);
    if (err->hint[0] == '\0')
        kal_error_hint(err, "--help lists them");
    return KAL_INVALID;
}

static kal_status read_option(int argc, char **argv, int *i, kal_arena *arena, kal_config *config,
                              kal_error *err)
{
    if (strcmp(argv[*i], "--help") == 0 || strcmp(argv[*i], "-h") == 0) {
        config->action = KAL_CONFIG_HELP;
        return KAL_OK;
    }
    if (strcmp(argv[*i], "--version") == 0) {
        config->action = KAL_CONFIG_VERSION;
        return KAL_OK;
    }
    if (option_value("--config", argc, argv, i) != NULL)
        return KAL_OK; /* was read first */
    const char *backup = option_value("--restore", argc, argv, i);
    if (backup != NULL && backup[0] == '\0')
        return kal_error_set(err, KAL_INVALID, "--restore needs the path of a backup");
    if (backup != NULL) {
        config->action = KAL_CONFIG_RESTORE;
        config->restore_path = backup;
        return KAL_OK;
    }
    for (size_t k = 0; k < KAL_ARRAY_LEN(SETTINGS); k++) {
        const char *value = option_value(SETTINGS[k].option, argc, argv, i);
        if (value == NULL)
            continue;
        if (value[0] == '\0')
            return kal_error_set(err, KAL_INVALID, "%s needs a value", SETTINGS[k].option);
        return set_from_text(config, &SETTINGS[k], value, SETTINGS[k].option, arena, err);
    }
    return unknown_option(argv[*i], err);
}

static const char *config_option(int argc, char **argv)
{
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = option_value("--config", argc, argv, &i);
        if (value != NULL)
            path = value;
    }
    return path;
}

static kal_status read_environment(kal_config_env env, kal_arena *arena, kal_config *config,
                                   kal_error *err)
{
    const char *password = env("KALAMDB_ROOT_PASSWORD");
    if (password != NULL && password[0] != '\0')
        config->root_password = kal_arena_cstr(arena, kal_cstr(password));
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS); i++) {
        const char *value = env(SETTINGS[i].env);
        if (value != NULL && value[0] != '\0')
            KAL_TRY(set_from_text(config, &SETTINGS[i], value, SETTINGS[i].env, arena, err));
    }
    return KAL_OK;
}

kal_status kal_config_read(int argc, char **argv, kal_config_env env, const kal_files *files,
                           kal_arena *arena, kal_config *config_out, kal_error *err)
{
    const char *path = config_option(argc, argv);

    set_defaults(config_out);
    KAL_TRY(read_file(path == NULL ? "server.toml" : path, path != NULL, files, arena, config_out,
                      err));
    KAL_TRY(read_environment(env, arena, config_out, err));
    for (int i = 1; i < argc; i++)
        KAL_TRY(read_option(argc, argv, &i, arena, config_out, err));
    return check_words(config_out, err);
}

void kal_config_help(kal_buf *out)
{
    kal_buf_append_cstr(out, "kalamdb-server: SQL database server\n\n"
                             "  kalamdb-server [options]\n\n");
    for (size_t i = 0; i < KAL_ARRAY_LEN(SETTINGS); i++) {
        const setting *s = &SETTINGS[i];
        kal_buf_printf(out, "  %-24s %s", s->option, s->help);
        if (is_number(s))
            kal_buf_printf(out, " (%lld)", (long long)s->number_default);
        else if (s->text_default[0] != '\0')
            kal_buf_printf(out, " (%s)", s->text_default);
        kal_buf_printf(out, "\n  %-24s %s in server.toml, or %s\n", "", s->key, s->env);
    }
    kal_buf_append_cstr(
        out, "  --config FILE            read FILE instead of ./server.toml\n"
             "  --restore PATH           make the data directory out of a backup, and end\n"
             "  --help, --version\n\n"
             "KALAMDB_ROOT_PASSWORD sets root's password at the first start.\n");
}

/* ---- showing them ---- */

/* "engine" of "engine.timeout_ms" */
static const char *category_of(const char *key, kal_arena *arena)
{
    return kal_arena_printf(arena, "%.*s", (int)strcspn(key, "."), key);
}

static kal_setting shown(const setting *s, const kal_config *config, kal_arena *arena)
{
    const void *member = (const char *)config + s->offset;
    kal_setting row = {
        .name = s->key, .description = s->help, .category = category_of(s->key, arena)};

    if (is_number(s))
        row.value = kal_arena_printf(arena, "%lld", (long long)*(const int64_t *)member);
    else
        row.value = *(const char *const *)member;
    return row;
}

void kal_config_settings(const kal_config *config, kal_arena *arena, kal_setting **settings_out,
                         size_t *count_out)
{
    const kal_setting others[] = {
        {"config", config->file, "the file that was read", "server"},
        {"root_password", config->root_password == NULL ? NULL : "***",
         "root's password at the first start, from KALAMDB_ROOT_PASSWORD", "auth"},
    };
    size_t count = KAL_ARRAY_LEN(SETTINGS);
    kal_setting *rows = kal_arena_alloc(arena, (count + KAL_ARRAY_LEN(others)) * sizeof *rows);

    for (size_t i = 0; i < count; i++)
        rows[i] = shown(&SETTINGS[i], config, arena);
    for (size_t i = 0; i < KAL_ARRAY_LEN(others); i++)
        rows[count++] = others[i];
    *settings_out = rows;
    *count_out = count;
}
