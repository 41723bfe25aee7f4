#include "cli/options.h"

#include "base/bytes.h"
#include "base/json_writer.h"

#include <stdlib.h>

const char kal_cli_usage[] =
    "kalam: the terminal client of KalamDB\n"
    "\n"
    "  kalam [options]                   type SQL; or SQL from standard input\n"
    "  kalam [options] -c SQL -f FILE    run SQL, run a file; both as often as you like\n"
    "  kalam import FILE INTO ns.t [CREATE]\n"
    "                                    load a CSV or JSON file; CREATE makes the table\n"
    "  kalam setup [--data DIR]          first set-up: root's password, a first dba\n"
    "  kalam login                       keep a token for this server\n"
    "  kalam logout                      forget it\n"
    "\n"
    "  -u, --url URL          the server (" KAL_CLI_URL_DEFAULT ")\n"
    "      --user NAME        log in as NAME (also --username)\n"
    "      --password TEXT    better: KALAMDB_PASSWORD, or be asked\n"
    "      --token TOKEN      an access token instead of a name\n"
    "  -n, --namespace NAME   where names without a namespace are looked up\n"
    "  -c SQL                 run SQL and leave\n"
    "  -f FILE                run the statements of FILE and leave; - is standard input\n"
    "      --format FORMAT    table, csv or json (also --csv, --json)\n"
    "      --no-color         no colours (also NO_COLOR)\n"
    "      --timeout SECONDS  give up on a statement after this long\n"
    "      --data DIR         setup: the server's data folder (./data)\n"
    "      --root-password P  setup: better KALAMDB_ROOT_PASSWORD, or be asked\n"
    "      --no-login         setup: do not keep a token\n"
    "      --help, --version\n"
    "\n"
    "Exit code: 0 done, 1 a statement was refused, 2 wrong usage, 3 no connection or no login.\n";

bool kal_cli_format_parse(const char *text, kal_cli_format *format_out)
{
#define MATCH(name, literal)                                                                       \
    if (strcmp(text, literal) == 0) {                                                              \
        *format_out = KAL_CLI_FORMAT_##name;                                                       \
        return true;                                                                               \
    }
    KAL_CLI_FORMAT_LIST(MATCH)
#undef MATCH
    return false;
}

const char *kal_cli_format_name(kal_cli_format format)
{
    static const char *const names[] = {
#define NAME(name, literal) literal,
        KAL_CLI_FORMAT_LIST(NAME)
#undef NAME
    };
    return names[format];
}

typedef enum flag_id {
    FLAG_URL,
    FLAG_USER,
    FLAG_PASSWORD,
    FLAG_TOKEN,
    FLAG_NAMESPACE,
    FLAG_COMMAND,
    FLAG_FILE,
    FLAG_FORMAT,
    FLAG_TIMEOUT,
    FLAG_DATA,
    FLAG_ROOT_PASSWORD,
    FLAG_CSV,
    FLAG_JSON,
    FLAG_NO_COLOR,
    FLAG_NO_LOGIN,
    FLAG_HELP,
    FLAG_VERSION,
} flag_id;

/* One row a spelling. Flags up to FLAG_ROOT_PASSWORD take a value. */
static const struct {
    const char *name;
    flag_id id;
} FLAGS[] = {
    {"-u", FLAG_URL},
    {"--url", FLAG_URL},
    {"--user", FLAG_USER},
    {"--username", FLAG_USER},
    {"--password", FLAG_PASSWORD},
    {"--token", FLAG_TOKEN},
    {"-n", FLAG_NAMESPACE},
    {"--namespace", FLAG_NAMESPACE},
    {"-c", FLAG_COMMAND},
    {"--command", FLAG_COMMAND},
    {"-f", FLAG_FILE},
    {"--file", FLAG_FILE},
    {"--format", FLAG_FORMAT},
    {"--timeout", FLAG_TIMEOUT},
    {"--data", FLAG_DATA},
    {"--root-password", FLAG_ROOT_PASSWORD},
    {"--csv", FLAG_CSV},
    {"--json", FLAG_JSON},
    {"--no-color", FLAG_NO_COLOR},
    {"--no-login", FLAG_NO_LOGIN},
    {"--help", FLAG_HELP},
    {"-h", FLAG_HELP},
    {"--version", FLAG_VERSION},
};

static kal_status usage_error(kal_error *err)
{
    kal_error_hint(err, "kalam --help lists the options");
    return KAL_INVALID;
}

static kal_status unknown_flag(const char *flag, kal_error *err)
{
    size_t best = SIZE_MAX;
    const char *near = NULL;
    kal_error_set(err, KAL_INVALID, "unknown option '%.100s'", flag);
    for (size_t i = 0; i < KAL_ARRAY_LEN(FLAGS); i++) {
        size_t distance = kal_edit_distance(kal_cstr(flag), kal_cstr(FLAGS[i].name));
        if (strlen(FLAGS[i].name) > 2 && distance < best) {
            best = distance;
            near = FLAGS[i].name;
        }
    }
    if (best > 2)
        return usage_error(err);
    kal_error_hint(err, "did you mean '%s'?", near);
    return KAL_INVALID;
}

static kal_status set_timeout(const char *value, unsigned *timeout_out, kal_error *err)
{
    int64_t seconds = 0;
    if (!kal_parse_i64(kal_cstr(value), &seconds) || seconds < 0 || seconds > 86400)
        return kal_error_set(err, KAL_INVALID,
                             "'%.100s' is not a number of seconds between 0 and 86400", value);
    *timeout_out = (unsigned)seconds;
    return KAL_OK;
}

static kal_status set_value(kal_cli_options *options, flag_id id, const char *value, kal_error *err)
{
    switch (id) {
    case FLAG_URL:
        options->url = value;
        return KAL_OK;
    case FLAG_USER:
        options->user = value;
        return KAL_OK;
    case FLAG_PASSWORD:
        options->password = value;
        return KAL_OK;
    case FLAG_TOKEN:
        options->token = value;
        return KAL_OK;
    case FLAG_NAMESPACE:
        options->namespace_id = value;
        return KAL_OK;
    case FLAG_DATA:
        options->data_dir = value;
        return KAL_OK;
    case FLAG_ROOT_PASSWORD:
        options->root_password = value;
        return KAL_OK;
    case FLAG_TIMEOUT:
        return set_timeout(value, &options->timeout_s, err);
    case FLAG_COMMAND:
    case FLAG_FILE:
        kal_vec_push(&options->actions,
                     ((kal_cli_action){.text = value, .is_file = id == FLAG_FILE}));
        return KAL_OK;
    default:
        break;
    }
    if (kal_cli_format_parse(value, &options->format))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "'%.100s' is not a format", value);
    kal_error_hint(err, "the formats are table, csv and json");
    return KAL_INVALID;
}

static void set_switch(kal_cli_options *options, flag_id id)
{
    switch (id) {
    case FLAG_CSV:
        options->format = KAL_CLI_FORMAT_CSV;
        break;
    case FLAG_JSON:
        options->format = KAL_CLI_FORMAT_JSON;
        break;
    case FLAG_NO_COLOR:
        options->no_color = true;
        break;
    case FLAG_NO_LOGIN:
        options->no_login = true;
        break;
    case FLAG_HELP:
        options->command = KAL_CLI_HELP;
        break;
    default:
        options->command = KAL_CLI_VERSION;
        break;
    }
}

/* argv[*index] starts with '-'. Moves *index past the flag and its value. */
static kal_status take_flag(kal_cli_options *options, int argc, char **argv, int *index,
                            kal_error *err)
{
    const char *word = argv[(*index)++];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    kal_bytes name = equals == NULL ? kal_cstr(word) : kal_bytes_of(word, (size_t)(equals - word));
    for (size_t i = 0; i < KAL_ARRAY_LEN(FLAGS); i++) {
        if (!kal_bytes_equal(name, kal_cstr(FLAGS[i].name)))
            continue;
        if (FLAGS[i].id > FLAG_ROOT_PASSWORD) {
            if (equals != NULL)
                return kal_error_set(err, KAL_INVALID, "option '%s' takes no value", FLAGS[i].name);
            set_switch(options, FLAGS[i].id);
            return KAL_OK;
        }
        if (equals != NULL)
            return set_value(options, FLAGS[i].id, equals + 1, err);
        if (*index >= argc)
            return kal_error_set(err, KAL_INVALID, "option '%s' needs a value", FLAGS[i].name);
        return set_value(options, FLAGS[i].id, argv[(*index)++], err);
    }
    return unknown_flag(word, err);
}

static void set_from_environment(kal_cli_options *options)
{
    const char *no_color = getenv("NO_COLOR");
    options->url = getenv("KALAMDB_URL");
    options->user = getenv("KALAMDB_USER");
    options->password = getenv("KALAMDB_PASSWORD");
    options->token = getenv("KALAMDB_TOKEN");
    options->data_dir = getenv("KALAMDB_DATA_DIR");
    options->root_password = getenv("KALAMDB_ROOT_PASSWORD");
    options->no_color = no_color != NULL && no_color[0] != '\0';
    if (options->url == NULL || options->url[0] == '\0')
        options->url = KAL_CLI_URL_DEFAULT;
}

enum { WORDS_MAX = 8 };

/* The words that are no flags: a command and its arguments. */
static kal_status set_command(kal_cli_options *options, const kal_bytes *words, size_t count,
                              kal_error *err)
{
    static const struct {
        const char *name;
        kal_cli_command command;
    } commands[] = {{"login", KAL_CLI_LOGIN},
                    {"logout", KAL_CLI_LOGOUT},
                    {"setup", KAL_CLI_SETUP},
                    {"import", KAL_CLI_IMPORT}};
    if (count == 0)
        return KAL_OK;
    for (size_t i = 0; i < KAL_ARRAY_LEN(commands); i++) {
        if (!kal_bytes_equal(words[0], kal_cstr(commands[i].name)))
            continue;
        options->command = commands[i].command;
        if (options->actions.len > 0)
            return kal_error_set(err, KAL_INVALID, "'%s' does not go together with -c or -f",
                                 commands[i].name);
        if (options->command == KAL_CLI_IMPORT)
            return kal_import_spec_parse(words + 1, count - 1, &options->import, err);
        if (count == 1)
            return KAL_OK;
        kal_error_set(err, KAL_INVALID, "'%s' takes no argument '%.*s'", commands[i].name,
                      KAL_FMT(words[1]));
        return usage_error(err);
    }
    kal_error_set(err, KAL_INVALID, "unknown command '%.*s'", KAL_FMT(words[0]));
    kal_error_hint(err, "SQL is given with -c; kalam --help lists the commands");
    return KAL_INVALID;
}

kal_status kal_cli_options_parse(int argc, char **argv, kal_cli_options *options_out,
                                 kal_error *err)
{
    kal_bytes words[WORDS_MAX];
    size_t count = 0;
    bool only_words = false; /* after "--" */
    *options_out = (kal_cli_options){.command = KAL_CLI_RUN};
    set_from_environment(options_out);
    for (int i = 1; i < argc;) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            KAL_TRY(take_flag(options_out, argc, argv, &i, err));
        } else if (count < WORDS_MAX) {
            words[count++] = kal_cstr(argv[i++]);
        } else {
            kal_error_set(err, KAL_INVALID, "too many arguments, first '%.100s'", argv[i]);
            return usage_error(err);
        }
    }
    if (options_out->command == KAL_CLI_HELP || options_out->command == KAL_CLI_VERSION)
        return KAL_OK;
    return set_command(options_out, words, count, err);
}

void kal_cli_options_release(kal_cli_options *options)
{
    kal_vec_release(&options->actions);
}

static kal_status import_usage(kal_error *err)
{
    kal_error_set(err, KAL_INVALID, "import takes a file and a table");
    kal_error_hint(err, "import FILE INTO namespace.table [CREATE]");
    return KAL_INVALID;
}

/* Takes the quotes off "name"; a name that needs escapes inside is none of ours. */
static kal_bytes unquote(kal_bytes name)
{
    if (name.len >= 2 && name.ptr[0] == '"' && name.ptr[name.len - 1] == '"')
        return kal_bytes_of(name.ptr + 1, name.len - 2);
    return name;
}

static bool usable_name(kal_bytes name)
{
    return name.len > 0 && name.len <= 128 && memchr(name.ptr, '"', name.len) == NULL &&
           memchr(name.ptr, '.', name.len) == NULL && kal_utf8_valid(name);
}

kal_status kal_import_spec_parse(const kal_bytes *words, size_t count, kal_import_spec *spec_out,
                                 kal_error *err)
{
    *spec_out = (kal_import_spec){0};
    if (count < 3 || count > 4 || !kal_bytes_equal_nocase(words[1], KAL_STR("INTO")))
        return import_usage(err);
    if (count == 4 && !kal_bytes_equal_nocase(words[3], KAL_STR("CREATE")))
        return import_usage(err);
    kal_bytes target = words[2];
    const uint8_t *dot = memchr(target.ptr, '.', target.len);
    spec_out->path = words[0];
    spec_out->create = count == 4;
    if (dot != NULL) {
        size_t before = (size_t)(dot - target.ptr);
        spec_out->namespace_id = unquote(kal_bytes_of(target.ptr, before));
        target = kal_bytes_of(dot + 1, target.len - before - 1);
    }
    spec_out->table = unquote(target);
    if (!usable_name(spec_out->table) || (dot != NULL && !usable_name(spec_out->namespace_id)))
        return kal_error_set(err, KAL_INVALID, "'%.*s' is not the name of a table",
                             KAL_FMT(words[2]));
    return KAL_OK;
}
