/*
 * STREAM tables: what is seen when, whose rows they are, what eviction removes, what is refused.
 *
 * The clock stands still until a test moves it, so the edge of a TTL is exact; eviction runs when
 * the test says so.
 */
#include "exec/evictor.h"
#include "sql/database.h"
#include "table/table_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND_US INT64_C(1000000)

typedef struct fixture {
    kal_sim_clock clock;
    test_db *db;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    kal_sim_clock_init(&f->clock, INT64_C(1800000000) * SECOND_US);
    f->db = test_db_open_at(&f->clock.clock);
    test_db_add_user(f->db, "ann", KAL_ROLE_USER);
    test_db_add_user(f->db, "bob", KAL_ROLE_USER);
    test_db_run(f->db, "CREATE NAMESPACE app");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    test_db_close(f->db);
    free(f);
    return 0;
}

static void as(fixture *f, const char *user, const char *sql)
{
    test_reply reply = test_db_query(f->db, &(test_query){.user = user, .sql = sql});
    if (reply.code != NULL)
        fail_msg("%s: %s", sql, reply.message);
    test_reply_release(&reply);
}

/* By our own evaluator and by DuckDB. */
static void expect_both(fixture *f, const char *user, const char *sql, const char *rows)
{
    char wrapped[512];
    test_db_expect(f->db, user, sql, rows);
    snprintf(wrapped, sizeof wrapped, "WITH s AS (%s) SELECT * FROM s", sql);
    test_db_expect(f->db, user, wrapped, rows);
}

static void evict(fixture *f)
{
    kal_error err = KAL_ERROR_INIT;
    if (kal_evictor_pass(test_db_exec(f->db)->evictor, &err) != KAL_OK)
        fail_msg("eviction: %s", err.message);
}

static kal_evictor_counts counts(fixture *f)
{
    return kal_evictor_get_counts(test_db_exec(f->db)->evictor);
}

static uint64_t stat_of(fixture *f, const char *user, const char *table, const char *statistic)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SHOW STATS FOR TABLE %s", table);
    test_reply reply = test_db_query(f->db, &(test_query){.user = user, .sql = sql});
    for (size_t i = 0; reply.rows != NULL && i < reply.rows->len; i++) {
        const kal_json *row = &reply.rows->items[i];
        if (!kal_bytes_equal(row->items[0].text, kal_cstr(statistic)))
            continue;
        uint64_t value = strtoull(kal_arena_cstr(&reply.arena, row->items[1].text), NULL, 10);
        test_reply_release(&reply);
        return value;
    }
    fail_msg("%s has no %s", table, statistic);
    return 0;
}

static void expect_stored(fixture *f, const char *table, uint64_t count)
{
    uint64_t found = stat_of(f, NULL, table, "buffered_rows");
    if (found != count)
        fail_msg("%s stores %llu rows, not %llu", table, (unsigned long long)found,
                 (unsigned long long)count);
}

static void advance(fixture *f, int64_t us)
{
    kal_sim_clock_advance(&f->clock, us);
}

/* ---- what is seen ---- */

static void a_row_is_seen_until_its_ttl_to_the_microsecond(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (id INT PRIMARY KEY, t TEXT) TTL 10");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'a')");
    advance(f, 3);
    as(f, "ann", "INSERT INTO app.s VALUES (2, 'b')");
    advance(f, 10 * SECOND_US - 4);
    expect_both(f, "ann", "SELECT id FROM app.s ORDER BY id", "[[1],[2]]");
    expect_both(f, "ann", "SELECT t FROM app.s WHERE id = 1", "[[\"a\"]]");
    advance(f, 1);
    expect_both(f, "ann", "SELECT id FROM app.s ORDER BY id", "[[2]]");
    expect_both(f, "ann", "SELECT t FROM app.s WHERE id = 1", "[]");
    expect_both(f, "ann", "SELECT count(*) FROM app.s", "[[\"1\"]]");
    test_db_expect(f->db, "ann", "DELETE FROM app.s WHERE id = 1 RETURNING id", "[]");
    expect_stored(f, "app.s", 2); /* nobody removed it, nobody sees it */
    assert_int_equal(stat_of(f, NULL, "app.s", "logical_rows"), 1);
    advance(f, 3);
    expect_both(f, "ann", "SELECT id FROM app.s", "[]");
}

static void an_old_row_is_not_in_the_way_of_its_key(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (id INT PRIMARY KEY, t TEXT) TTL 10");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'old')");
    test_db_expect_error(f->db, "ann", "INSERT INTO app.s VALUES (1, 'x')", "DUPLICATE_KEY", "");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'x') ON CONFLICT DO NOTHING");
    expect_both(f, "ann", "SELECT t FROM app.s", "[[\"old\"]]");
    advance(f, 10 * SECOND_US);
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'new') ON CONFLICT (id) DO NOTHING");
    expect_both(f, "ann", "SELECT t FROM app.s", "[[\"new\"]]");
    expect_stored(f, "app.s", 1);
    advance(f, 9 * SECOND_US);
    expect_both(f, "ann", "SELECT t FROM app.s", "[[\"new\"]]");
    /* The place of the first one in the order went with it. */
    advance(f, 61 * SECOND_US); /* 80 s: TTL and watermark of the first one are over */
    evict(f);
    expect_stored(f, "app.s", 0);
    assert_int_equal(counts(f).evicted_rows, 1);
}

static void everybody_has_his_own_rows(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (id INT PRIMARY KEY, t TEXT) TTL 10");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'ann'), (2, 'ann')");
    as(f, "bob", "INSERT INTO app.s VALUES (1, 'bob')");
    expect_both(f, "ann", "SELECT id, t FROM app.s ORDER BY id", "[[1,\"ann\"],[2,\"ann\"]]");
    expect_both(f, "bob", "SELECT id, t FROM app.s ORDER BY id", "[[1,\"bob\"]]");
    expect_both(f, NULL, "SELECT id, t FROM app.s", "[]");
    as(f, "bob", "DELETE FROM app.s");
    as(f, "bob", "DELETE FROM app.s WHERE id = 2");
    expect_both(f, "ann", "SELECT count(*) FROM app.s", "[[\"2\"]]");
    assert_int_equal(stat_of(f, "ann", "app.s", "logical_rows"), 2);
    assert_int_equal(stat_of(f, "ann", "app.s", "active_streams"), 1);
    assert_int_equal(stat_of(f, "bob", "app.s", "logical_rows"), 0);
    assert_int_equal(stat_of(f, "bob", "app.s", "active_streams"), 0);
    as(f, "bob", "INSERT INTO app.s VALUES (7, 'bob')");
    assert_int_equal(stat_of(f, NULL, "app.s", "active_streams"), 2);
    assert_int_equal(stat_of(f, NULL, "app.s", "logical_rows"), 3);
    advance(f, 10 * SECOND_US);
    assert_int_equal(stat_of(f, NULL, "app.s", "active_streams"), 0);
    assert_int_equal(stat_of(f, NULL, "app.s", "buffered_rows"), 3);
}

/* ---- without a key ---- */

static void rows_without_a_key_come_in_the_order_of_arrival(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.log (t TEXT, n INT DEFAULT 7) WITH (TTL_SECONDS = 60)");
    as(f, "ann", "INSERT INTO app.log VALUES ('c', 1), ('a', 2), ('a', 2)");
    as(f, "bob", "INSERT INTO app.log (t) VALUES ('bob')");
    as(f, "ann", "INSERT INTO app.log (t) SELECT 'r' || r FROM range(2) t(r)");
    expect_both(f, "ann", "SELECT t, n FROM app.log ORDER BY _seq",
                "[[\"c\",1],[\"a\",2],[\"a\",2],[\"r0\",7],[\"r1\",7]]");
    test_db_expect(f->db, "ann", "SELECT t FROM app.log LIMIT 2", "[[\"c\"],[\"a\"]]");
    test_db_expect(f->db, "ann", "SELECT * FROM app.log WHERE t = 'c'", "[[\"c\",1]]");
    expect_both(f, "ann", "SELECT count(DISTINCT _seq), bool_or(_deleted) FROM app.log",
                "[[\"5\",false]]");
    test_db_expect(f->db, "ann", "INSERT INTO app.log VALUES ('z', 3) RETURNING t, n",
                   "[[\"z\",3]]");
    test_db_reopen(f->db);
    as(f, "ann", "INSERT INTO app.log VALUES ('last', 4)");
    expect_both(f, "ann", "SELECT t FROM app.log ORDER BY _seq",
                "[[\"c\"],[\"a\"],[\"a\"],[\"r0\"],[\"r1\"],[\"z\"],[\"last\"]]");
    /* by our evaluator, by DuckDB, by _seq */
    as(f, "ann", "DELETE FROM app.log WHERE t = 'c'");
    as(f, "ann", "DELETE FROM app.log WHERE regexp_matches(t, '^r[0-9]$')");
    as(f, "ann", "DELETE FROM app.log WHERE _seq IN (SELECT max(_seq) FROM app.log)");
    expect_both(f, "ann", "SELECT t FROM app.log ORDER BY _seq", "[[\"a\"],[\"a\"],[\"z\"]]");
    expect_both(f, "bob", "SELECT t, n FROM app.log", "[[\"bob\",7]]");
}

static void a_batch_of_parameters_fills_a_stream(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.log (n INT) TTL 60");
    test_reply reply = test_db_query(f->db, &(test_query){.user = "ann",
                                                          .sql = "INSERT INTO app.log VALUES ($1)",
                                                          .params = "[[3],[1],[2]]"});
    assert_null(reply.code);
    test_reply_release(&reply);
    expect_both(f, "ann", "SELECT n FROM app.log ORDER BY _seq", "[[3],[1],[2]]");
}

static void a_transaction_commits_as_one(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.log (t TEXT) TTL 60");
    as(f, NULL, "CREATE STREAM TABLE app.k (id INT PRIMARY KEY, t TEXT) TTL 60");
    as(f, "ann", "INSERT INTO app.log VALUES ('before')");
    as(f, "ann", "INSERT INTO app.k VALUES (1, 'before')");
    as(f, "ann",
       "BEGIN; INSERT INTO app.log VALUES ('x'), ('y'), ('z');"
       " DELETE FROM app.log WHERE t = 'x';"
       " DELETE FROM app.log WHERE regexp_matches(t, '^y$');"
       " INSERT INTO app.log SELECT t || '2' FROM app.log;"
       " DELETE FROM app.k WHERE id = 1; INSERT INTO app.k VALUES (1, 'again'); COMMIT");
    expect_both(f, "ann", "SELECT t FROM app.log ORDER BY _seq",
                "[[\"before\"],[\"z\"],[\"before2\"],[\"z2\"]]");
    expect_both(f, "ann", "SELECT t FROM app.k", "[[\"again\"]]");
    as(f, "ann", "BEGIN; INSERT INTO app.log VALUES ('no'); DELETE FROM app.k; ROLLBACK");
    expect_both(f, "ann", "SELECT count(*) FROM app.log", "[[\"4\"]]");
    expect_both(f, "ann", "SELECT count(*) FROM app.k", "[[\"1\"]]");
    test_db_expect_error(f->db, "ann",
                         "BEGIN; INSERT INTO app.log VALUES ('no');"
                         " INSERT INTO app.k VALUES (1, 'twice'); COMMIT",
                         "DUPLICATE_KEY", "");
    expect_both(f, "ann", "SELECT count(*) FROM app.log", "[[\"4\"]]");
}

/* ---- eviction ---- */

static void time_based_eviction_waits_for_the_watermark(void **state)
{
    fixture *f = *state;

    as(f, NULL,
       "CREATE STREAM TABLE app.s (n INT) WITH (TTL_SECONDS = 10, WATERMARK_DELAY_SECONDS = 5,"
       " MAX_STREAM_SIZE_BYTES = 1)"); /* which is another strategy's */
    as(f, "ann", "INSERT INTO app.s VALUES (1)");
    advance(f, 1);
    as(f, "bob", "INSERT INTO app.s VALUES (2)");
    advance(f, 15 * SECOND_US - 2);
    evict(f);
    expect_stored(f, "app.s", 2);
    expect_both(f, "bob", "SELECT n FROM app.s", "[]");
    advance(f, 1);
    evict(f);
    expect_stored(f, "app.s", 1);
    assert_int_equal(stat_of(f, "bob", "app.s", "buffered_rows"), 1);
    advance(f, 1);
    evict(f);
    expect_stored(f, "app.s", 0);
    assert_int_equal(counts(f).evicted_rows, 2);
    test_db_reopen(f->db);
    expect_stored(f, "app.s", 0);
}

static void size_based_eviction_removes_the_oldest(void **state)
{
    fixture *f = *state;
    char sql[160];

    as(f, NULL,
       "CREATE STREAM TABLE app.s (n BIGINT) WITH (TTL_SECONDS = 10, WATERMARK_DELAY_SECONDS = 0,"
       " EVICTION_STRATEGY = 'size_based')");
    for (int i = 0; i < 10; i++) {
        snprintf(sql, sizeof sql, "INSERT INTO app.s VALUES (%d)", i);
        as(f, i % 2 == 0 ? "ann" : "bob", sql);
        advance(f, 1);
    }
    evict(f); /* 0: no limit */
    expect_stored(f, "app.s", 10);
    uint64_t bytes = stat_of(f, NULL, "app.s", "storage_bytes");
    assert_int_equal(bytes % 10, 0);
    snprintf(sql, sizeof sql, "ALTER TABLE app.s SET TBLPROPERTIES (max_stream_size_bytes = %llu)",
             (unsigned long long)bytes);
    as(f, NULL, sql);
    evict(f);
    expect_stored(f, "app.s", 10); /* it fits to the byte */
    snprintf(sql, sizeof sql, "ALTER TABLE app.s SET TBLPROPERTIES (max_stream_size_bytes = %llu)",
             (unsigned long long)(bytes / 10 * 7 - 1));
    as(f, NULL, sql);
    evict(f);
    expect_both(f, "ann", "SELECT n FROM app.s ORDER BY n", "[[\"4\"],[\"6\"],[\"8\"]]");
    expect_both(f, "bob", "SELECT n FROM app.s ORDER BY n", "[[\"5\"],[\"7\"],[\"9\"]]");
    advance(f, 100 * SECOND_US);
    evict(f); /* time is no reason here */
    expect_stored(f, "app.s", 6);
    expect_both(f, "ann", "SELECT n FROM app.s", "[]"); /* but it decides what is seen */
}

static void hybrid_eviction_does_both(void **state)
{
    fixture *f = *state;
    char sql[160];

    as(f, NULL,
       "CREATE STREAM TABLE app.s (n BIGINT) WITH (TTL_SECONDS = 10, WATERMARK_DELAY_SECONDS = 0,"
       " EVICTION_STRATEGY = 'hybrid')");
    as(f, "ann", "INSERT INTO app.s VALUES (1)");
    uint64_t bytes = stat_of(f, NULL, "app.s", "storage_bytes");
    advance(f, SECOND_US);
    as(f, "ann", "INSERT INTO app.s VALUES (2), (3), (4)");
    advance(f, 9 * SECOND_US);
    evict(f); /* by time */
    expect_both(f, "ann", "SELECT n FROM app.s ORDER BY n", "[[\"2\"],[\"3\"],[\"4\"]]");
    expect_stored(f, "app.s", 3);
    snprintf(sql, sizeof sql, "ALTER TABLE app.s SET TBLPROPERTIES (max_stream_size_bytes = %llu)",
             (unsigned long long)(bytes * 2));
    as(f, NULL, sql);
    evict(f); /* by size */
    expect_both(f, "ann", "SELECT n FROM app.s ORDER BY n", "[[\"3\"],[\"4\"]]");
    advance(f, SECOND_US);
    evict(f);
    expect_stored(f, "app.s", 0);
}

static void much_is_evicted_in_batches_and_compacted_unless_exempt(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (n BIGINT) WITH (TTL_SECONDS = 1)");
    as(f, NULL,
       "CREATE STREAM TABLE app.x (n BIGINT) WITH (TTL_SECONDS = 1, ENABLE_COMPACTION = FALSE)");
    as(f, "ann", "INSERT INTO app.x SELECT * FROM range(2500)");
    advance(f, 100 * SECOND_US);
    evict(f);
    expect_stored(f, "app.x", 0);
    assert_int_equal(counts(f).evicted_rows, 2500);
    assert_int_equal(counts(f).compactions, 0);
    as(f, "ann", "INSERT INTO app.s SELECT * FROM range(2500)");
    advance(f, 100 * SECOND_US);
    evict(f);
    expect_stored(f, "app.s", 0);
    assert_int_equal(counts(f).evicted_rows, 5000);
    assert_int_equal(counts(f).compactions, 1);
    test_db_expect(f->db, NULL,
                   "SELECT metric_name, metric_value FROM system.stats WHERE metric_name IN"
                   " ('stream_rows_evicted', 'stream_compactions') ORDER BY 1",
                   "[[\"stream_compactions\",\"1\"],[\"stream_rows_evicted\",\"5000\"]]");
}

/* Goal: an open view keeps what eviction removes; a row that came again under the same key after
 * eviction chose its victim stays. */
static void eviction_spares_views_and_rows_that_came_again(void **state)
{
    fixture *f = *state;
    kal_exec *exec = test_db_exec(f->db);
    kal_error err = KAL_ERROR_INIT;
    kal_scan_range all = {0};
    kal_scan *scan = NULL;
    kal_table *table = NULL;
    kal_view view;
    kal_row row;
    kal_buf key;
    kal_user user;
    kal_arena arena;
    kal_value id = kal_value_integer(KAL_TYPE_INT, 1);

    kal_arena_init(&arena, NULL);
    kal_buf_init(&key, NULL);
    as(f, NULL,
       "CREATE STREAM TABLE app.s (id INT PRIMARY KEY) WITH (TTL_SECONDS = 10,"
       " WATERMARK_DELAY_SECONDS = 0)");
    as(f, "ann", "INSERT INTO app.s VALUES (1), (2)");
    assert_int_equal(kal_catalog_get_user(exec->catalog, KAL_STR("ann"), &arena, &user, &err),
                     KAL_OK);
    kal_catalog_worker *worker = kal_catalog_worker_open(exec->catalog);
    assert_int_equal(kal_catalog_get_table(worker, KAL_STR("app"), KAL_STR("s"), &table, &err),
                     KAL_OK);
    kal_view_open(&view, exec->tables, user.user_no, NULL);
    assert_int_equal(kal_table_key(table, &id, &key, &err), KAL_OK);
    assert_int_equal(kal_view_get(&view, table, kal_buf_bytes(&key), false, &arena, &row, &err),
                     KAL_OK);
    uint64_t seq = row.seq;

    advance(f, 10 * SECOND_US);
    evict(f);
    expect_stored(f, "app.s", 0);
    size_t seen = 0;
    assert_int_equal(kal_scan_open(&view, table, &all, &scan, &err), KAL_OK);
    while (kal_scan_next(scan, &row, NULL, &err) == KAL_OK)
        seen++;
    assert_int_equal(seen, 2);
    kal_scan_close(scan);
    kal_view_close(&view);

    as(f, "ann", "INSERT INTO app.s VALUES (1)");
    kal_write *write = kal_write_open(exec->tables, NULL);
    kal_write_op late = {.table = table,
                         .user_no = user.user_no,
                         .key = kal_buf_bytes(&key),
                         .seq_seen = seq,
                         .evict = true};
    assert_int_equal(kal_write_add(write, &late, NULL, &err), KAL_OK);
    assert_int_equal(kal_write_commit(write, &err), KAL_OK);
    assert_int_equal(kal_write_op_at(write, 0)->applied, KAL_WRITE_NONE);
    kal_write_close(write);
    expect_both(f, "ann", "SELECT id FROM app.s", "[[1]]");
    kal_catalog_worker_close(worker);
    kal_buf_release(&key);
    kal_arena_release(&arena);
}

/* Goal: subscribers will see inserts and deletes of a stream, and nothing of its eviction. */
static void eviction_is_no_change(void **state)
{
    fixture *f = *state;
    kal_exec *exec = test_db_exec(f->db);
    kal_error err = KAL_ERROR_INIT;
    kal_shard_head head;
    kal_arena arena;
    kal_user user;

    kal_arena_init(&arena, NULL);
    assert_int_equal(kal_catalog_get_user(exec->catalog, KAL_STR("ann"), &arena, &user, &err),
                     KAL_OK);
    uint16_t shard = kal_shard_of_user(user.user_no);
    as(f, NULL, "CREATE STREAM TABLE app.s (n INT) TTL 10");
    as(f, "ann", "INSERT INTO app.s VALUES (1), (2)");
    as(f, "ann", "DELETE FROM app.s WHERE n = 1");
    assert_int_equal(kal_shard_head_read(exec->kv, NULL, shard, &head, &err), KAL_OK);
    assert_int_equal(head.applied, 3);
    advance(f, 100 * SECOND_US);
    evict(f);
    expect_stored(f, "app.s", 0);
    assert_int_equal(kal_shard_head_read(exec->kv, NULL, shard, &head, &err), KAL_OK);
    assert_int_equal(head.applied, 3);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        uint8_t key[10];
        kal_change_record record;
        kal_bytes value;
        kal_store_be16(key, shard);
        kal_store_be64(key + 2, seq);
        assert_int_equal(kal_kv_get(exec->kv, NULL, KAL_KV_CHANGES, kal_bytes_of(key, sizeof key),
                                    &arena, &value, &err),
                         KAL_OK);
        assert_int_equal(kal_change_record_decode(value, &record, &err), KAL_OK);
        assert_int_equal(record.action, seq < 3 ? KAL_WRITE_PUT : KAL_WRITE_DELETE);
        assert_int_equal(record.user_no, user.user_no);
        assert_int_equal(record.primary_key.len, 8);
        assert_int_equal(kal_load_be64(record.primary_key.ptr), seq < 3 ? seq : 1);
        uint32_t version = 0;
        uint64_t row_seq = 0;
        kal_bytes image = seq < 3 ? record.after : record.before;
        assert_int_equal(kal_row_peek(image, &version, &row_seq, &err), KAL_OK);
        assert_int_equal(row_seq, seq < 3 ? seq : 1);
    }
    kal_arena_release(&arena);
}

/* ---- schema ---- */

static void streams_are_altered_under_their_rows(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (n INT, t TEXT) TTL 10");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'a')");
    as(f, NULL, "ALTER TABLE app.s ADD COLUMN x INT DEFAULT 5");
    as(f, NULL, "ALTER TABLE app.s RENAME COLUMN t TO text");
    as(f, "ann", "INSERT INTO app.s VALUES (2, 'b', 6)");
    expect_both(f, "ann", "SELECT n, text, x FROM app.s ORDER BY n", "[[1,\"a\",5],[2,\"b\",6]]");
    as(f, NULL, "ALTER TABLE app.s DROP COLUMN n");
    expect_both(f, "ann", "SELECT * FROM app.s ORDER BY x", "[[\"a\",5],[\"b\",6]]");
    advance(f, 10 * SECOND_US);
    expect_both(f, "ann", "SELECT * FROM app.s", "[]");
    as(f, NULL, "ALTER TABLE app.s SET TBLPROPERTIES (ttl_seconds = 20)");
    expect_both(f, "ann", "SELECT x FROM app.s ORDER BY x", "[[5],[6]]");
    as(f, "ann", "INSERT INTO app.s VALUES (NULL, 7)");
    advance(f, 20 * SECOND_US); /* rows that nobody sees can come back: they count */
    test_db_expect_error(f->db, NULL, "ALTER TABLE app.s ALTER COLUMN text SET NOT NULL",
                         "NOT_NULL_VIOLATION", "NULL in 1 row");
    test_db_expect_error(f->db, NULL, "ALTER TABLE app.s SET TBLPROPERTIES (ttl_seconds = 0)",
                         "INVALID_INPUT", "ttl_seconds");
    test_db_expect(f->db, NULL,
                   "SELECT table_type, storage_location IS NULL FROM system.tables WHERE"
                   " table_name = 's'",
                   "[[\"stream\",true]]");
    as(f, NULL, "DROP STREAM TABLE app.s");
    as(f, NULL, "CREATE STREAM TABLE app.s (n INT) TTL 100000");
    expect_both(f, "ann", "SELECT * FROM app.s", "[]");
    expect_stored(f, "app.s", 0);
    evict(f); /* nothing of the dropped one is left to stumble over */
}

/* Goal: SHOW CREATE TABLE of a stream is the statement that makes it. */
static void a_stream_shows_how_it_is_made(void **state)
{
    fixture *f = *state;
    const char *sql = "SHOW CREATE TABLE app.s";

    as(f, NULL,
       "CREATE STREAM TABLE app.s (a INT, b TEXT NOT NULL) WITH (TTL_SECONDS = 7,"
       " EVICTION_STRATEGY = 'hybrid', MAX_STREAM_SIZE_BYTES = 99, ENABLE_COMPACTION = FALSE,"
       " WATERMARK_DELAY_SECONDS = 8)");
    test_reply shown = test_db_query(f->db, &(test_query){.sql = sql});
    assert_non_null(shown.rows);
    const kal_json *row = &shown.rows->items[0];
    char *made = kal_arena_cstr(&shown.arena, row->items[row->len - 1].text);
    as(f, NULL, "DROP TABLE app.s");
    as(f, NULL, made);
    test_reply again = test_db_query(f->db, &(test_query){.sql = sql});
    row = &again.rows->items[0];
    assert_string_equal(made, kal_arena_cstr(&again.arena, row->items[row->len - 1].text));
    assert_non_null(strstr(made, "TTL_SECONDS = 7"));
    test_reply_release(&shown);
    test_reply_release(&again);
    test_db_expect(f->db, NULL,
                   "SELECT ttl_seconds FROM information_schema.tables WHERE table_name = 's'",
                   "[[\"7\"]]");
    as(f, NULL, "CREATE VIEW app.v AS SELECT b FROM app.s");
    as(f, "ann", "INSERT INTO app.s VALUES (1, 'x')");
    test_db_expect(f->db, "ann", "SELECT * FROM app.v", "[[\"x\"]]");
    test_db_expect(f->db, "bob", "SELECT * FROM app.v", "[]");
    advance(f, 7 * SECOND_US);
    test_db_expect(f->db, "ann", "SELECT * FROM app.v", "[]");
    as(f, NULL, "DROP NAMESPACE app CASCADE");
    evict(f);
}

/* Goal: all of a statement is seen or nothing, whenever one looks. Method: statements of two rows,
 * the clock going on while others read; an odd number of rows is half a statement. */
static void no_statement_is_seen_half(void **state)
{
    fixture *f = *state;

    as(f, NULL, "CREATE STREAM TABLE app.s (n INT) TTL 1");
    for (int i = 0; i < 200; i++) {
        as(f, "ann", "INSERT INTO app.s VALUES (1), (2)");
        advance(f, 7001);
        expect_both(f, "ann", "SELECT count(*) % 2, sum(n) = 3 * (count(*) // 2) FROM app.s",
                    "[[\"0\",true]]");
        if (i % 50 == 49)
            evict(f);
    }
}

static void what_streams_cannot_do_is_refused(void **state)
{
    fixture *f = *state;
    test_db *db = f->db;

    test_db_expect_error(db, NULL, "CREATE STREAM TABLE app.s (n INT)", "INVALID_INPUT",
                         "a STREAM table needs a TTL");
    test_db_expect_error(db, NULL, "CREATE TABLE app.s (n INT) WITH (TYPE = 'STREAM')",
                         "INVALID_INPUT", "a STREAM table needs a TTL");
    test_db_expect_error(
        db, NULL, "CREATE STREAM TABLE app.s (n INT) TTL 0", "INVALID_INPUT",
        "ttl_seconds must be a whole number from 1 to 9223372036854775807, got: 0");
    test_db_expect_error(db, NULL, "CREATE STREAM TABLE app.s (n INT) WITH (TTL_SECONDS = -1)",
                         "INVALID_INPUT", "a whole number from 1 to 9223372036854775807, got: -1");
    test_db_expect_error(db, NULL, "CREATE USER TABLE app.s (n INT PRIMARY KEY) TTL 5",
                         "INVALID_INPUT", "ttl_seconds");
    test_db_expect_error(
        db, NULL,
        "CREATE STREAM TABLE app.s (n INT) WITH (TTL_SECONDS = 5, EVICTION_STRATEGY = 'x')",
        "INVALID_INPUT", "time_based size_based hybrid");
    as(f, NULL, "CREATE STREAM TABLE app.s (n INT) TTL 10");
    as(f, NULL, "CREATE STREAM TABLE app.k (id INT PRIMARY KEY, n INT) TTL 10");
    as(f, "ann", "INSERT INTO app.k VALUES (1, 1)");
    test_db_expect_error(db, "ann", "UPDATE app.s SET n = 2", "UNSUPPORTED", "append-only");
    test_db_expect_error(db, "ann", "UPDATE app.k SET n = 2 WHERE id = 1", "UNSUPPORTED",
                         "append-only");
    test_db_expect_error(db, "ann",
                         "INSERT INTO app.k VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET n = 2",
                         "UNSUPPORTED", "append-only");
    test_db_expect_error(db, "ann", "INSERT INTO app.s VALUES (1) ON CONFLICT DO NOTHING",
                         "INVALID_INPUT", "needs a primary key");
    expect_both(f, "ann", "SELECT n FROM app.k", "[[1]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_row_is_seen_until_its_ttl_to_the_microsecond),
        TEST(an_old_row_is_not_in_the_way_of_its_key),
        TEST(everybody_has_his_own_rows),
        TEST(rows_without_a_key_come_in_the_order_of_arrival),
        TEST(a_batch_of_parameters_fills_a_stream),
        TEST(a_transaction_commits_as_one),
        TEST(time_based_eviction_waits_for_the_watermark),
        TEST(size_based_eviction_removes_the_oldest),
        TEST(hybrid_eviction_does_both),
        TEST(much_is_evicted_in_batches_and_compacted_unless_exempt),
        TEST(eviction_spares_views_and_rows_that_came_again),
        TEST(eviction_is_no_change),
        TEST(streams_are_altered_under_their_rows),
        TEST(a_stream_shows_how_it_is_made),
        TEST(no_statement_is_seen_half),
        TEST(what_streams_cannot_do_is_refused),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
