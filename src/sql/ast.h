/*
 * ast.h: what an SQL statement says, before anything is known about tables or users.
 *
 * The tree lives in the arena that kal_sql_parse() was given and borrows from the statement's text;
 * it is read-only once made. Three ideas carry it:
 *
 *   - A `position` is a byte offset in the text of the whole request, so that an error can point at
 *     what the client sent. kal_sql_source() turns offsets back into text.
 *   - Names keep whether they were quoted. Unquoted ones are folded to lower case (ASCII).
 *   - What this grammar does not understand is kept as text for DuckDB, never guessed: a SELECT
 *     with is_simple = false, or an expression of kind RAW inside INSERT, UPDATE and DELETE.
 *
 * Trees are shallow by construction: AND and OR are n-ary, parentheses nest at most
 * KAL_SQL_NESTING_MAX deep, and no expression is higher than KAL_SQL_HEIGHT_MAX, so walkers may
 * recurse.
 *
 * Source: design sections 2 and 9; the dialect is described in docs/sql.md.
 */
#ifndef KAL_SQL_AST_H
#define KAL_SQL_AST_H

#include "base/bytes.h"
#include "types/type.h"

#define KAL_SQL_TEXT_BYTES_MAX (1024u * 1024u)
#define KAL_SQL_NESTING_MAX    100u  /* parentheses, brackets, CASE, NOT and signs inside another */
#define KAL_SQL_HEIGHT_MAX     1000u /* of an expression tree: 1 + 1 + 1 ... leans to the left */
#define KAL_SQL_PARAM_MAX      65535u

/* --- names and types --- */

typedef struct kal_sql_name {
    kal_bytes text;    /* folded to lower case unless quoted; "" when the name is absent */
    uint32_t position; /* of its first byte, the quote included */
    bool quoted;       /* "double quotes", or a 'string' where the dialect takes one (user names) */
} kal_sql_name;

typedef struct kal_sql_names {
    kal_sql_name *items;
    size_t count;
} kal_sql_names;

/* [namespace.]name */
typedef struct kal_sql_object {
    kal_sql_name namespace_name; /* text is empty when not written */
    kal_sql_name name;
    uint32_t position; /* of the first part */
} kal_sql_object;

#define KAL_SQL_TYPE_ARGS_MAX 4

/* A type as written and as kal_type_from_sql() understands it. */
typedef struct kal_sql_type {
    kal_type type;
    bool serial;    /* a SERIAL name: implies a SNOWFLAKE_ID() default */
    kal_bytes name; /* its words joined by single blanks, lower case, without arguments */
    int64_t args[KAL_SQL_TYPE_ARGS_MAX];
    size_t arg_count;
    uint32_t position;
} kal_sql_type;

/* --- expressions --- */

#define KAL_SQL_EXPR_LIST(X)                                                                       \
    X(NULL, "null")       /* NULL */                                                               \
    X(BOOLEAN, "boolean") /* TRUE, FALSE: .boolean */                                              \
    X(NUMBER, "number")   /* .number; a minus sign directly before it is folded in */              \
    X(STRING, "string")   /* .text, escapes resolved */                                            \
    X(TYPED, "typed")     /* a type's name before a string: .typed */                              \
    X(PARAM, "param")     /* $n: .param */                                                         \
    X(COLUMN, "column")   /* .column */                                                            \
    X(STAR, "star")       /* * or t.*, only as an item of a list: .column without a name */        \
    X(DEFAULT, "default") /* DEFAULT, only as a whole value of INSERT or UPDATE */                 \
    X(UNARY, "unary")     /* - + by .unary_op: .operand */                                         \
    X(NOT, "not")         /* .operand */                                                           \
    X(BINARY, "binary")   /* .binary_op: .binary */                                                \
    X(AND, "and")         /* two or more .list, in order */                                        \
    X(OR, "or")           /* two or more .list, in order */                                        \
    X(IS_NULL, "is-null") /* IS [NOT] NULL by .negated: .operand */                                \
    X(IS_DISTINCT, "is-distinct") /* IS [NOT] DISTINCT FROM by .negated: .binary */                \
    X(IN, "in")                   /* [NOT] IN (list of one or more) by .negated: .in */            \
    X(BETWEEN, "between")         /* [NOT] BETWEEN by .negated: .between */                        \
    X(LIKE, "like")               /* [NOT] LIKE by .negated, ILIKE by .nocase: .like */            \
    X(CAST, "cast")               /* CAST(x AS t), x::t; TRY_CAST is RAW: .cast */                 \
    X(CALL, "call")               /* name(args), count(*), CURRENT_TIMESTAMP: .call */             \
    X(CASE, "case")               /* .case_when */                                                 \
    X(ARRAY, "array")             /* [a, b, c], possibly empty: .list */                           \
    X(RAW, "raw") /* not understood here: the text kal_sql_source() gives, for DuckDB: .raw */

typedef enum kal_sql_expr_kind {
#define KAL_SQL_EXPR_ENUM(name, text) KAL_SQL_EXPR_##name,
    KAL_SQL_EXPR_LIST(KAL_SQL_EXPR_ENUM)
#undef KAL_SQL_EXPR_ENUM
} kal_sql_expr_kind;

/* Arrow operators extract from a document: -> gives a document, ->> its text. */
#define KAL_SQL_BINARY_LIST(X)                                                                     \
    X(ADD, "+")                                                                                    \
    X(SUBTRACT, "-")                                                                               \
    X(MULTIPLY, "*")                                                                               \
    X(DIVIDE, "/")                                                                                 \
    X(MODULO, "%")                                                                                 \
    X(CONCAT, "||")                                                                                \
    X(EQ, "=")                                                                                     \
    X(NE, "<>")                                                                                    \
    X(LT, "<")                                                                                     \
    X(LE, "<=")                                                                                    \
    X(GT, ">")                                                                                     \
    X(GE, ">=")                                                                                    \
    X(ARROW, "->")                                                                                 \
    X(ARROW_TEXT, "->>")

typedef enum kal_sql_binary_op {
#define KAL_SQL_BINARY_ENUM(name, text) KAL_SQL_BINARY_##name,
    KAL_SQL_BINARY_LIST(KAL_SQL_BINARY_ENUM)
#undef KAL_SQL_BINARY_ENUM
} kal_sql_binary_op;

typedef enum kal_sql_unary_op { KAL_SQL_UNARY_MINUS, KAL_SQL_UNARY_PLUS } kal_sql_unary_op;

typedef struct kal_sql_expr kal_sql_expr;

typedef struct kal_sql_exprs {
    kal_sql_expr **items;
    size_t count;
} kal_sql_exprs;

struct kal_sql_expr {
    uint8_t kind;      /* kal_sql_expr_kind */
    uint8_t binary_op; /* kal_sql_binary_op */
    uint8_t unary_op;  /* kal_sql_unary_op */
    bool negated;
    bool nocase;
    uint16_t height;   /* 1 for a leaf, <= KAL_SQL_HEIGHT_MAX */
    uint32_t position; /* where an error points: an operator's sign, else the first byte */
    uint32_t start;    /* the source of the whole expression is [start, end) */
    uint32_t end;
    union {
        bool boolean;
        struct {
            kal_bytes text;  /* as written: 1, 1.5, .5, 1e-3, -7 */
            bool is_integer; /* digits only */
        } number;
        kal_bytes text;
        struct {
            const kal_sql_type *type;
            kal_bytes text; /* escapes resolved, not yet read as the type */
        } typed;
        uint32_t param; /* n of $n, 1..KAL_SQL_PARAM_MAX */
        struct {
            kal_sql_name name;              /* STAR: absent */
            const kal_sql_name *qualifiers; /* outermost first: t, or ns and t; or excluded */
            size_t qualifier_count;         /* 0..2 */
        } column;
        kal_sql_expr *operand;
        struct {
            kal_sql_expr *left;
            kal_sql_expr *right;
        } binary;
        kal_sql_exprs list;
        struct {
            kal_sql_expr *subject;
            kal_sql_exprs list;
        } in;
        struct {
            kal_sql_expr *subject;
            kal_sql_expr *low;
            kal_sql_expr *high;
        } between;
        struct {
            kal_sql_expr *subject;
            kal_sql_expr *pattern;
            kal_sql_expr *escape; /* NULL without ESCAPE */
        } like;
        struct {
            kal_sql_expr *operand;
            const kal_sql_type *type;
        } cast;
        struct {
            kal_sql_name name;
            kal_sql_exprs args;
            bool star; /* count(*) */
            bool bare; /* one of CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_TIME, CURRENT_USER,
                          CURRENT_ROLE without parentheses; unlike in DuckDB never a column, unless
                          quoted */
        } call;
        struct {
            kal_sql_expr *operand;   /* CASE operand WHEN ...; NULL for CASE WHEN */
            kal_sql_exprs whens;     /* condition, result, condition, result, ... */
            kal_sql_expr *otherwise; /* NULL without ELSE */
        } case_when;
        struct {
            kal_bytes reason; /* what this grammar stopped at, as an error message */
            uint32_t reason_position;
        } raw;
    };
};

/* --- parts of statements --- */

/* An expression of a SELECT or RETURNING list. */
typedef struct kal_sql_item {
    kal_sql_expr *expr;  /* STAR allowed */
    kal_sql_name alias;  /* absent: text is empty */
    kal_bytes alias_raw; /* the alias in the case it was written, as DuckDB shows it */
} kal_sql_item;

typedef struct kal_sql_items {
    kal_sql_item *items;
    size_t count;
} kal_sql_items;

typedef enum kal_sql_nulls {
    KAL_SQL_NULLS_UNSPECIFIED, /* DuckDB: last, for ASC and DESC */
    KAL_SQL_NULLS_FIRST,
    KAL_SQL_NULLS_LAST
} kal_sql_nulls;

typedef struct kal_sql_order {
    kal_sql_expr *expr; /* an integer NUMBER is the ordinal of an item */
    bool descending;
    kal_sql_nulls nulls;
} kal_sql_order;

typedef struct kal_sql_select {
    kal_bytes text;    /* of the SELECT, whether simple or not */
    uint32_t position; /* of text */
    bool is_simple;    /* false: nothing below is filled but reason: give text to DuckDB */
    kal_bytes reason;  /* not simple: what this grammar stopped at, as an error message */
    uint32_t reason_position;
    kal_sql_items items;  /* at least one */
    bool has_from;        /* SELECT 1 has none */
    kal_sql_object table; /* of FROM */
    kal_sql_name alias;   /* of table; absent: text is empty */
    kal_sql_expr *where;  /* NULL when absent, as the next ones */
    kal_sql_order *order_by;
    size_t order_by_count;
    kal_sql_expr *limit;
    kal_sql_expr *offset;
} kal_sql_select;

typedef enum kal_sql_option_kind {
    KAL_SQL_OPTION_STRING,  /* 'x': text */
    KAL_SQL_OPTION_WORD,    /* x: text, folded to lower case */
    KAL_SQL_OPTION_INTEGER, /* 42, -1: integer, text as written */
    KAL_SQL_OPTION_NUMBER,  /* 1.5, or an integer beyond int64: text as written */
    KAL_SQL_OPTION_BOOLEAN, /* TRUE, FALSE: boolean */
    KAL_SQL_OPTION_NULL
} kal_sql_option_kind;

/*
 * A table option. Clauses become options of the WITH form:
 *   STORAGE x -> storage_id; USE_USER_STORAGE -> use_user_storage; TTL n -> ttl_seconds;
 *   ACCESS LEVEL x -> access_level; TABLE_TYPE 'x' -> type; FLUSH ... -> flush_policy, a STRING
 *   'rows:N', 'interval:N' or 'rows:N,interval:M'; RETENTION, EPHEMERAL, MAX_BUFFER and
 *   DELETED_RETENTION_HOURS keep their names.
 * No name comes twice. Which names exist and what they may hold is the schema's to say.
 */
typedef struct kal_sql_option {
    kal_bytes name; /* lower case */
    kal_sql_option_kind kind;
    kal_bytes text;
    int64_t integer;
    bool boolean;
    uint32_t position;       /* of the name or clause */
    uint32_t value_position; /* of the value */
} kal_sql_option;

typedef enum kal_sql_table_type {
    KAL_SQL_TABLE_UNSPECIFIED, /* CREATE TABLE: the option `type` decides, else SHARED */
    KAL_SQL_TABLE_USER,
    KAL_SQL_TABLE_SHARED,
    KAL_SQL_TABLE_STREAM
} kal_sql_table_type;

typedef struct kal_sql_column_def {
    kal_sql_name name;
    kal_sql_type type;
    bool nullable_given; /* NULL or NOT NULL was written */
    bool not_null;
    bool primary_key;
    bool auto_increment;
    const kal_sql_expr *default_value; /* NULL, or: a literal (NULL, BOOLEAN, NUMBER, STRING, TYPED,
                                          ARRAY of those) or CALL with literal arguments */
    bool has_comment;
    kal_bytes comment;
} kal_sql_column_def;

typedef struct kal_sql_assignment {
    kal_sql_name column;
    kal_sql_expr *value; /* DEFAULT and RAW allowed */
} kal_sql_assignment;

typedef struct kal_sql_assignments {
    kal_sql_assignment *items;
    size_t count;
} kal_sql_assignments;

/* --- statements --- */

/* kind, what a person calls it */
#define KAL_STMT_LIST(X)                                                                           \
    X(CREATE_NAMESPACE, "CREATE NAMESPACE")                                                        \
    X(ALTER_NAMESPACE, "ALTER NAMESPACE")                                                          \
    X(DROP_NAMESPACE, "DROP NAMESPACE")                                                            \
    X(SHOW_NAMESPACES, "SHOW NAMESPACES")                                                          \
    X(USE_NAMESPACE, "USE")                                                                        \
    X(CREATE_USER, "CREATE USER")                                                                  \
    X(ALTER_USER, "ALTER USER")                                                                    \
    X(DROP_USER, "DROP USER")                                                                      \
    X(CREATE_TABLE, "CREATE TABLE")                                                                \
    X(ALTER_TABLE, "ALTER TABLE") /* and COMMENT ON */                                             \
    X(DROP_TABLE, "DROP TABLE")                                                                    \
    X(SHOW_TABLES, "SHOW TABLES")                                                                  \
    X(SHOW_CREATE_TABLE, "SHOW CREATE TABLE")                                                      \
    X(SHOW_STATS, "SHOW STATS")                                                                    \
    X(DESCRIBE_TABLE, "DESCRIBE TABLE")                                                            \
    X(SHOW_SCHEMA_DIFF, "SHOW SCHEMA DIFF")                                                        \
    X(CREATE_VIEW, "CREATE VIEW")                                                                  \
    X(DROP_VIEW, "DROP VIEW")                                                                      \
    X(CREATE_STORAGE, "CREATE STORAGE")                                                            \
    X(ALTER_STORAGE, "ALTER STORAGE")                                                              \
    X(DROP_STORAGE, "DROP STORAGE")                                                                \
    X(SHOW_STORAGES, "SHOW STORAGES")                                                              \
    X(STORAGE_CHECK, "STORAGE CHECK")                                                              \
    X(INSERT, "INSERT")                                                                            \
    X(UPDATE, "UPDATE")                                                                            \
    X(DELETE, "DELETE")                                                                            \
    X(SELECT, "SELECT")                                                                            \
    X(BACKUP, "BACKUP DATABASE")                                                                   \
    X(RESTORE, "RESTORE DATABASE")                                                                 \
    X(SHOW_BACKUP, "SHOW BACKUP")                                                                  \
    X(SHOW_BACKUPS, "SHOW BACKUPS")                                                                \
    X(EXPORT, "EXPORT USER DATA")                                                                  \
    X(SHOW_EXPORT, "SHOW EXPORT")                                                                  \
    X(SHOW_JOBS, "SHOW JOBS")                                                                      \
    X(KILL_JOB, "KILL JOB")                                                                        \
    X(FLUSH, "FLUSH TABLE")                                                                        \
    X(COMPACT, "STORAGE COMPACT")                                                                  \
    X(SHOW_MANIFEST, "SHOW MANIFEST")                                                              \
    X(BEGIN, "BEGIN")                                                                              \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(SUBSCRIBE, "SUBSCRIBE")                                                                      \
    X(EXPLAIN_LIVE, "EXPLAIN LIVE")                                                                \
    X(SHOW_LIVE_QUERIES, "SHOW LIVE QUERIES")                                                      \
    X(KILL_LIVE_QUERY, "KILL LIVE QUERY")                                                          \
    X(EXPLAIN, "EXPLAIN")     /* not built */                                                      \
    X(NOT_BUILT, "NOT BUILT") /* known to the dialect, recognised by its first words only */

typedef enum kal_stmt_kind {
#define KAL_STMT_ENUM(name, text) KAL_STMT_##name,
    KAL_STMT_LIST(KAL_STMT_ENUM)
#undef KAL_STMT_ENUM
} kal_stmt_kind;

/* CREATE, DROP and ALTER NAMESPACE, USE */
typedef struct kal_sql_namespace_stmt {
    kal_sql_name name;
    bool if_exists; /* DROP */
    bool if_not_exists;
    bool cascade;
    kal_sql_option *options; /* ALTER: SET OPTIONS; SET DESCRIPTION is the option description */
    size_t option_count;
} kal_sql_namespace_stmt;

typedef enum kal_sql_storage_clause {
    KAL_SQL_STORAGE_TYPE,
    KAL_SQL_STORAGE_NAME,
    KAL_SQL_STORAGE_DESCRIPTION,
    KAL_SQL_STORAGE_PATH, /* also BASE_DIRECTORY */
    KAL_SQL_STORAGE_BUCKET,
    KAL_SQL_STORAGE_REGION,
    KAL_SQL_STORAGE_ENDPOINT,
    KAL_SQL_STORAGE_SHARED_TEMPLATE,
    KAL_SQL_STORAGE_USER_TEMPLATE,
    KAL_SQL_STORAGE_CREDENTIALS, /* a secret: the statement is not repeated in errors */
    KAL_SQL_STORAGE_CLAUSES
} kal_sql_storage_clause;

typedef struct kal_sql_storage_text {
    bool given;
    kal_bytes text;
    uint32_t position;
} kal_sql_storage_text;

/* CREATE, ALTER (at least one of the texts that can change) and DROP STORAGE, STORAGE CHECK */
typedef struct kal_sql_storage_stmt {
    kal_sql_name name;
    bool if_exists; /* DROP */
    bool if_not_exists;
    bool extended; /* CHECK */
    kal_sql_storage_text texts[KAL_SQL_STORAGE_CLAUSES];
} kal_sql_storage_stmt;

/* CREATE VIEW v (a, b) AS SELECT ... */
typedef struct kal_sql_create_view {
    kal_sql_object view;
    bool or_replace;
    bool if_not_exists;
    kal_sql_names columns; /* empty: as the SELECT names them */
    bool has_comment;
    kal_bytes comment;
    kal_bytes text; /* of the SELECT */
    uint32_t text_position;
} kal_sql_create_view;

typedef enum kal_sql_auth {
    KAL_SQL_AUTH_NONE, /* not written */
    KAL_SQL_AUTH_PASSWORD,
    KAL_SQL_AUTH_OAUTH,
    KAL_SQL_AUTH_INTERNAL
} kal_sql_auth;

/* CREATE USER, ALTER USER (exactly one of auth = PASSWORD, has_role, has_email), DROP USER */
typedef struct kal_sql_user_stmt {
    kal_sql_name name;
    bool if_exists;
    bool if_not_exists;
    bool erase; /* DROP USER ... ERASE */
    kal_sql_auth auth;
    kal_bytes secret;      /* the password, or what OAUTH gave ("" when nothing) */
    uint32_t secret_start; /* source of the secret's literal, to keep it out of logs; */
    uint32_t secret_end;   /* start == end without one */
    bool has_role;
    kal_sql_name role; /* folded to lower case also when quoted */
    bool has_email;
    kal_bytes email;
    uint32_t email_position;
} kal_sql_user_stmt;

typedef struct kal_sql_create_table {
    kal_sql_object table;
    kal_sql_table_type table_type; /* the word before TABLE */
    bool if_not_exists;
    kal_sql_column_def *columns; /* at least one */
    size_t column_count;
    kal_sql_names primary_key; /* of the table constraint; empty when a column has it, or none */
    uint32_t primary_key_position;
    kal_sql_names partition_by;
    bool has_comment;
    kal_bytes comment;
    kal_sql_option *options;
    size_t option_count;
} kal_sql_create_table;

typedef enum kal_sql_alter_kind {
    KAL_SQL_ALTER_ADD, /* def */
    KAL_SQL_ALTER_DROP,
    KAL_SQL_ALTER_RENAME_COLUMN, /* new_name */
    KAL_SQL_ALTER_SET_TYPE,      /* type */
    KAL_SQL_ALTER_SET_NOT_NULL,
    KAL_SQL_ALTER_DROP_NOT_NULL,
    KAL_SQL_ALTER_SET_DEFAULT,    /* default_value; NULL: DROP DEFAULT */
    KAL_SQL_ALTER_COMMENT_COLUMN, /* comment; ptr NULL: none */
    KAL_SQL_ALTER_COMMENT_TABLE,
    KAL_SQL_ALTER_RENAME_TABLE, /* new_name */
    KAL_SQL_ALTER_SET_OPTION    /* option */
} kal_sql_alter_kind;

/* One step of ALTER TABLE. MODIFY COLUMN becomes several. */
typedef struct kal_sql_alter {
    kal_sql_alter_kind kind;
    uint32_t position;   /* of what it speaks of */
    kal_sql_name column; /* of the kinds that have one, ADD included */
    bool if_exists;      /* ADD: IF NOT EXISTS */
    kal_sql_name new_name;
    kal_sql_column_def def;
    kal_sql_type type;
    const kal_sql_expr *default_value;
    kal_bytes comment;
    kal_sql_option option;
} kal_sql_alter;

typedef struct kal_sql_alter_table {
    kal_sql_object table;
    kal_sql_table_type table_type; /* ALTER USER TABLE ... */
    bool if_exists;
    kal_sql_alter *steps; /* at least one */
    size_t step_count;
    bool dry_run;
} kal_sql_alter_table;

/* SHOW SCHEMA DIFF t FROM a TO b */
typedef struct kal_sql_schema_diff {
    kal_sql_object table;
    int64_t from;
    int64_t to;
} kal_sql_schema_diff;

/* DROP, DESCRIBE, SHOW CREATE TABLE, SHOW STATS FOR TABLE */
typedef struct kal_sql_table_stmt {
    kal_sql_object table;
    kal_sql_table_type table_type; /* DROP USER TABLE ... */
    bool if_exists;
    bool history;    /* DESCRIBE ... HISTORY */
    bool at_version; /* DESCRIBE ... AT VERSION version */
    int64_t version;
    uint32_t version_position;
} kal_sql_table_stmt;

typedef struct kal_sql_show_tables {
    kal_sql_name namespace_name; /* absent: text is empty */
} kal_sql_show_tables;

typedef struct kal_sql_row {
    kal_sql_expr **values; /* DEFAULT and RAW allowed */
    size_t count;          /* >= 1; rows may differ: the executor checks */
    uint32_t position;     /* of the parenthesis */
} kal_sql_row;

typedef enum kal_sql_insert_source {
    KAL_SQL_INSERT_VALUES,
    KAL_SQL_INSERT_SELECT,
    KAL_SQL_INSERT_DEFAULT_VALUES
} kal_sql_insert_source;

typedef enum kal_sql_conflict_action {
    KAL_SQL_CONFLICT_FAIL, /* no ON CONFLICT */
    KAL_SQL_CONFLICT_NOTHING,
    KAL_SQL_CONFLICT_UPDATE
} kal_sql_conflict_action;

typedef struct kal_sql_insert {
    kal_sql_object table;
    kal_sql_name alias;
    kal_sql_names columns; /* empty: all, in ordinal order */
    kal_sql_insert_source source;
    kal_sql_row *rows; /* VALUES */
    size_t row_count;
    kal_sql_select *select; /* SELECT */
    kal_sql_conflict_action conflict;
    uint32_t conflict_position;
    kal_sql_names conflict_columns;   /* empty: not written */
    kal_sql_assignments conflict_set; /* the new row is the qualifier excluded */
    kal_sql_expr *conflict_where;     /* NULL, RAW allowed */
    kal_sql_items returning;          /* empty: not written */
} kal_sql_insert;

typedef struct kal_sql_update {
    kal_sql_object table;
    kal_sql_name alias;
    kal_sql_assignments set;
    kal_sql_expr *where; /* NULL, RAW allowed */
    kal_sql_items returning;
} kal_sql_update;

typedef struct kal_sql_delete {
    kal_sql_object table;
    kal_sql_name alias;
    kal_sql_expr *where; /* NULL, RAW allowed */
    kal_sql_items returning;
} kal_sql_delete;

/* BACKUP DATABASE, RESTORE DATABASE, SHOW BACKUP 'path', SHOW BACKUPS FOR DATABASE */
typedef struct kal_sql_backup {
    bool all;
    kal_sql_name namespace_name; /* unless all */
    bool if_exists;              /* BACKUP */
    bool if_not_exists;          /* RESTORE */
    bool users_by_name;          /* RESTORE */
    bool skip_missing_users;     /* RESTORE */
    kal_bytes path;
    uint32_t position; /* of path */
} kal_sql_backup;

/* --- live queries --- */

typedef enum kal_sql_live_kind {
    KAL_SQL_LIVE_SELECT,           /* select, group_by */
    KAL_SQL_LIVE_SCHEMA_TABLE,     /* SUBSCRIBE SCHEMA ns.t: target */
    KAL_SQL_LIVE_SCHEMA_NAMESPACE, /* SUBSCRIBE SCHEMA ns: target.name */
    KAL_SQL_LIVE_SCHEMA_ALL        /* SUBSCRIBE SCHEMA * */
} kal_sql_live_kind;

typedef enum kal_sql_on_slow {
    KAL_SQL_ON_SLOW_UNSPECIFIED,
    KAL_SQL_ON_SLOW_PAUSE,
    KAL_SQL_ON_SLOW_COALESCE,
    KAL_SQL_ON_SLOW_CLOSE
} kal_sql_on_slow;

/* OPTIONS (last_rows = n, batch_size = n, from = seq, on_slow = 'pause', hash = true) */
typedef struct kal_sql_live_options {
    bool has_last_rows;
    bool has_batch_size;
    bool has_from; /* also written from_seq_id */
    bool hash;
    kal_sql_on_slow on_slow;
    uint64_t last_rows;  /* up to UINT32_MAX */
    uint64_t batch_size; /* 1 to UINT32_MAX */
    uint64_t from;       /* a seq, up to 2^53 */
    uint32_t position;   /* of OPTIONS; 0 when not written */
} kal_sql_live_options;

/*
 * A live query. SELECT of one table: of `select` no offset is ever given, and order_by and limit
 * only together; SUBSCRIBE TO t WHERE ... is a SELECT * of it. Aggregates stand in the items as
 * CALLs.
 */
typedef struct kal_sql_live {
    kal_sql_live_kind kind;
    kal_bytes text;           /* of the query alone: a SELECT, or SUBSCRIBE SCHEMA ...; arena or
                                 source */
    kal_bytes source;         /* what was parsed: positions point into it */
    uint32_t source_position; /* of source in the request */
    uint32_t param_max;       /* the highest n of any $n, 0 without parameters */
    kal_sql_select select;    /* SELECT: is_simple */
    kal_sql_exprs group_by;   /* SELECT: an integer NUMBER is the ordinal of an item */
    kal_sql_object target;    /* SCHEMA_TABLE: both parts; SCHEMA_NAMESPACE: the name */
    kal_sql_live_options options;
} kal_sql_live;

/* KILL JOB and KILL LIVE QUERY: 'id' or id */
typedef struct kal_sql_kill_job {
    kal_bytes id; /* as written, not checked */
    uint32_t position;
} kal_sql_kill_job;
/* [STORAGE] FLUSH, STORAGE COMPACT: TABLE t, or ALL [IN ns] */
typedef struct kal_sql_flush {
    kal_sql_object table; /* unless all */
    bool all;
    kal_sql_name namespace_name; /* of all: not given = of every namespace */
} kal_sql_flush;

typedef struct kal_sql_statement {
    kal_stmt_kind kind;
    kal_bytes text;        /* the statement, without the semicolon */
    uint32_t position;     /* of text in the request */
    uint32_t param_max;    /* the highest n of any $n in the text, 0 without parameters */
    const char *not_built; /* static; for every kind marked "not built": "<this> is not available in
                              this version"; NULL for the others */
    union {
        kal_sql_namespace_stmt namespace_stmt;
        kal_sql_user_stmt user;
        kal_sql_storage_stmt storage;
        kal_sql_create_table create_table;
        kal_sql_alter_table alter_table;
        kal_sql_schema_diff schema_diff;
        kal_sql_create_view create_view;
        kal_sql_table_stmt table;
        kal_sql_show_tables show_tables;
        kal_sql_backup backup;
        kal_sql_kill_job kill_job; /* and KILL LIVE QUERY */
        kal_sql_live live;         /* SUBSCRIBE, EXPLAIN LIVE */
        kal_sql_flush flush;
        kal_sql_insert insert;
        kal_sql_update update;
        kal_sql_delete delete_from;
        kal_sql_select select;
    };
} kal_sql_statement;

/* "CREATE TABLE", ... static */
const char *kal_stmt_name(kal_stmt_kind kind);
const char *kal_sql_binary_sign(kal_sql_binary_op op);

/* The source text [start, end), borrowed from the statement's text. */
kal_bytes kal_sql_source(const kal_sql_statement *statement, uint32_t start, uint32_t end);
static inline kal_bytes kal_sql_expr_source(const kal_sql_statement *statement,
                                            const kal_sql_expr *expr)
{
    return kal_sql_source(statement, expr->start, expr->end);
}

/* The same of a live query. */
kal_bytes kal_sql_live_source(const kal_sql_live *live, const kal_sql_expr *expr);

static inline bool kal_sql_name_given(kal_sql_name name)
{
    return name.text.len > 0;
}

#endif
