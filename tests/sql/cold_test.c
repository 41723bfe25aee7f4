/*
 * Nobody notices where rows lie.
 *
 * Goal: every statement answers the same over hot rows as over rows of segments. Method: two tables
 * of one definition, hot.t and cold.t; a seeded stream of statements of all kinds, ALTER TABLE and
 * restarts among them, goes to both, by several users; cold.t is flushed and compacted at random
 * moments, or all the time by another thread; kill -9 comes in the middle of flushes and of writes
 * to cold.t, which then are done as a whole or not at all. Each answer must be the same: the fact
 * and code of an error, schema, rows (as a set, unless they are ordered). KAL_TEST_SEED repeats a
 * run, KAL_TEST_COUNT makes more worlds, KAL_TEST_TRACE shows every statement.
 */
#include "unit/base/seed.h"

#include "base/assert.h"
#include "base/thread.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORLDS = 6, STATEMENTS = 150, COLUMNS_MAX = 20, ID_VALUES = 40, USERS = 3 };

static const char *const USER_NAMES[USERS] = {"root", "ann", "bob"};

/* ---- values ---- */

typedef struct domain {
    const char *type; /* as in SQL */
    bool is_key_type;
    bool has_order; /* one value, one text: may be grouped by and compared as minimum */
    bool is_number;
    const char *widened;      /* the next wider type, or NULL */
    const char *literals[12]; /* as SQL, also as JSON after json_of_literal(); NULL ends */
} domain;

#define TEXT_50 "....,....|....,....|....,....|....,....|....,...."

static const domain DOMAINS[] = {
    {"BOOLEAN", true, true, false, NULL, {"TRUE", "FALSE"}},
    {"SMALLINT", true, true, true, "INT", {"0", "-1", "1", "32767", "-32768", "7"}},
    {"INT", true, true, true, "BIGINT", {"0", "-1", "2147483647", "-2147483648", "42"}},
    {"BIGINT",
     true,
     true,
     true,
     NULL,
     {"0", "-1", "9223372036854775807", "-9223372036854775808", "100", "42"}},
    {"DOUBLE",
     false,
     false,
     true,
     NULL,
     {"0.0", "'-0.0'", "-1.5", "1e300", "0.1", "'NaN'", "'Infinity'", "'-Infinity'", "5e-324",
      "1.7976931348623157e308"}},
    {"FLOAT",
     false,
     false,
     true,
     "DOUBLE",
     {"0.0", "'-0.0'", "-1.5", "3.4028235e38", "0.1", "'NaN'", "'Infinity'", "'-Infinity'", "1e-45",
      "16777217"}},
    {"TEXT",
     true,
     true,
     false,
     NULL,
     {"''", "'a'", "'A'", "'abc'", "'Zürich'", "'日本'", "'%'", "'it''s'", "'ab'", "'NULL'",
      "'" TEXT_50 TEXT_50 TEXT_50 TEXT_50 "'"}},
    {"TIMESTAMP",
     true,
     true,
     false,
     NULL,
     {"'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'1970-01-01 00:00:00'",
      "'2024-02-29 13:14:15.123456'", "'infinity'", "'-infinity'", "'1969-12-31 23:59:59.999999'"}},
    {"DATE",
     true,
     true,
     false,
     "TIMESTAMP",
     {"'0001-01-01'", "'9999-12-31'", "'1970-01-01'", "'2024-02-29'", "'infinity'", "'-infinity'",
      "'300000-01-01'"}},
    {"DATETIME",
     true,
     true,
     false,
     NULL,
     {"'1970-01-01 00:00:00Z'", "'2024-02-29 13:14:15+02:00'", "'0001-01-01 00:00:00Z'",
      "'infinity'", "'-infinity'"}},
    {"TIME",
     true,
     true,
     false,
     NULL,
     {"'00:00:00'", "'23:59:59.999999'", "'12:34:56'", "'24:00:00'"}},
    {"UUID",
     true,
     true,
     false,
     NULL,
     {"'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
      "'7f000000-0000-7000-8000-000000000001'", "'80000000-0000-7000-8000-000000000001'"}},
    {"DECIMAL(12,3)",
     true,
     true,
     true,
     "DECIMAL(38,3)",
     {"0", "0.001", "-0.001", "999999999.999", "-999999999.999", "1.5"}},
    {"DECIMAL(38,3)",
     true,
     true,
     true,
     NULL,
     {"0", "0.001", "-0.001", "99999999999999999999999999999999999.999",
      "-99999999999999999999999999999999999.999", "1.5", "18446744073709551.616"}},
    {"BYTES",
     true,
     true,
     false,
     NULL,
     {"'0x'", "'0x00'", "'0x0000'", "'0x00ff'", "'0xff'", "'0xffff'", "'0x0100'"}},
    {"JSON",
     false,
     false,
     false,
     NULL,
     {"'null'", "'{\"a\": [1, 2.50, null, \"ü\"]}'", "'[]'", "'\"\"'", "'1e400'", "'{ }'"}},
    {"EMBEDDING(3)",
     false,
     false,
     false,
     NULL,
     {"'[0.1, -2, 3e38]'", "'[0, -0.0, 1e-45]'", "'[1, 2, 3]'"}},
    {"FILE",
     false,
     false,
     false,
     NULL,
     {"'{\"id\":\"f1\",\"sub\":\"s\",\"name\":\"ü.bin\",\"size\":3,\"mime\":\"text/"
      "plain\",\"sha256\":\"00\"}'",
      "'{\"id\":\"f2\",\"sub\":\"s\",\"name\":\"a\",\"size\":0,\"mime\":\"\",\"sha256\":\"\"}'"}},
};

static const domain *find_domain(const char *type)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(DOMAINS); i++) {
        if (strcmp(DOMAINS[i].type, type) == 0)
            return &DOMAINS[i];
    }
    fail_msg("no domain of %s", type);
    return NULL;
}

/* ---- the world ---- */

typedef struct column {
    char name[16];
    const domain *type;
    bool is_key;
    bool is_id; /* a key column of small numbers, so that keys meet again */
    bool is_not_null;
} column;

typedef struct world {
    test_db *db;
    kal_rng rng;
    uint64_t seed;
    bool is_user_table;
    bool is_plain; /* a SHARED table of types that DuckDB reads from files itself */
    column columns[COLUMNS_MAX];
    size_t count;
    unsigned names; /* given so far */
    kal_buf sql;    /* with @ where the name of the namespace comes */
    kal_buf params; /* JSON; empty: none */
    bool in_transaction;
    unsigned statements;
    unsigned errors;
    unsigned flushes;
    unsigned undone; /* statements that a kill has stopped */
} world;

static uint64_t below(world *w, uint64_t n)
{
    return kal_rng_below(&w->rng, n);
}

static bool chance(world *w, uint64_t one_in)
{
    return below(w, one_in) == 0;
}

static void put(world *w, const char *text)
{
    kal_buf_append_cstr(&w->sql, text);
}

static column *any_column(world *w)
{
    return &w->columns[below(w, w->count)];
}

/* A column that is no key, or NULL. */
static column *any_value_column(world *w)
{
    for (int i = 0; i < 10; i++) {
        column *c = any_column(w);
        if (!c->is_key)
            return c;
    }
    return NULL;
}

static const char *any_literal(world *w, const column *c, char room[24])
{
    size_t n = 0;
    if (c->is_id && !chance(w, 8)) {
        snprintf(room, 24, "%u", (unsigned)below(w, ID_VALUES));
        return room;
    }
    while (n < KAL_ARRAY_LEN(c->type->literals) && c->type->literals[n] != NULL)
        n++;
    return c->type->literals[below(w, n)];
}

static void put_literal(world *w, const column *c)
{
    char room[24];
    put(w, any_literal(w, c, room));
}

static void put_value(world *w, const column *c)
{
    if (chance(w, c->is_key || c->is_not_null ? 300 : 6))
        put(w, "NULL");
    else
        put_literal(w, c);
}

/* ---- asking both ---- */

static int compare_texts(const void *a, const void *b)
{
    return kal_bytes_compare(*(const kal_bytes *)a, *(const kal_bytes *)b);
}

static void append_tree(kal_buf *out, const kal_json *json)
{
    kal_json_writer writer;
    kal_json_writer_init(&writer, out);
    if (json != NULL)
        kal_json_write_tree(json, &writer);
    kal_buf_append_byte(out, '\n');
}

/* Everything an answer says but times and the table's name. */
static kal_bytes canonical(test_reply *reply, bool ordered)
{
    const kal_json *results = kal_json_find(reply->json, "results");
    kal_buf all;

    kal_buf_init(&all, NULL);
    for (size_t i = 0; reply->code == NULL && i < results->len; i++) {
        const kal_json *rows = kal_json_find(&results->items[i], "rows");
        size_t count = rows == NULL ? 0 : rows->len;
        kal_bytes *texts = kal_arena_alloc(&reply->arena, (count + 1) * sizeof *texts);
        append_tree(&all, kal_json_find(&results->items[i], "schema"));
        append_tree(&all, kal_json_find(&results->items[i], "row_count"));
        for (size_t row = 0; row < count; row++) {
            kal_buf text;
            kal_buf_init(&text, NULL);
            append_tree(&text, &rows->items[row]);
            texts[row] = kal_arena_copy(&reply->arena, kal_buf_bytes(&text));
            kal_buf_release(&text);
        }
        if (!ordered && count > 0)
            qsort(texts, count, sizeof *texts, compare_texts);
        for (size_t row = 0; row < count; row++)
            kal_buf_append_bytes(&all, texts[row]);
    }
    kal_bytes copy = kal_arena_copy(&reply->arena, kal_buf_bytes(&all));
    kal_buf_release(&all);
    return copy;
}

static const char *in_namespace(const world *w, const char *ns, kal_buf *out)
{
    kal_buf_clear(out);
    for (size_t i = 0; i < w->sql.len; i++) {
        if (w->sql.ptr[i] == '@')
            kal_buf_append_cstr(out, ns);
        else
            kal_buf_append_byte(out, w->sql.ptr[i]);
    }
    kal_buf_append_byte(out, 0);
    return (const char *)out->ptr;
}

static test_reply ask(world *w, const char *ns, const char *user, kal_path path)
{
    kal_buf sql;
    kal_buf params;
    kal_buf_init(&sql, NULL);
    kal_buf_init(&params, NULL);
    kal_buf_append_bytes(&params, kal_buf_bytes(&w->params));
    kal_buf_append_byte(&params, 0);
    const test_query query = {
        .user = user,
        .sql = in_namespace(w, ns, &sql),
        .params = w->params.len > 0 ? (const char *)params.ptr : NULL,
        .path = path,
    };
    test_reply reply = test_db_query(w->db, &query);
    kal_buf_release(&sql);
    kal_buf_release(&params);
    return reply;
}

/* Runs the statement in both tables; whether it succeeded. */
static bool both(world *w, const char *user, kal_path path, bool ordered)
{
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "%s: %.*s %.*s\n", user, KAL_FMT(kal_buf_bytes(&w->sql)),
                KAL_FMT(kal_buf_bytes(&w->params)));
    test_reply hot = ask(w, "hot", user, path);
    test_reply cold = ask(w, "cold", user, path);
    bool succeeded = hot.code == NULL;
    bool same = succeeded ? cold.code == NULL &&
                                kal_bytes_equal(canonical(&hot, ordered), canonical(&cold, ordered))
                          : cold.code != NULL && strcmp(hot.code, cold.code) == 0;
    /* What the fast path leaves to DuckDB may depend on where rows lie. */
    if (path == KAL_PATH_FAST && ((hot.code != NULL && strcmp(hot.code, "UNSUPPORTED") == 0) ||
                                  (cold.code != NULL && strcmp(cold.code, "UNSUPPORTED") == 0)))
        same = true;
    if (!same) {
        fprintf(stderr, "%s: %.*s\nparameters: %.*s\nhot:  %.6000s\ncold: %.6000s\n", user,
                KAL_FMT(kal_buf_bytes(&w->sql)), KAL_FMT(kal_buf_bytes(&w->params)),
                (const char *)hot.text.ptr, (const char *)cold.text.ptr);
        fail_msg("seed %llu, statement %u: the two tables disagree", (unsigned long long)w->seed,
                 w->statements);
    }
    if (getenv("KAL_TEST_TRACE") != NULL && !succeeded)
        fprintf(stderr, "  %s: %s\n", hot.code, hot.message);
    w->statements++;
    w->errors += !succeeded && path != KAL_PATH_FAST;
    test_reply_release(&hot);
    test_reply_release(&cold);
    return succeeded;
}

static void begin(world *w)
{
    kal_buf_clear(&w->sql);
    kal_buf_clear(&w->params);
}

static const char *any_user(world *w)
{
    return USER_NAMES[w->is_user_table ? below(w, USERS) : 0];
}

/* ---- definitions ---- */

static void add_column(world *w, const domain *type, bool is_key, bool is_id)
{
    column *c = &w->columns[w->count++];
    *c = (column){.type = type, .is_key = is_key, .is_id = is_id};
    snprintf(c->name, sizeof c->name, "%s%u", is_key ? "k" : "c", w->names++);
}

static const domain *any_domain(world *w)
{
    static const char *const OTHERS[] = {"JSON", "EMBEDDING(3)", "FILE"};
    for (;;) {
        const domain *type = &DOMAINS[below(w, KAL_ARRAY_LEN(DOMAINS))];
        bool is_other = false;
        for (size_t i = 0; i < KAL_ARRAY_LEN(OTHERS); i++)
            is_other = is_other || strcmp(type->type, OTHERS[i]) == 0;
        if (!w->is_plain || !is_other)
            return type;
    }
}

static const domain *any_key_domain(world *w)
{
    for (;;) {
        const domain *type = &DOMAINS[below(w, KAL_ARRAY_LEN(DOMAINS))];
        if (type->is_key_type)
            return type;
    }
}

static void choose_columns(world *w)
{
    w->count = 0;
    size_t keys = 1 + below(w, 3);
    size_t id_at = below(w, keys + 1); /* at the end of all: none, sometimes */
    for (size_t i = 0; i < keys; i++) {
        bool is_id = i == id_at || (keys == 1 && !chance(w, 3));
        add_column(w, is_id ? find_domain("BIGINT") : any_key_domain(w), true, is_id);
    }
    if (!w->is_plain && chance(w, 2)) {
        for (size_t i = 0; i < KAL_ARRAY_LEN(DOMAINS) && w->count < COLUMNS_MAX - 1; i++)
            add_column(w, &DOMAINS[i], false, false);
    } else {
        for (size_t i = 2 + below(w, 4); i > 0; i--)
            add_column(w, any_domain(w), false, false);
    }
}

static void create_table(world *w)
{
    w->is_plain = chance(w, 3);
    choose_columns(w);
    begin(w);
    w->is_user_table = !w->is_plain && !chance(w, 3);
    kal_buf_printf(&w->sql, "CREATE %s TABLE @.t (", w->is_user_table ? "USER" : "SHARED");
    for (size_t i = 0; i < w->count; i++) {
        w->columns[i].is_not_null = w->columns[i].is_key || chance(w, 8);
        kal_buf_printf(&w->sql, "%s %s%s, ", w->columns[i].name, w->columns[i].type->type,
                       w->columns[i].is_not_null ? " NOT NULL" : "");
    }
    put(w, "PRIMARY KEY (");
    for (size_t i = 0; w->columns[i].is_key; i++)
        kal_buf_printf(&w->sql, "%s%s", i == 0 ? "" : ", ", w->columns[i].name);
    static const char *const COMPRESSIONS[] = {"none", "snappy", "lz4", "zstd"};
    kal_buf_printf(&w->sql, ")) WITH (COMPRESSION = '%s'%s)",
                   COMPRESSIONS[below(w, KAL_ARRAY_LEN(COMPRESSIONS))],
                   w->is_user_table && chance(w, 2) ? ", PARTITION_BY_USER = true" : "");
    if (!both(w, "root", KAL_PATH_AUTO, false))
        fail_msg("cannot create: %.*s", KAL_FMT(kal_buf_bytes(&w->sql)));
}

static void drop_and_create(world *w)
{
    begin(w);
    put(w, "DROP TABLE @.t");
    both(w, "root", KAL_PATH_AUTO, false);
    create_table(w);
}

/* ---- changes of the definition ---- */

static void alter_add(world *w)
{
    if (w->count == COLUMNS_MAX)
        return;
    add_column(w, any_domain(w), false, false);
    column *c = &w->columns[w->count - 1];
    kal_buf_printf(&w->sql, "ALTER TABLE @.t ADD COLUMN %s %s", c->name, c->type->type);
    if (!chance(w, 3)) {
        c->is_not_null = chance(w, 2);
        put(w, c->is_not_null ? " NOT NULL DEFAULT " : " DEFAULT ");
        put_literal(w, c);
    }
    if (!both(w, "root", KAL_PATH_AUTO, false))
        w->count--;
}

static void alter_drop(world *w)
{
    column *c = any_value_column(w);
    if (c == NULL)
        return;
    kal_buf_printf(&w->sql, "ALTER TABLE @.t DROP COLUMN %s", c->name);
    if (!both(w, "root", KAL_PATH_AUTO, false))
        return;
    size_t at = (size_t)(c - w->columns);
    memmove(c, c + 1, (w->count - at - 1) * sizeof *c);
    w->count--;
}

/* Names come back, so that an old segment has another column under a new column's name. */
static void alter_rename(world *w)
{
    column *c = any_column(w);
    char name[16];
    snprintf(name, sizeof name, "c%u", (unsigned)below(w, w->names + 2));
    kal_buf_printf(&w->sql, "ALTER TABLE @.t RENAME COLUMN %s TO %s", c->name, name);
    if (both(w, "root", KAL_PATH_AUTO, false))
        memcpy(c->name, name, sizeof name);
}

static void alter_widen(world *w)
{
    column *c = any_value_column(w);
    if (c == NULL || c->type->widened == NULL)
        return;
    kal_buf_printf(&w->sql, "ALTER TABLE @.t MODIFY COLUMN %s %s", c->name, c->type->widened);
    if (both(w, "root", KAL_PATH_AUTO, false))
        c->type = find_domain(c->type->widened);
}

static void alter_null(world *w)
{
    column *c = any_value_column(w);
    if (c == NULL)
        return;
    bool set = chance(w, 2);
    if (set && chance(w, 2)) {
        kal_buf_printf(&w->sql, "UPDATE @.t SET %s = ", c->name);
        put_literal(w, c);
        kal_buf_printf(&w->sql, " WHERE %s IS NULL", c->name);
        for (size_t user = 0; user < USERS; user++)
            both(w, USER_NAMES[user], KAL_PATH_AUTO, false);
        begin(w);
    }
    kal_buf_printf(&w->sql, "ALTER TABLE @.t ALTER COLUMN %s %s NOT NULL", c->name,
                   set ? "SET" : "DROP");
    if (both(w, "root", KAL_PATH_AUTO, false))
        c->is_not_null = set;
}

static void alter(world *w)
{
    begin(w);
    switch (below(w, 6)) {
    case 0:
    case 1:
        alter_add(w);
        break;
    case 2:
        alter_drop(w);
        break;
    case 3:
        alter_rename(w);
        break;
    case 4:
        alter_widen(w);
        break;
    default:
        alter_null(w);
        break;
    }
}

/* ---- predicates ---- */

static void put_key(world *w)
{
    for (size_t i = 0; w->columns[i].is_key && i < w->count; i++) {
        kal_buf_printf(&w->sql, "%s%s = ", i == 0 ? "" : " AND ", w->columns[i].name);
        put_literal(w, &w->columns[i]);
    }
}

static void put_comparison(world *w)
{
    static const char *const OPS[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
    const column *c = any_column(w);
    while (!c->type->is_key_type) /* has an order everywhere; keys are columns that have */
        c = any_column(w);
    kal_buf_printf(&w->sql, "%s%s", c->name, OPS[below(w, KAL_ARRAY_LEN(OPS))]);
    put_literal(w, c);
}

static void put_key_range(world *w)
{
    const column *c = &w->columns[0];
    kal_buf_printf(&w->sql, "%s >= ", c->name);
    put_literal(w, c);
    if (chance(w, 2)) {
        kal_buf_printf(&w->sql, " AND %s < ", c->name);
        put_literal(w, c);
    }
}

/* Only DuckDB knows these functions. */
static void put_for_engine(world *w)
{
    kal_buf_printf(&w->sql, "length(CAST(%s AS TEXT)) %% 3 = %u", any_column(w)->name,
                   (unsigned)below(w, 3));
}

static void put_in(world *w)
{
    const column *c = &w->columns[below(w, w->count)];
    while (!c->type->is_key_type)
        c = any_column(w);
    kal_buf_printf(&w->sql, "%s IN (", c->name);
    for (uint64_t i = 1 + below(w, 4); i > 0; i--) {
        put_literal(w, c);
        put(w, i > 1 ? ", " : ")");
    }
}

static void put_between(world *w)
{
    const column *c = any_column(w);
    while (!c->type->is_key_type && !c->type->is_number)
        c = any_column(w);
    kal_buf_printf(&w->sql, "%s BETWEEN ", c->name);
    put_literal(w, c);
    put(w, " AND ");
    put_literal(w, c);
}

/* Of a number, also one with NaN and two zeros. */
static void put_number(world *w)
{
    static const char *const OPS[] = {" = ", " < ", " <= ", " > ", " >= "};
    for (int i = 0; i < 10; i++) {
        const column *c = any_column(w);
        if (!c->type->is_number)
            continue;
        kal_buf_printf(&w->sql, "%s%s", c->name, OPS[below(w, KAL_ARRAY_LEN(OPS))]);
        put_literal(w, c);
        return;
    }
    put_comparison(w);
}

/* What statistics of segments can be asked for, joined by AND. */
static void put_conditions(world *w)
{
    for (uint64_t i = 1 + below(w, 3); i > 0; i--) {
        switch (below(w, 5)) {
        case 0:
            put_between(w);
            break;
        case 1:
            put_in(w);
            break;
        case 2:
            put_number(w);
            break;
        case 3:
            kal_buf_printf(&w->sql, "%s IS %sNULL", any_column(w)->name,
                           chance(w, 2) ? "NOT " : "");
            break;
        default:
            put_comparison(w);
            break;
        }
        put(w, i > 1 ? " AND " : "");
    }
}

static void put_subselect(world *w)
{
    const column *key = &w->columns[0];
    kal_buf_printf(&w->sql, "%s IN (SELECT %s FROM @.t WHERE ", key->name, key->name);
    put_comparison(w);
    put(w, ")");
}

static void put_predicate(world *w)
{
    switch (below(w, 13)) {
    case 0:
    case 1:
    case 2:
        put_key(w);
        return;
    case 10:
    case 11:
    case 12:
        put_conditions(w);
        return;
    case 3:
        put_key_range(w);
        return;
    case 4:
        put_for_engine(w);
        return;
    case 5:
        kal_buf_printf(&w->sql, "%s IS %sNULL", any_column(w)->name, chance(w, 2) ? "NOT " : "");
        return;
    case 6:
        put_in(w);
        return;
    case 7:
        put_comparison(w);
        put(w, chance(w, 2) ? " AND " : " OR ");
        put_comparison(w);
        return;
    case 8:
        put_subselect(w);
        return;
    default:
        put_comparison(w);
        return;
    }
}

static void put_where(world *w)
{
    if (chance(w, 25))
        return;
    put(w, " WHERE ");
    put_predicate(w);
}

/* ---- writes ---- */

static void put_returning(world *w)
{
    if (chance(w, w->in_transaction ? 30 : 3))
        put(w, " RETURNING *");
}

static void put_names(world *w)
{
    for (size_t i = 0; i < w->count; i++)
        kal_buf_printf(&w->sql, "%s%s", i == 0 ? "(" : ", ", w->columns[i].name);
    put(w, ")");
}

static void put_on_conflict(world *w)
{
    const column *c = any_value_column(w);
    uint64_t pick = below(w, 5);
    if (pick <= 1)
        put(w, " ON CONFLICT DO NOTHING");
    else if (pick == 2 && c != NULL)
        kal_buf_printf(&w->sql, " ON CONFLICT DO UPDATE SET %s = excluded.%s", c->name, c->name);
    else if (pick == 3 && c != NULL)
        kal_buf_printf(&w->sql, " ON CONFLICT DO UPDATE SET %s = excluded.%s WHERE %s IS NULL",
                       c->name, c->name, any_column(w)->name);
}

static void put_insert(world *w)
{
    put(w, "INSERT INTO @.t ");
    put_names(w);
    put(w, " VALUES ");
    for (uint64_t rows = 1 + (chance(w, 3) ? below(w, 12) : 0); rows > 0; rows--) {
        put(w, "(");
        for (size_t i = 0; i < w->count; i++) {
            put(w, i == 0 ? "" : ", ");
            put_value(w, &w->columns[i]);
        }
        put(w, rows > 1 ? "), " : ")");
    }
    put_on_conflict(w);
    put_returning(w);
}

/* Into other keys where there is a column of small numbers, else into the same ones. */
static void put_insert_select(world *w)
{
    put(w, "INSERT INTO @.t ");
    put_names(w);
    put(w, " SELECT ");
    for (size_t i = 0; i < w->count; i++)
        kal_buf_printf(&w->sql, "%s%s%s", i == 0 ? "" : ", ", w->columns[i].name,
                       w->columns[i].is_id ? " + 17" : "");
    put(w, " FROM @.t");
    put_where(w);
    put_on_conflict(w);
    put_returning(w);
}

static void put_assignment(world *w, const column *c)
{
    kal_buf_printf(&w->sql, "%s = ", c->name);
    if (c->type->is_number && chance(w, 3))
        kal_buf_printf(&w->sql, "%s + 1", c->name);
    else if (strcmp(c->type->type, "TEXT") == 0 && chance(w, 3))
        kal_buf_printf(&w->sql, "reverse(%s)", c->name);
    else
        put_value(w, c);
}

/* Keys of several rows change by what keeps them apart, else of one row. */
static void put_update(world *w)
{
    const column *c = chance(w, 5) ? any_column(w) : any_value_column(w);
    if (c == NULL)
        c = &w->columns[0];
    put(w, "UPDATE @.t SET ");
    if (c->is_key && c->is_id && chance(w, 2)) {
        kal_buf_printf(&w->sql, "%s = %s + %u", c->name, c->name, (unsigned)below(w, 3) + 1);
        put_where(w);
    } else if (c->is_key) {
        put_assignment(w, c);
        put(w, " WHERE ");
        put_key(w);
    } else {
        put_assignment(w, c);
        put_where(w);
    }
    put_returning(w);
}

static void put_delete(world *w)
{
    put(w, "DELETE FROM @.t");
    put_where(w);
    put_returning(w);
}

/* More rows than one vector of DuckDB has; where no key column counts, one row. */
static void put_many(world *w)
{
    unsigned first = 1000 + (unsigned)below(w, 5) * 1000;
    put(w, "INSERT INTO @.t ");
    put_names(w);
    put(w, " SELECT ");
    for (size_t i = 0; i < w->count; i++) {
        put(w, i == 0 ? "" : ", ");
        if (w->columns[i].is_id)
            put(w, "i");
        else
            put_literal(w, &w->columns[i]);
    }
    kal_buf_printf(&w->sql, " FROM range(%u, %u) r(i) ON CONFLICT DO NOTHING", first, first + 2500);
}

static void put_write(world *w)
{
    switch (below(w, 9)) {
    case 0:
    case 1:
        put_update(w);
        return;
    case 2:
        put_delete(w);
        return;
    case 3:
        put_insert_select(w);
        return;
    default:
        put_insert(w);
        return;
    }
}

static void put_transaction(world *w)
{
    w->in_transaction = true;
    put(w, "BEGIN; ");
    for (uint64_t i = 1 + below(w, 5); i > 0; i--) {
        if (chance(w, 4)) {
            put(w, "SELECT * FROM @.t");
            put_where(w);
        } else {
            put_write(w);
        }
        put(w, "; ");
    }
    put(w, chance(w, 4) ? "ROLLBACK" : "COMMIT");
    w->in_transaction = false;
}

static void append_json_literal(kal_buf *out, const char *literal)
{
    if (strcmp(literal, "TRUE") == 0 || strcmp(literal, "FALSE") == 0) {
        kal_buf_append_cstr(out, literal[0] == 'T' ? "true" : "false");
        return;
    }
    if (literal[0] != '\'') {
        kal_buf_append_cstr(out, literal);
        return;
    }
    kal_buf_append_byte(out, '"');
    for (const char *c = literal + 1; c[1] != 0; c++) {
        if (*c == '\'' && c[1] == '\'')
            continue;
        if (*c == '"' || *c == '\\')
            kal_buf_append_byte(out, '\\');
        kal_buf_append_byte(out, (uint8_t)*c);
    }
    kal_buf_append_byte(out, '"');
}

/* A batch of parameters: one statement, several rows of values. */
static void put_batch(world *w)
{
    put(w, "INSERT INTO @.t ");
    put_names(w);
    put(w, " VALUES (");
    for (size_t i = 0; i < w->count; i++)
        kal_buf_printf(&w->sql, "%s$%zu", i == 0 ? "" : ", ", i + 1);
    put(w, ")");
    put_on_conflict(w);
    kal_buf_append_byte(&w->params, '[');
    for (uint64_t rows = 2 + below(w, 20); rows > 0; rows--) {
        kal_buf_append_byte(&w->params, '[');
        for (size_t i = 0; i < w->count; i++) {
            char room[24];
            if (i > 0)
                kal_buf_append_byte(&w->params, ',');
            if (strcmp(w->columns[i].type->type, "TEXT") == 0 && chance(w, 8))
                kal_buf_append_cstr(&w->params, "\"a\\u0000b\""); /* no literal says that */
            else if (!w->columns[i].is_key && chance(w, w->columns[i].is_not_null ? 1000 : 6))
                kal_buf_append_cstr(&w->params, "null");
            else
                append_json_literal(&w->params, any_literal(w, &w->columns[i], room));
        }
        kal_buf_append_cstr(&w->params, rows > 1 ? "]," : "]]");
    }
}

static void write_something(world *w)
{
    begin(w);
    switch (below(w, 8)) {
    case 0:
        if (chance(w, 12))
            put_many(w);
        else
            put_transaction(w);
        break;
    case 1:
        put_batch(w);
        break;
    default:
        put_write(w);
        break;
    }
    both(w, any_user(w), KAL_PATH_AUTO, false);
}

/* ---- reads ---- */

static kal_path any_path(world *w)
{
    static const kal_path PATHS[] = {KAL_PATH_AUTO, KAL_PATH_AUTO, KAL_PATH_ENGINE, KAL_PATH_ENGINE,
                                     KAL_PATH_FAST};
    return PATHS[below(w, KAL_ARRAY_LEN(PATHS))];
}

static void put_order_by_key(world *w)
{
    bool descending = chance(w, 2);
    put(w, " ORDER BY ");
    for (size_t i = 0; i < w->count && w->columns[i].is_key; i++)
        kal_buf_printf(&w->sql, "%s%s%s", i == 0 ? "" : ", ", w->columns[i].name,
                       descending ? " DESC" : "");
    if (chance(w, 2))
        kal_buf_printf(&w->sql, " LIMIT %u OFFSET %u", (unsigned)below(w, 10),
                       (unsigned)below(w, 10));
}

/* The first rows by any column, then by the key: by name, alias or ordinal. */
static void put_top(world *w)
{
    static const char *const NULLS[] = {"", " NULLS FIRST", " NULLS LAST"};
    const column *c = any_column(w);
    while (!c->type->has_order)
        c = any_column(w);
    unsigned how = (unsigned)below(w, 3);
    kal_buf_printf(&w->sql, "SELECT %s AS first, *%s FROM @.t", c->name,
                   chance(w, 4) ? ", _seq IS NULL AS other" : "");
    if (chance(w, 4))
        put_where(w);
    kal_buf_printf(&w->sql, " ORDER BY %s%s%s",
                   how == 0   ? c->name
                   : how == 1 ? "first"
                              : "1",
                   chance(w, 2) ? " DESC" : "", NULLS[below(w, KAL_ARRAY_LEN(NULLS))]);
    for (size_t key = 0; key < w->count && w->columns[key].is_key; key++)
        kal_buf_printf(&w->sql, ", %s", w->columns[key].name);
    kal_buf_printf(&w->sql, " LIMIT %u", (unsigned)below(w, 20));
    if (chance(w, 2))
        kal_buf_printf(&w->sql, " OFFSET %u", (unsigned)below(w, 20));
}

static void put_groups(world *w)
{
    const column *c = any_column(w);
    while (!c->type->has_order)
        c = any_column(w);
    const column *of = any_column(w);
    kal_buf_printf(&w->sql, "SELECT %s, count(*), count(%s), max(%s) FROM @.t", c->name, of->name,
                   w->columns[0].name);
    put_where(w);
    kal_buf_printf(&w->sql, " GROUP BY %s", c->name);
}

static void put_join(world *w)
{
    const char *key = w->columns[0].name;
    kal_buf_printf(&w->sql,
                   "WITH x AS (SELECT %s FROM @.t) SELECT a.%s, count(*) FROM @.t a JOIN x b ON "
                   "a.%s = b.%s GROUP BY a.%s",
                   key, key, key, key, key);
}

/* The nearest vectors, which our own scan finds. False: there is no column of vectors. */
static bool put_nearest(world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->columns[i].type->type, "EMBEDDING(3)") != 0)
            continue;
        kal_buf_printf(&w->sql, "SELECT *, L2_DISTANCE(%s, '[1, 2, 3]') AS d FROM @.t",
                       w->columns[i].name);
        put_where(w);
        put(w, " ORDER BY d");
        for (size_t key = 0; w->columns[key].is_key; key++)
            kal_buf_printf(&w->sql, ", %s", w->columns[key].name);
        kal_buf_printf(&w->sql, " LIMIT %u", 1 + (unsigned)below(w, 10));
        return true;
    }
    return false;
}

static void read_something(world *w)
{
    bool ordered = false;

    begin(w);
    switch (below(w, 9)) {
    case 7:
        put_top(w);
        ordered = true;
        break;
    case 6:
        ordered = put_nearest(w);
        if (!ordered)
            return;
        break;
    case 0:
        put(w, "SELECT count(*) FROM @.t");
        put_where(w);
        break;
    case 1:
        put_groups(w);
        break;
    case 2:
        put_join(w);
        break;
    case 3:
        put(w, "SELECT * FROM @.t");
        put_where(w);
        put_order_by_key(w);
        ordered = true;
        break;
    case 4:
        kal_buf_printf(&w->sql, "SELECT %s, ", any_column(w)->name);
        kal_buf_printf(&w->sql, "%s IS NULL, _deleted FROM @.t", any_column(w)->name);
        put_where(w);
        break;
    case 5:
        put(w, "SELECT * FROM @.t WHERE ");
        put_key(w);
        break;
    default:
        put(w, "SELECT * FROM @.t");
        put_where(w);
        break;
    }
    both(w, any_user(w), any_path(w), ordered);
}

static void read_everything(world *w)
{
    for (size_t user = 0; user < USERS; user++) {
        begin(w);
        put(w, "SELECT * FROM @.t");
        both(w, USER_NAMES[user], any_path(w), false);
        begin(w);
        put(w, "SELECT count(*) FROM @.t");
        both(w, USER_NAMES[user], any_path(w), false);
    }
}

/* ---- runs ---- */

/* The rows of a user in cold.t with their seqs, in the arena of the reply. */
static kal_bytes rows_with_seqs(world *w, const char *user, kal_path path, test_reply *reply_out)
{
    const test_query query = {.user = user, .sql = "SELECT _seq, * FROM cold.t", .path = path};
    *reply_out = test_db_query(w->db, &query);
    if (reply_out->code != NULL)
        fail_msg("seed %llu: %s", (unsigned long long)w->seed, reply_out->message);
    return canonical(reply_out, false);
}

/* The server's own task is at it. */
static bool is_busy(const test_reply *reply)
{
    return strcmp(reply->code, "RATE_LIMIT_EXCEEDED") == 0;
}

static void flush_cold(world *w)
{
    static const char *const WAYS[] = {"FLUSH TABLE cold.t", "FLUSH TABLE cold.t",
                                       "FLUSH ALL IN cold", "STORAGE COMPACT TABLE cold.t"};
    const char *sql = WAYS[below(w, KAL_ARRAY_LEN(WAYS))];
    test_reply reply = test_db_query(w->db, &(test_query){.sql = sql});
    if (reply.code != NULL && !is_busy(&reply))
        fail_msg("seed %llu: %s: %s", (unsigned long long)w->seed, sql, reply.message);
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "%s: %.*s\n", sql, KAL_FMT(reply.text));
    w->flushes++;
    test_reply_release(&reply);
}

/* A flush or compaction changes no row, and no seq either. */
static void flush_and_compare(world *w)
{
    static const kal_path PATHS[] = {KAL_PATH_AUTO, KAL_PATH_ENGINE};
    const char *user = any_user(w);
    test_reply before;
    kal_bytes rows = rows_with_seqs(w, user, KAL_PATH_AUTO, &before);

    flush_cold(w);
    for (size_t i = 0; i < KAL_ARRAY_LEN(PATHS); i++) {
        test_reply after;
        if (!kal_bytes_equal(rows, rows_with_seqs(w, user, PATHS[i], &after)))
            fail_msg("seed %llu, path %d: a flush changed rows:\n%.3000s\n%.3000s",
                     (unsigned long long)w->seed, (int)PATHS[i], (const char *)before.text.ptr,
                     (const char *)after.text.ptr);
        test_reply_release(&after);
    }
    test_reply_release(&before);
}

static void step(world *w, bool flushes)
{
    uint64_t pick = below(w, 100);
    if (pick < 50)
        write_something(w);
    else if (pick < 75)
        read_something(w);
    else if (pick < 84)
        alter(w);
    else if (pick < 85)
        drop_and_create(w);
    else if (pick < 87)
        read_everything(w);
    else if (pick < 88 && flushes)
        test_db_reopen(w->db);
    else if (flushes)
        flush_and_compare(w);
}

static void open_world(world *w, uint64_t seed)
{
    *w = (world){.seed = seed};
    kal_rng_seed(&w->rng, seed);
    kal_buf_init(&w->sql, NULL);
    kal_buf_init(&w->params, NULL);
    w->db = test_db_open(false);
    test_db_run(w->db, "CREATE NAMESPACE hot; CREATE NAMESPACE cold");
    test_db_add_user(w->db, "ann", KAL_ROLE_USER);
    test_db_add_user(w->db, "bob", KAL_ROLE_SERVICE);
    create_table(w);
}

static void close_world(world *w)
{
    read_everything(w);
    test_db_close(w->db);
    kal_buf_release(&w->sql);
    kal_buf_release(&w->params);
}

static uint64_t count_of_worlds(void)
{
    const char *text = getenv("KAL_TEST_COUNT");
    return text == NULL ? WORLDS : strtoull(text, NULL, 10);
}

static void test_between_statements(void **state)
{
    kal_rng rng;
    uint64_t first = kal_test_seed(&rng);
    unsigned statements = 0;
    unsigned errors = 0;
    unsigned flushes = 0;

    (void)state;
    for (uint64_t i = 0; i < count_of_worlds(); i++) {
        world w;
        open_world(&w, first + i);
        for (int s = 0; s < STATEMENTS; s++)
            step(&w, true);
        close_world(&w);
        statements += w.statements;
        errors += w.errors;
        flushes += w.flushes;
    }
    fprintf(stderr, "%u statements, %u of them errors, %u flushes\n", statements, errors, flushes);
    assert_true(errors < statements / 4);
}

/* ---- with a thread that flushes all the time ---- */

typedef struct flusher {
    test_db *db;
    _Atomic bool stop;
    _Atomic unsigned wrong;
} flusher;

static void flush_all_the_time(void *context)
{
    flusher *f = context;
    for (unsigned i = 0; !atomic_load(&f->stop); i++) {
        static const char *const WAYS[] = {"FLUSH TABLE cold.t", "STORAGE COMPACT TABLE cold.t"};
        const char *sql = WAYS[i % 8 == 7];
        test_reply reply = test_db_query(f->db, &(test_query){.sql = sql});
        /* Between DROP and CREATE there is no table. */
        if (reply.code != NULL && !is_busy(&reply) && strcmp(reply.code, "TABLE_NOT_FOUND") != 0) {
            fprintf(stderr, "%s: %.*s\n", sql, KAL_FMT(reply.text));
            atomic_fetch_add(&f->wrong, 1);
        }
        test_reply_release(&reply);
    }
}

static void test_inside_statements(void **state)
{
    kal_rng rng;
    uint64_t first = kal_test_seed(&rng) + 1000000;

    (void)state;
    for (uint64_t i = 0; i < (count_of_worlds() + 1) / 2; i++) {
        world w;
        pthread_t thread;
        open_world(&w, first + i);
        static flusher f; /* a failing test leaves its thread behind */
        f = (flusher){.db = w.db};
        assert_int_equal(kal_thread_start(&thread, "flusher", 0, flush_all_the_time, &f, NULL),
                         KAL_OK);
        for (int s = 0; s < STATEMENTS; s++)
            step(&w, false);
        atomic_store(&f.stop, true);
        pthread_join(thread, NULL);
        assert_int_equal(f.wrong, 0);
        close_world(&w);
    }
}

/* ---- with kill -9 ---- */

enum { KILL_STEPS = 40, WRITE_KILL_DELAY_US = 1500, FLUSH_KILL_DELAY_US = 30000 };

/* A statement that the kill may find half done. */
typedef struct victim {
    world *w;
    const char *user;
    const char *sql; /* NULL: the world's, to cold.t */
    _Atomic bool is_answered;
} victim;

static void run_victim(void *context)
{
    victim *v = context;
    const test_query query = {.user = v->user, .sql = v->sql};
    test_reply reply = v->sql == NULL ? ask(v->w, "cold", v->user, KAL_PATH_AUTO)
                                      : test_db_query(v->w->db, &query);
    atomic_store(&v->is_answered, true);
    test_reply_release(&reply);
}

/* Whether it had been answered before. */
static bool kill_during(world *w, const char *user, const char *sql, unsigned delay_us_max)
{
    pthread_t thread;
    victim v = {.w = w, .user = user, .sql = sql};

    test_db_prepare_freeze(w->db);
    assert_int_equal(kal_thread_start(&thread, "victim", 0, run_victim, &v, NULL), KAL_OK);
    usleep((unsigned)below(w, delay_us_max));
    bool was_answered = atomic_load(&v.is_answered);
    test_db_freeze(w->db);
    pthread_join(thread, NULL);
    test_db_thaw(w->db);
    return was_answered;
}

/* What everybody sees of a table. */
static void put_all_rows(world *w, const char *sql, kal_buf *out)
{
    kal_buf_init(out, NULL);
    for (size_t user = 0; user < USERS; user++) {
        test_reply reply =
            test_db_query(w->db, &(test_query){.user = USER_NAMES[user], .sql = sql});
        if (reply.code != NULL && strcmp(reply.code, "PERMISSION_DENIED") != 0)
            fail_msg("seed %llu: %s: %s", (unsigned long long)w->seed, sql, reply.message);
        kal_buf_append_bytes(out, canonical(&reply, false));
        test_reply_release(&reply);
    }
}

static bool are_equal(const kal_buf *a, const kal_buf *b)
{
    return kal_bytes_equal(kal_buf_bytes(a), kal_buf_bytes(b));
}

static void kill_while_flushing(world *w)
{
    static const char *const WAYS[] = {"FLUSH TABLE cold.t", "STORAGE COMPACT TABLE cold.t",
                                       "FLUSH ALL IN cold"};
    const char *sql = WAYS[below(w, KAL_ARRAY_LEN(WAYS))];
    kal_buf before; /* owned, as all here */
    kal_buf after;

    put_all_rows(w, "SELECT _seq, * FROM cold.t", &before);
    kill_during(w, "root", sql, FLUSH_KILL_DELAY_US);
    put_all_rows(w, "SELECT _seq, * FROM cold.t", &after);
    if (!are_equal(&before, &after))
        fail_msg("seed %llu, statement %u: a kill during %s changed rows:\n%.3000s\n%.3000s",
                 (unsigned long long)w->seed, w->statements, sql, (const char *)before.ptr,
                 (const char *)after.ptr);
    w->flushes++;
    kal_buf_release(&before);
    kal_buf_release(&after);
}

/* The statement to hot.t says what there is when it was not done, and when it was. */
static void kill_while_writing(world *w)
{
    const char *user = any_user(w);
    kal_buf before; /* owned, as all here */
    kal_buf after;
    kal_buf found;

    begin(w);
    if (chance(w, 4))
        put_transaction(w);
    else
        put_write(w);
    put_all_rows(w, "SELECT * FROM hot.t", &before);
    test_reply hot = ask(w, "hot", user, KAL_PATH_AUTO);
    put_all_rows(w, "SELECT * FROM hot.t", &after);
    bool was_answered = kill_during(w, user, NULL, WRITE_KILL_DELAY_US);
    put_all_rows(w, "SELECT * FROM cold.t", &found);
    bool is_done = are_equal(&found, &after);
    w->undone += !is_done;
    if (!is_done && (was_answered || !are_equal(&found, &before)))
        fail_msg("seed %llu, statement %u: %s: %.*s%s:\n%.3000s\n%.3000s\n%.3000s",
                 (unsigned long long)w->seed, w->statements, user, KAL_FMT(kal_buf_bytes(&w->sql)),
                 was_answered ? " was answered" : "", (const char *)before.ptr,
                 (const char *)after.ptr, (const char *)found.ptr);
    if (!is_done) {
        test_reply cold = ask(w, "cold", user, KAL_PATH_AUTO);
        assert_true((cold.code == NULL) == (hot.code == NULL));
        test_reply_release(&cold);
    }
    test_reply_release(&hot);
    kal_buf_release(&before);
    kal_buf_release(&after);
    kal_buf_release(&found);
    w->statements++;
}

static void test_killed(void **state)
{
    kal_rng rng;
    uint64_t first = kal_test_seed(&rng) + 2000000;
    unsigned kills = 0;
    unsigned undone = 0;

    (void)state;
    for (uint64_t i = 0; i < (count_of_worlds() + 2) / 3; i++) {
        world w;
        open_world(&w, first + i);
        for (int s = 0; s < KILL_STEPS; s++) {
            uint64_t pick = below(&w, 10);
            kills += pick >= 6;
            if (pick < 6)
                step(&w, true);
            else if (pick < 8)
                kill_while_flushing(&w);
            else
                kill_while_writing(&w);
        }
        close_world(&w);
        undone += w.undone;
    }
    fprintf(stderr, "%u kills, %u of them before a statement was done\n", kills, undone);
    if (kills > 100)
        assert_true(undone > 0);
}

/* An argument names the tests that are to run, as a pattern. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_statements),
        cmocka_unit_test(test_inside_statements),
        cmocka_unit_test(test_killed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
