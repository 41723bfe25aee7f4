/*
 * options.h: the command line of kalam.
 *
 *   kalam [options]                       interactive, or SQL from standard input
 *   kalam [options] -c SQL ... -f FILE    in the order given
 *   kalam login | logout | setup | import FILE INTO ns.t [CREATE]
 *
 * Flags win over the environment (KALAMDB_URL, KALAMDB_USER, KALAMDB_PASSWORD, KALAMDB_TOKEN,
 * KALAMDB_DATA_DIR, KALAMDB_ROOT_PASSWORD).
 */
#ifndef KAL_CLI_OPTIONS_H
#define KAL_CLI_OPTIONS_H

#include "base/error.h"
#include "base/vec.h"

#define KAL_CLI_URL_DEFAULT "http://127.0.0.1:8080"

/* The exit codes of kalam. */
enum {
    KAL_EXIT_OK = 0,
    KAL_EXIT_SQL = 1,        /* the server refused a statement, or an import failed */
    KAL_EXIT_USAGE = 2,      /* the command line or a file named on it is wrong */
    KAL_EXIT_CONNECTION = 3, /* no server, no proper answer, or no valid identity */
};

typedef enum kal_cli_command {
    KAL_CLI_RUN, /* SQL */
    KAL_CLI_LOGIN,
    KAL_CLI_LOGOUT,
    KAL_CLI_SETUP,
    KAL_CLI_IMPORT,
    KAL_CLI_HELP,
    KAL_CLI_VERSION,
} kal_cli_command;

#define KAL_CLI_FORMAT_LIST(X)                                                                     \
    X(TABLE, "table")                                                                              \
    X(CSV, "csv")                                                                                  \
    X(JSON, "json")

typedef enum kal_cli_format {
#define KAL_CLI_FORMAT_ENUM(name, text) KAL_CLI_FORMAT_##name,
    KAL_CLI_FORMAT_LIST(KAL_CLI_FORMAT_ENUM)
#undef KAL_CLI_FORMAT_ENUM
} kal_cli_format;

/* false when text is no format. */
bool kal_cli_format_parse(const char *text, kal_cli_format *format_out);
const char *kal_cli_format_name(kal_cli_format format);

/* One -c or -f. */
typedef struct kal_cli_action {
    const char *text; /* SQL, or the path of a file; borrowed from argv */
    bool is_file;
} kal_cli_action;

/* import FILE INTO [ns.]t [CREATE] */
typedef struct kal_import_spec {
    kal_bytes path;
    kal_bytes namespace_id; /* empty: the session's */
    kal_bytes table;
    bool create;
} kal_import_spec;

typedef struct kal_cli_options {
    kal_cli_command command;
    const char *url;
    const char *user;          /* or NULL */
    const char *password;      /* or NULL */
    const char *token;         /* or NULL */
    const char *namespace_id;  /* or NULL */
    const char *data_dir;      /* setup: or NULL */
    const char *root_password; /* setup: or NULL */
    kal_cli_format format;
    bool no_color;
    bool no_login;                   /* setup: do not log in afterwards */
    unsigned timeout_s;              /* 0 = none */
    KAL_VEC(kal_cli_action) actions; /* owned */
    kal_import_spec import;
} kal_cli_options;

/* Strings borrow from argv and the environment. KAL_INVALID with a hint. */
KAL_MUST_CHECK kal_status kal_cli_options_parse(int argc, char **argv, kal_cli_options *options_out,
                                                kal_error *err);
void kal_cli_options_release(kal_cli_options *options);

/* The words behind "import" or "\import". KAL_INVALID. The spec borrows from the words. */
KAL_MUST_CHECK kal_status kal_import_spec_parse(const kal_bytes *words, size_t count,
                                                kal_import_spec *spec_out, kal_error *err);

/* The text of --help. */
extern const char kal_cli_usage[];

#endif
