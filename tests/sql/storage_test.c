/*
 * Storages in SQL: making, changing, using, dropping and checking them, what is refused and why,
 * and that a storage is never dropped under a table that is being made.
 */
#include "base/thread.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/kal-storages-XXXXXX");
    return mkdtemp(base) == NULL ? -1 : 0;
}

static int remove_base(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command);
}

/* %s in sql is the base directory. */
static const char *with_base(const char *sql)
{
    static _Thread_local char text[1024];
    const char *at = strstr(sql, "%s");
    if (at == NULL)
        return sql;
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - sql), sql, base, at + 2);
    return text;
}

static void run(test_db *db, const char *sql)
{
    test_db_run(db, with_base(sql));
}

static void refuse(test_db *db, const char *sql, const char *code, const char *part)
{
    test_db_expect_error(db, NULL, with_base(sql), code, part);
}

#define FIELDS                                                                                     \
    "SELECT storage_id, storage_name, description, storage_type, shared_tables_template, "         \
    "user_tables_template FROM system.storages ORDER BY 1"
#define LOCAL                                                                                      \
    "[\"local\",\"Local storage\",null,\"filesystem\",\"{namespace}/{tableName}\","                \
    "\"{namespace}/{tableName}/{userId}\"]"

static void test_life(void **state)
{
    test_db *db = test_db_open(false);
    (void)state;
    test_db_expect(db, NULL, FIELDS, "[" LOCAL "]");
    run(db, "CREATE STORAGE s1 TYPE filesystem NAME 'One' DESCRIPTION 'first' PATH '%s/life' "
            "SHARED_TABLES_TEMPLATE 'shared/{namespace}/{tableName}' "
            "USER_TABLES_TEMPLATE 'users/{namespace}/{tableName}/{userId}'");
    run(db, "CREATE STORAGE 'a2' TYPE 'filesystem' NAME 'Two' BASE_DIRECTORY '%s/two'");
    run(db, "CREATE STORAGE IF NOT EXISTS s1 TYPE filesystem NAME 'x' PATH '%s/x'");
    run(db, "ALTER STORAGE s1 SET NAME 'Uno' SET DESCRIPTION = 'erste'");
    run(db, "ALTER STORAGE a2 SET USER_TABLES_TEMPLATE '{namespace}/{tableName}/u={userId}'");
    test_db_reopen(db);
    test_db_expect(db, NULL, FIELDS,
                   "[[\"a2\",\"Two\",null,\"filesystem\",\"{namespace}/{tableName}\","
                   "\"{namespace}/{tableName}/u={userId}\"]," LOCAL
                   ",[\"s1\",\"Uno\",\"erste\",\"filesystem\",\"shared/{namespace}/{tableName}\","
                   "\"users/{namespace}/{tableName}/{userId}\"]]");
    test_query query = {.sql = "SHOW STORAGES"};
    test_reply reply = test_db_query(db, &query);
    assert_int_equal(reply.http_status, 200);
    assert_int_equal(reply.rows->len, 3);
    static const char *const ORDER[] = {"local", "a2", "s1"};
    for (size_t i = 0; i < 3; i++)
        assert_true(kal_bytes_equal(reply.rows->items[i].items[0].text, kal_cstr(ORDER[i])));
    assert_int_equal(reply.schema->len, 6);
    test_reply_release(&reply);
    run(db, "DROP STORAGE a2");
    run(db, "DROP STORAGE IF EXISTS a2");
    refuse(db, "DROP STORAGE a2", "STORAGE_NOT_FOUND", "storage 'a2' does not exist");
    refuse(db, "DROP STORAGE local", "PERMISSION_DENIED", "cannot be dropped");
    test_db_close(db);
}

static void test_refusals(void **state)
{
    test_db *db = test_db_open(false);
    (void)state;
    test_db_add_user(db, "ann", KAL_ROLE_SERVICE);
    run(db, "CREATE STORAGE one TYPE filesystem NAME 'One' PATH '%s/refusals/one'");
    static const struct {
        const char *sql, *code, *part;
    } CASES[] = {
        {"CREATE STORAGE one TYPE filesystem NAME 'x' PATH '%s/y'", "ALREADY_EXISTS",
         "storage 'one' already exists"},
        {"CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'bucket'", "INVALID_INPUT",
         "CREDENTIALS is missing"},
        {"CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'b'", "INVALID_INPUT",
         "cannot be the name of a bucket"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/y' CREDENTIALS '{\"k\":\"v\"}'",
         "INVALID_INPUT", "CREDENTIALS is of storages of type s3"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/y' REGION 'r'", "INVALID_INPUT",
         "REGION is of storages of type s3"},
        {"CREATE STORAGE s TYPE tape NAME 'x' PATH '%s/y'", "INVALID_INPUT",
         "unknown storage type 'tape'"},
        {"CREATE STORAGE s NAME 'x' PATH '%s/y'", "INVALID_INPUT", "TYPE is missing"},
        {"CREATE STORAGE s TYPE filesystem PATH '%s/y'", "INVALID_INPUT", "NAME is missing"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x'", "INVALID_INPUT", "PATH is missing"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH ''", "INVALID_INPUT", "PATH must be"},
        {"CREATE STORAGE s TYPE filesystem NAME '' PATH '%s/y'", "INVALID_INPUT",
         "cannot be empty"},
        {"CREATE STORAGE 'a/b' TYPE filesystem NAME 'x' PATH '%s/y'", "INVALID_INPUT",
         "cannot be the id"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '/dev/null/x'", "INVALID_INPUT",
         "'/dev/null/x' is a file, or leads through one"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '/dev/null'", "INVALID_INPUT",
         "'/dev/null' is a file"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH 'relative/dir'", "INVALID_INPUT",
         "PATH must begin with '/'"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '/proc'", "IO_ERROR", "'/proc'"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/refusals/one'", "INVALID_INPUT",
         "overlaps"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/refusals/two/../one/in'",
         "INVALID_INPUT", "overlaps"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s'", "INVALID_INPUT", "overlaps"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '/tmp'", "INVALID_INPUT", "overlaps"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/y' SHARED_TABLES_TEMPLATE "
         "'../{namespace}/{tableName}'",
         "INVALID_INPUT", "may not leave"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '%s/y' USER_TABLES_TEMPLATE "
         "'{namespace}/{tableName}'",
         "INVALID_INPUT", "lacks '{userId}'"},
        {"CREATE STORAGE s TYPE filesystem NAME 'x' NAME 'y'", "INVALID_SQL", "given twice"},
        {"CREATE STORAGE s TYPE filesystem COLOUR 'x'", "INVALID_SQL", "expected TYPE, NAME"},
        {"ALTER STORAGE oen SET NAME 'x'", "STORAGE_NOT_FOUND", "'oen' does not exist"},
        {"ALTER STORAGE one SET PATH 'x'", "INVALID_SQL", "after SET"},
        {"ALTER STORAGE one SET CREDENTIALS 'x'", "INVALID_INPUT", "not valid JSON"},
        {"ALTER STORAGE one SET CREDENTIALS '{\"access_key_id\":\"a\",\"secret_access_key\":"
         "\"b\"}'",
         "INVALID_INPUT", "storage 'one' has no credentials"},
        {"ALTER STORAGE one SET ENDPOINT 'http://h'", "INVALID_SQL", "after SET"},
        {"ALTER STORAGE one SET NAME ''", "INVALID_INPUT", "cannot be empty"},
        {"ALTER STORAGE one SET SHARED_TABLES_TEMPLATE '{namespace}/x/{tableName}'",
         "INVALID_INPUT", "could get the same path"},
        {"STORAGE CHECK oen", "STORAGE_NOT_FOUND", "'oen' does not exist"},
        {"STORAGE FLUSH", "INVALID_SQL", "TABLE or ALL"},
        {"BEGIN; DROP STORAGE one; COMMIT", "UNSUPPORTED", "inside a transaction"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(CASES); i++)
        refuse(db, CASES[i].sql, CASES[i].code, CASES[i].part);
    static const char *const OF_DBA[] = {"CREATE STORAGE s TYPE filesystem NAME 'x' PATH '/tmp/x'",
                                         "ALTER STORAGE one SET NAME 'x'", "DROP STORAGE one",
                                         "SHOW STORAGES", "STORAGE CHECK one"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(OF_DBA); i++)
        test_db_expect_error(db, "ann", OF_DBA[i], "PERMISSION_DENIED",
                             "Admin privileges required for storage operations");
    test_query near = {.sql = "STORAGE CHECK oen"};
    test_reply reply = test_db_query(db, &near);
    assert_string_equal(reply.hint, "did you mean 'one'?");
    test_reply_release(&reply);
    /* What may be a secret is not repeated. */
    static const char *const SECRETS[] = {
        "CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'bucket' CREDENTIALS 'hush'",
        "CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'bucket' CREDENTIALS '{\"hush\":\"hush\"}'",
        "CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'bucket' ENDPOINT 'http://127.0.0.1:1' "
        "CREDENTIALS "
        "'{\"access_key_id\":\"hush\",\"secret_access_key\":\"hush\"}'",
        "CREATE STORAGE s TYPE s3 NAME 'x' BUCKET 'bucket' CREDENTIALS hush",
        "ALTER STORAGE one SET CREDENTIALS 'hush'",
        "ALTER STORAGE one SET CREDENTIALS '{\"access_key_id\":\"hush\"}'",
        "ALTER STORAGE one SET CREDENTIALS hush",
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(SECRETS); i++) {
        test_query secret = {.sql = SECRETS[i]};
        reply = test_db_query(db, &secret);
        assert_true(reply.http_status >= 400);
        if (memmem(reply.text.ptr, reply.text.len, "hush", 4) != NULL)
            fail_msg("%.*s", KAL_FMT(reply.text));
        test_reply_release(&reply);
    }
    test_db_close(db);
}

static void test_tables(void **state)
{
    char expected[256];
    test_db *db = test_db_open(false);
    (void)state;
    run(db, "CREATE NAMESPACE n");
    run(db, "CREATE STORAGE s1 TYPE filesystem NAME 'One' PATH '%s/tables'");
    refuse(db, "CREATE SHARED TABLE n.t (id INT PRIMARY KEY) STORAGE s2", "STORAGE_NOT_FOUND",
           "storage 's2' does not exist");
    run(db, "CREATE SHARED TABLE n.a (id INT PRIMARY KEY) STORAGE s1");
    run(db, "CREATE USER TABLE n.b (id INT PRIMARY KEY) WITH (STORAGE_ID = 's1')");
    run(db, "CREATE USER TABLE n.c (id INT PRIMARY KEY)");
    refuse(db, "ALTER TABLE n.c SET TBLPROPERTIES (storage_id = 'nowhere')", "STORAGE_NOT_FOUND",
           "storage 'nowhere' does not exist");
    refuse(db, "ALTER TABLE n.c SET TBLPROPERTIES (storage_id = 'nowhere') DRY RUN",
           "STORAGE_NOT_FOUND", "storage 'nowhere' does not exist");
    run(db, "ALTER TABLE n.c SET TBLPROPERTIES (storage_id = 's1')");
    snprintf(expected, sizeof expected,
             "[[\"s1\",\"%s/tables/n/a\"],[\"s1\",\"%s/tables/n/b\"],[\"s1\",\"%s/tables/n/c\"]]",
             base, base, base);
    test_db_expect(db, NULL,
                   "SELECT storage_id, storage_location FROM system.tables WHERE namespace = 'n' "
                   "ORDER BY table_name",
                   expected);
    run(db, "CREATE SHARED TABLE n.d (id INT PRIMARY KEY) STORAGE s1");
    refuse(db, "DROP STORAGE s1", "INVALID_INPUT",
           "cannot drop storage 's1': 4 tables use it: n.a, n.b, n.c, ...");
    run(db, "DROP TABLE n.a; DROP TABLE n.d; ALTER TABLE n.c SET TBLPROPERTIES (storage_id = "
            "'local')");
    refuse(db, "DROP STORAGE s1", "INVALID_INPUT", "1 table uses it: n.b");
    run(db, "DROP NAMESPACE n CASCADE; DROP STORAGE s1");
    test_db_close(db);
}

#define CHECKED "[[\"s1\",\"healthy\",true,true,true,true,"

static void test_check(void **state)
{
    static const char *const SQL[] = {"STORAGE CHECK s1", "STORAGE CHECK s1 EXTENDED",
                                      "storage check 's1'"};
    char path[128];
    test_db *db = test_db_open(false);
    (void)state;
    run(db, "CREATE STORAGE s1 TYPE filesystem NAME 'One' PATH '%s/check'");
    for (size_t i = 0; i < KAL_ARRAY_LEN(SQL); i++) {
        test_query query = {.sql = SQL[i]};
        test_reply reply = test_db_query(db, &query);
        if (memmem(reply.text.ptr, reply.text.len, CHECKED, strlen(CHECKED)) == NULL)
            fail_msg("%.*s", KAL_FMT(reply.text));
        assert_int_equal(reply.schema->len, 11);
        assert_int_equal(reply.rows->items[0].items[9].kind, KAL_JSON_NULL);
        test_reply_release(&reply);
    }
    /* The probe has left nothing; without the directory the row says what is wrong. */
    snprintf(path, sizeof path, "%s/check", base);
    assert_int_equal(rmdir(path), 0);
    test_query query = {.sql = "STORAGE CHECK s1"};
    test_reply reply = test_db_query(db, &query);
    assert_int_equal(reply.http_status, 200);
    assert_non_null(memmem(reply.text.ptr, reply.text.len, "\"unreachable\",false,false", 25));
    assert_non_null(memmem(reply.text.ptr, reply.text.len, path, strlen(path)));
    test_reply_release(&reply);
    query.sql = "STORAGE CHECK local";
    reply = test_db_query(db, &query);
    assert_non_null(memmem(reply.text.ptr, reply.text.len, "[\"local\",\"healthy\"", 18));
    test_reply_release(&reply);
    test_db_close(db);
}

/* ---- DROP STORAGE against CREATE TABLE ---- */

typedef struct racer {
    test_db *db;
    _Atomic bool stop;
    unsigned made;
} racer;

static void make_tables(void *context)
{
    racer *r = context;
    test_query create = {.sql = "CREATE SHARED TABLE n.t (id INT PRIMARY KEY) STORAGE s1"};
    test_query drop = {.sql = "DROP TABLE n.t"};
    while (!atomic_load(&r->stop)) {
        test_reply reply = test_db_query(r->db, &create);
        bool made = reply.http_status == 200;
        if (!made && strcmp(reply.code, "STORAGE_NOT_FOUND") != 0)
            fail_msg("%.*s", KAL_FMT(reply.text));
        test_reply_release(&reply);
        r->made += made;
        if (!made)
            continue;
        test_query look = {.sql = "SELECT count(*) FROM system.storages WHERE storage_id = 's1'"};
        reply = test_db_query(r->db, &look);
        if (memmem(reply.text.ptr, reply.text.len, "[[\"1\"]]", 7) == NULL &&
            memmem(reply.text.ptr, reply.text.len, "[[1]]", 5) == NULL)
            fail_msg("a table without its storage: %.*s", KAL_FMT(reply.text));
        test_reply_release(&reply);
        reply = test_db_query(r->db, &drop);
        assert_int_equal(reply.http_status, 200);
        test_reply_release(&reply);
    }
}

/* Goal: while a table exists its storage does. Method: one thread makes and drops a table, another
 * its storage. */
static void test_race(void **state)
{
    racer r = {.db = test_db_open(false)};
    pthread_t thread;
    unsigned dropped = 0;
    unsigned refused = 0;

    (void)state;
    run(r.db, "CREATE NAMESPACE n");
    assert_int_equal(kal_thread_start(&thread, "tables", 0, make_tables, &r, NULL), KAL_OK);
    for (int i = 0; i < 1000 && (dropped < 20 || refused < 20); i++) {
        run(r.db, "CREATE STORAGE IF NOT EXISTS s1 TYPE filesystem NAME 'One' PATH '%s/race'");
        test_query drop = {.sql = "DROP STORAGE s1"};
        test_reply reply = test_db_query(r.db, &drop);
        dropped += reply.http_status == 200;
        refused += reply.http_status != 200;
        if (reply.http_status != 200)
            assert_non_null(strstr(reply.message, "n.t"));
        test_reply_release(&reply);
    }
    atomic_store(&r.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("%u dropped, %u refused, %u tables\n", dropped, refused, r.made);
    assert_true(dropped > 0);
    test_db_close(r.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_tables), cmocka_unit_test(test_check),
        cmocka_unit_test(test_race),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
