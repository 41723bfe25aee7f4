/*
 * Live queries against the query itself.
 *
 * Goal: what a subscriber makes of its messages equals a fresh run of its query, at every moment at
 * which nothing is under way: no change is missing, none comes twice, none out of order, whatever
 * the client does (reads slowly, leaves and comes back with the last seq it saw) and whatever
 * happens to the table (flush, compaction, ALTER) or to the server (kill -9, also in the middle of
 * a statement). Method: seeded random writes over a USER and a SHARED table, by one thread or two,
 * subscribers with random queries and tempers; after each round everything is compared. Each run is
 * a new table in one database. (With two writers, or a kill, a seed does not repeat a run exactly.)
 * KAL_TEST_COUNT makes more runs, KAL_TEST_TRACE shows every message.
 */
#include "unit/base/seed.h"

#include "base/assert.h"
#include "base/digest.h"
#include "base/thread.h"
#include "live/live_internal.h"
#include "sql/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SUBS = 6,
    KEYS = 24,
    SQL_BYTES = 1024,
    ROUNDS = 12,
    RUNS = 30,
    RUNS_PER_DATABASE = 100,
    WRITES_MAX = 12, /* of a writer in a round */
    KILL_DELAY_US = 3000,
    TIMEOUT_MS = 20000,
};

static const char *const USERS[] = {"ann", "bob"};

/* ---- a subscriber ---- */

typedef struct held {
    char *text; /* owned: a whole message */
    size_t len;
    kal_message_body *body; /* one reference, as the queue of a connection has it */
} held;

static void free_held(held *message)
{
    free(message->text);
    kal_message_body_release(message->body);
}

typedef struct subscriber {
    const char *user;
    char sql[SQL_BYTES];   /* of the subscription */
    char again[SQL_BYTES]; /* the same rows by a SELECT, with id and _seq */
    kal_live_client *client;
    KAL_VEC(held) queue; /* sent, not read yet */
    bool is_slow;
    bool is_grouped;
    bool is_top;
    bool has_groups; /* not only one */
    bool is_strict;  /* never resumed and never behind: each message must fit what is known */
    kal_live_slow on_slow;
    bool is_loaded;
    bool is_ended;
    char code[64]; /* of the error that ended it */
    uint64_t seq;
    kal_map rows;     /* id as text -> row (owned) */
    kal_arena *arena; /* owned: of the rows */
    bool wants_hash;
    /* Cut off in the first batches, or of what was coalesced: until it has all its hash is another
     * one. */
    bool is_partial;
    bool is_between;            /* of what was coalesced it has a part */
    char hash[64];              /* that was told last; "" none */
    KAL_VEC(kal_bytes) columns; /* arena: of the schema */
    uint64_t version;           /* of the schema that the rows have */
    size_t messages;
    uint64_t batch_size;
} subscriber;

/* One known row: column name -> JSON text of the cell. */
typedef struct known_row {
    KAL_VEC(kal_bytes) names; /* arena */
    KAL_VEC(kal_bytes) cells;
} known_row;

static kal_wire wire(void *connection)
{
    (void)connection;
    return KAL_WIRE_JSON;
}

enum { SLOW_QUEUE_MAX = 3, QUEUE_MAX = 200 };

static bool on_send(void *connection, const kal_message_head *head, kal_message_body *body)
{
    subscriber *s = connection;
    kal_error err = KAL_ERROR_INIT;
    kal_message m;

    assert_int_equal(kal_message_make(head, body, KAL_WIRE_JSON, KAL_PACK_PLAIN, 32768, &m, &err),
                     KAL_OK);
    held one = {malloc(m.len + 1), m.len, kal_message_body_retain(body)};
    kal_message_write_prefix(&m, (uint8_t *)one.text);
    size_t at = kal_message_prefix_len(&m);
    memcpy(one.text + at, m.middle.ptr, m.middle.len);
    memcpy(one.text + at + m.middle.len, m.tail, m.tail_len);
    one.text[m.len] = '\0';
    kal_vec_push(&s->queue, one);
    return s->queue.len < (s->is_slow ? SLOW_QUEUE_MAX : QUEUE_MAX);
}

static void on_expel(void *connection, const kal_error *err)
{
    (void)connection;
    fail_msg("expelled: %s", err->message);
}

static const kal_live_client_ops OPS = {wire, on_send, on_expel};

/* ---- what a client makes of messages ---- */

static kal_bytes cell_text(kal_arena *arena, const kal_json *cell)
{
    kal_json_writer w;
    kal_buf text; /* owned */

    kal_buf_init(&text, NULL);
    kal_json_writer_init(&w, &text);
    kal_json_write_tree(cell, &w);
    kal_bytes copy = kal_arena_copy(arena, kal_buf_bytes(&text));
    kal_buf_release(&text);
    return copy;
}

static void set_cell(subscriber *s, known_row *row, kal_bytes name, kal_bytes cell)
{
    for (size_t i = 0; i < row->names.len; i++) {
        if (kal_bytes_equal(row->names.items[i], name)) {
            row->cells.items[i] = cell;
            return;
        }
    }
    assert_true(kal_vec_try_push_in(s->arena, &row->names, kal_arena_copy(s->arena, name)));
    assert_true(kal_vec_try_push_in(s->arena, &row->cells, cell));
}

static void merge(subscriber *s, known_row *row, const kal_json *object)
{
    for (size_t i = 0; i < object->len; i++)
        set_cell(s, row, object->keys[i], cell_text(s->arena, &object->items[i]));
}

/* What tells its rows apart. */
static kal_bytes id_of(subscriber *s, const kal_json *object)
{
    if (s->is_grouped && !s->has_groups)
        return KAL_STR("all");
    const kal_json *id = kal_json_find(object, s->is_grouped ? "a" : "id");
    assert_non_null(id);
    return cell_text(s->arena, id);
}

static void complain(const subscriber *s, const char *what, const held *message)
{
    fail_msg("%s: %s: %s\n  %s", s->user, s->sql, what, message->text);
}

static void put_row(subscriber *s, const kal_json *object, bool is_update, const held *message)
{
    kal_bytes id = id_of(s, object);
    known_row *row = kal_map_find(&s->rows, id);

    if (s->is_strict && is_update != (row != NULL))
        complain(s, is_update ? "an update of an unknown row" : "an insert of a known row",
                 message);
    if (row == NULL || !is_update) {
        row = KAL_NEW(s->arena, known_row);
        kal_map_put(&s->rows, id, row);
    }
    merge(s, row, object);
}

static void remove_row(subscriber *s, const kal_json *object, const held *message)
{
    known_row *row = kal_map_remove(&s->rows, id_of(s, object));
    if (s->is_strict && row == NULL)
        complain(s, "a delete of an unknown row", message);
}

static void take_change(subscriber *s, const kal_json *m, const held *message)
{
    const kal_json *type = kal_json_find(m, "change_type");
    const kal_json *rows = kal_json_find(m, "rows");
    const kal_json *old = kal_json_find(m, "old_values");
    int64_t seq = 0;

    assert_true(kal_parse_i64(kal_json_find(m, "seq")->text, &seq));
    /* Of several rows of a result that one commit changed only the last has its seq. */
    if (s->is_strict &&
        ((uint64_t)seq < s->seq || ((uint64_t)seq == s->seq && !s->is_grouped && !s->is_top)))
        complain(s, "a change out of order", message);
    s->is_between =
        s->on_slow == KAL_LIVE_COALESCE && !s->is_grouped && !s->is_top && (uint64_t)seq <= s->seq;
    if ((uint64_t)seq > s->seq)
        s->seq = (uint64_t)seq;
    if (kal_bytes_equal(type->text, KAL_STR("delete")))
        remove_row(s, &old->items[0], message);
    else
        put_row(s, &rows->items[0], kal_bytes_equal(type->text, KAL_STR("update")), message);
}

static void take_batch(subscriber *s, const kal_json *m, const held *message)
{
    const kal_json *rows = kal_json_find(m, "rows");
    const kal_json *control = kal_json_find(m, "batch_control");
    int64_t seq = 0;

    for (size_t i = 0; i < rows->len; i++)
        put_row(s, &rows->items[i], false, message);
    assert_true(kal_parse_i64(kal_json_find(control, "last_seq_id")->text, &seq));
    s->seq = (uint64_t)seq;
    s->is_loaded = !kal_json_find(control, "has_more")->boolean;
}

static void remove_cell(known_row *row, kal_bytes name)
{
    for (size_t i = 0; i < row->names.len; i++) {
        if (!kal_bytes_equal(row->names.items[i], name))
            continue;
        row->names.len--;
        row->cells.len--;
        row->names.items[i] = row->names.items[row->names.len];
        row->cells.items[i] = row->cells.items[row->cells.len];
        return;
    }
}

static void rename_cell(subscriber *s, known_row *row, kal_bytes from, kal_bytes name)
{
    for (size_t i = 0; i < row->names.len; i++) {
        if (kal_bytes_equal(row->names.items[i], from))
            row->names.items[i] = kal_arena_copy(s->arena, name);
    }
}

static void change_row(subscriber *s, known_row *row, const kal_json *change)
{
    kal_bytes kind = kal_json_find(change, "change")->text;
    kal_bytes name = kal_json_find(change, "name")->text;

    if (kal_bytes_equal(kind, KAL_STR("added")))
        set_cell(s, row, name, cell_text(s->arena, kal_json_find(change, "value")));
    else if (kal_bytes_equal(kind, KAL_STR("removed")))
        remove_cell(row, name);
    else if (kal_bytes_equal(kind, KAL_STR("renamed")))
        rename_cell(s, row, kal_json_find(change, "from")->text, name);
}

static uint64_t version_of(const kal_json *m)
{
    int64_t version = 0;
    assert_true(kal_parse_i64(kal_json_find(m, "schema_version")->text, &version));
    return (uint64_t)version;
}

/* The rows that are known become rows of the new shape. */
static void take_schema(subscriber *s, const kal_json *m)
{
    const kal_json *changes = kal_json_find(m, "changes");
    known_row *row;

    for (size_t i = 0; i < changes->len; i++) {
        size_t at = 0;
        while ((row = kal_map_next(&s->rows, &at, NULL)) != NULL)
            change_row(s, row, &changes->items[i]);
    }
    s->version = version_of(m);
}

/* Whoever comes back to another shape cannot know what its rows have there. */
static void take_ack(subscriber *s, const kal_json *m)
{
    uint64_t version = version_of(m);
    const kal_json *schema = kal_json_find(m, "schema");

    s->columns.len = 0;
    for (size_t i = 0; i < schema->len; i++) {
        kal_bytes name = kal_json_find(&schema->items[i], "name")->text;
        assert_true(kal_vec_try_push_in(s->arena, &s->columns, kal_arena_copy(s->arena, name)));
    }
    if (s->version != 0 && s->version != version) {
        s->is_ended = true;
        snprintf(s->code, sizeof s->code, "SCHEMA");
    }
    s->version = version;
}

/* The hash of what is known, as docs/websocket.md says it. */
static void hash_cell(subscriber *s, const known_row *row, kal_bytes name, kal_buf *out)
{
    kal_error err = KAL_ERROR_INIT;
    kal_json *cell = NULL;
    kal_bytes text = KAL_STR("null");
    double number = 0;
    uint64_t bits = 0;

    for (size_t i = 0; i < row->names.len; i++)
        text = kal_bytes_equal(row->names.items[i], name) ? row->cells.items[i] : text;
    assert_int_equal(kal_json_parse(text, s->arena, &cell, &err), KAL_OK);
    if (cell->kind == KAL_JSON_NULL) {
        kal_buf_append_byte(out, 0);
    } else if (cell->kind == KAL_JSON_STRING) {
        kal_buf_append_byte(out, 4);
        kal_buf_append_text(out, cell->text);
    } else {
        assert_int_equal(cell->kind, KAL_JSON_NUMBER);
        assert_true(kal_parse_double(cell->text, &number));
        memcpy(&bits, &number, sizeof bits);
        kal_buf_append_byte(out, 3);
        kal_buf_append_le64(out, bits);
    }
}

static void hash_of_known(subscriber *s, char out[33])
{
    unsigned __int128 sum = 0;
    size_t at = 0;
    const known_row *row;

    while ((row = kal_map_next(&s->rows, &at, NULL)) != NULL) {
        char hex[KAL_DIGEST_HEX_LEN + 1];
        kal_buf cells; /* owned */
        kal_buf_init(&cells, NULL);
        for (size_t i = 0; i < s->columns.len; i++)
            hash_cell(s, row, s->columns.items[i], &cells);
        kal_digest_hex_of(kal_buf_bytes(&cells), hex);
        kal_buf_release(&cells);
        for (int byte = 0; byte < 16; byte++) {
            char pair[3] = {hex[2 * byte], hex[2 * byte + 1], 0};
            sum += (unsigned __int128)strtoul(pair, NULL, 16) << (8 * byte);
        }
    }
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)(sum >> 64), (unsigned long long)sum);
}

/* It is of what the client has once it has taken the message. */
static void check_hash(subscriber *s, const held *message)
{
    char own[33];

    hash_of_known(s, own);
    if (strcmp(own, s->hash) != 0)
        complain(s, "another hash than that of what is known", message);
}

static void take_message(subscriber *s, const held *message)
{
    kal_error err = KAL_ERROR_INIT;
    kal_json *m = NULL;
    kal_arena arena; /* owned */

    kal_arena_init(&arena, NULL);
    if (kal_json_parse(kal_bytes_of(message->text, message->len), &arena, &m, &err) != KAL_OK)
        complain(s, "not JSON", message);
    kal_bytes type = kal_json_find(m, "type")->text;
    const kal_json *hash = kal_json_find(m, "state_hash");
    if (hash != NULL)
        snprintf(s->hash, sizeof s->hash, "%.*s", KAL_FMT(hash->text));
    assert_true(kal_bytes_equal(kal_json_find(m, "subscription_id")->text, KAL_STR("s")));
    s->messages++;
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "%s: %s: %s\n", s->user, s->sql, message->text);
    if (kal_bytes_equal(type, KAL_STR("change"))) {
        take_change(s, m, message);
    } else if (kal_bytes_equal(type, KAL_STR("initial_data_batch"))) {
        take_batch(s, m, message);
    } else if (kal_bytes_equal(type, KAL_STR("schema_change"))) {
        take_schema(s, m);
    } else if (kal_bytes_equal(type, KAL_STR("error"))) {
        kal_bytes code = kal_json_find(m, "code")->text;
        s->is_ended = true;
        snprintf(s->code, sizeof s->code, "%.*s", KAL_FMT(code));
    } else {
        assert_true(kal_bytes_equal(type, KAL_STR("subscription_ack")));
        take_ack(s, m);
    }
    if (hash != NULL && !s->is_ended && !s->is_partial)
        check_hash(s, message);
    kal_arena_release(&arena);
}

/* ---- the run ---- */

typedef struct run {
    test_db *db;
    kal_rng rng;
    uint64_t seed;
    bool is_shared;
    char table[32];
    subscriber subs[SUBS];
    kal_live_worker *worker;
    unsigned columns_made;
    unsigned columns_added; /* number of the last one, from 1; 0: it is gone */
} run;

static uint64_t below(run *r, uint64_t n)
{
    return kal_rng_below(&r->rng, n);
}

static int roll(kal_rng *rng, uint64_t n)
{
    return (int)kal_rng_below(rng, n);
}

static void ask_for_more(subscriber *s)
{
    kal_error err = KAL_ERROR_INIT;
    if (!s->is_loaded && !s->is_ended)
        (void)!kal_live_next_batch(s->client, KAL_STR("s"), &err);
}

/* The client reads up to `most` messages. */
static void read_messages(subscriber *s, size_t most)
{
    size_t count = s->queue.len < most ? s->queue.len : most;

    for (size_t i = 0; i < count; i++) {
        bool was_batch = strstr(s->queue.items[i].text, "initial_data_batch") != NULL;
        if (!s->is_ended)
            take_message(s, &s->queue.items[i]);
        free_held(&s->queue.items[i]);
        if (was_batch)
            ask_for_more(s);
    }
    if (count > 0)
        memmove(s->queue.items, s->queue.items + count, (s->queue.len - count) * sizeof(held));
    s->queue.len -= count;
    if (count > 0 && s->queue.len == 0)
        kal_live_client_writable(s->client);
}

static void forget_rows(subscriber *s)
{
    kal_map_release(&s->rows);
    kal_map_init(&s->rows);
    memset(&s->columns, 0, sizeof s->columns); /* of the arena */
    kal_arena_reset(s->arena);
}

static void drop_queue(subscriber *s)
{
    for (size_t i = 0; i < s->queue.len; i++)
        free_held(&s->queue.items[i]);
    s->queue.len = 0;
}

static void connect_sub(run *r, subscriber *s, bool with_from)
{
    kal_error err = KAL_ERROR_INIT;
    kal_arena arena; /* owned */
    kal_user user;

    kal_arena_init(&arena, NULL);
    kal_exec *exec = test_db_exec(r->db);
    assert_int_equal(kal_catalog_get_user(exec->catalog, kal_cstr(s->user), &arena, &user, &err),
                     KAL_OK);
    kal_principal p = {.user_no = user.user_no, .role = user.role};
    snprintf(p.user_id, sizeof p.user_id, "%s", s->user);
    kal_arena_release(&arena);
    s->client = kal_live_client_open(r->worker, &p, user.token_generation, &OPS, s);
    s->is_ended = false;
    s->code[0] = '\0';
    s->hash[0] = '\0';
    kal_live_request request = {.id = KAL_STR("s"),
                                .sql = kal_cstr(s->sql),
                                .has_batch_size = true,
                                .batch_size = s->batch_size,
                                .has_from = with_from,
                                .from = s->seq,
                                .has_on_slow = true,
                                .on_slow = s->on_slow,
                                .has_hash = true,
                                .wants_hash = s->wants_hash};
    if (!with_from) {
        forget_rows(s);
        s->is_loaded = false;
        s->seq = 0;
        s->version = 0;
        s->is_partial = false;
        s->is_between = false;
        s->is_strict = !s->is_slow;
    } else {
        s->is_partial = s->is_partial || !s->is_loaded || s->is_between;
        /* Of a load that was broken off some rows come again, of a result a part of a commit. */
        s->is_strict = s->is_strict && s->is_loaded && !s->is_grouped && !s->is_top && !s->is_slow;
        s->is_loaded = false;
    }
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "%s: %s: subscribe %d from %llu slow %d on_slow %d batch %d\n", s->user,
                s->sql, with_from, (unsigned long long)s->seq, s->is_slow, (int)s->on_slow,
                (int)s->batch_size);
    if (kal_exec_subscribe(exec, s->client, &request, &err) != KAL_OK)
        fail_msg("%s: %s: %s", s->user, s->sql, err.message);
}

static void disconnect(subscriber *s)
{
    kal_live_client_close(s->client);
    s->client = NULL;
    drop_queue(s);
}

static const char *const SELECTS[] = {"*", "id, a", "a, b AS text", "b, id, a + 1 AS next"};
static const char *const WHERES[] = {
    "",
    " WHERE a = %d",
    " WHERE a IN (%d, 3, 5)",
    " WHERE a > %d",
    " WHERE a BETWEEN %d AND 7",
    " WHERE a >= 2 AND a < %d",
    " WHERE b = 'b%d'",
    " WHERE b LIKE 'b%d%%' OR a IS NULL",
    " WHERE a = %d AND b <> 'b3'",
    " WHERE NOT a = %d",
    " WHERE id = %d",
    " WHERE a IS NULL OR b IS NOT NULL",
    " WHERE who = CURRENT_USER() AND a < %d",
    " WHERE j ->> 'k' = '%d'",
};

static const char *const AGGREGATES[] = {
    "count(*) AS n",
    "count(*) AS n, sum(id) AS s, avg(id) AS m",
    "min(b) AS lo, max(b) AS hi, count(b) AS n",
    "min(id) AS lo, max(id) AS hi",
    "sum(d) AS d, sum(f) AS f, avg(d) AS e",
};

static void make_grouped(run *r, subscriber *s, const char *where)
{
    const char *aggregates = AGGREGATES[below(r, KAL_ARRAY_LEN(AGGREGATES))];

    s->has_groups = below(r, 3) > 0;
    snprintf(s->sql, sizeof s->sql, "SELECT %s%s FROM app.%s%s%s", s->has_groups ? "a, " : "",
             aggregates, r->table, where, s->has_groups ? " GROUP BY a" : "");
    memcpy(s->again, s->sql, sizeof s->again);
}

static const char *const ORDERS[] = {"a, id", "a DESC, id", "b NULLS FIRST, id DESC",
                                     "id",    "_seq DESC",  "a + 1 DESC, b, id"};

static void make_top(run *r, subscriber *s, const char *where)
{
    snprintf(s->sql, sizeof s->sql, "SELECT id, a, b FROM app.%s%s ORDER BY %s LIMIT %d", r->table,
             where, ORDERS[below(r, KAL_ARRAY_LEN(ORDERS))], (int)below(r, 8));
    memcpy(s->again, s->sql, sizeof s->again);
}

static void make_query(run *r, subscriber *s)
{
    char where[256];
    const char *items = SELECTS[below(r, KAL_ARRAY_LEN(SELECTS))];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(where, sizeof where, WHERES[below(r, KAL_ARRAY_LEN(WHERES))], (int)below(r, 10));
#pragma GCC diagnostic pop
    s->is_grouped = below(r, 3) == 0;
    s->is_top = !s->is_grouped && below(r, 3) == 0;
    if (s->is_grouped) {
        make_grouped(r, s, where);
        return;
    }
    if (s->is_top) {
        make_top(r, s, where);
        return;
    }
    snprintf(s->sql, sizeof s->sql, "SELECT %s FROM app.%s%s", items, r->table, where);
    snprintf(s->again, sizeof s->again, "SELECT %s%s, _seq FROM app.%s%s", items,
             strstr(items, "id") != NULL || items[0] == '*' ? "" : ", id", r->table, where);
}

static void begin_sub(run *r, subscriber *s)
{
    s->user = USERS[below(r, 2)];
    s->is_slow = below(r, 4) == 0;
    s->wants_hash = below(r, 3) == 0;
    s->on_slow = below(r, 3) == 0 ? KAL_LIVE_COALESCE : KAL_LIVE_PAUSE;
    s->batch_size = below(r, 3) == 0 ? 1 + below(r, 5) : 0;
    make_query(r, s);
    connect_sub(r, s, false);
}

static void end_sub(subscriber *s)
{
    disconnect(s);
    kal_map_release(&s->rows);
    kal_map_init(&s->rows);
    memset(&s->columns, 0, sizeof s->columns); /* of the arena */
    kal_arena_reset(s->arena);
}

/* ---- writes ---- */

static void random_value(kal_rng *rng, char *out, size_t size)
{
    if (roll(rng, 8) == 0)
        snprintf(out, size, "NULL, NULL");
    else
        snprintf(out, size, "%d, 'b%d'", roll(rng, 10), roll(rng, 10));
}

static void run_as(run *r, const char *user, const char *sql)
{
    test_query q = {.user = user, .sql = sql};
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "%s: %s\n", user, sql);
    test_reply reply = test_db_query(r->db, &q);
    if (reply.code != NULL && strstr(reply.message, "duplicate key") == NULL &&
        strcmp(reply.code, "TRANSACTION_CONFLICT") != 0) {
        fprintf(stderr, "seed %llu: %s: %s\n  %s\n", (unsigned long long)r->seed, user, sql,
                reply.message);
        abort(); /* it may be the writer's thread */
    }
    test_reply_release(&reply);
}

static void write_once(run *r, kal_rng *rng)
{
    const char *user = r->is_shared ? "root" : USERS[roll(rng, 2)];
    char sql[SQL_BYTES];
    char value[64];
    int id = roll(rng, KEYS);

    random_value(rng, value, sizeof value);
    switch (roll(rng, 8)) {
    case 0:
    case 1:
        snprintf(
            sql, sizeof sql,
            "INSERT INTO app.%s (id, a, b, who, j, d, f) VALUES (%d, %s, '%s', "
            "'{\"k\":\"%d\"}', %d.25, %d.31) ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = "
            "excluded.b, d = excluded.d, f = excluded.f",
            r->table, id, value, USERS[roll(rng, 2)], roll(rng, 10), roll(rng, 1000),
            roll(rng, 1000));
        break;
    case 2:
        snprintf(sql, sizeof sql, "INSERT INTO app.%s (id, a, b) VALUES (%d, %s), (%d, %s)",
                 r->table, id, value, id + KEYS, value);
        break;
    case 3:
        snprintf(sql, sizeof sql, "UPDATE app.%s SET a = %d WHERE id = %d", r->table, roll(rng, 10),
                 id);
        break;
    case 4:
        snprintf(sql, sizeof sql, "UPDATE app.%s SET a = a + 1 WHERE id %% 3 = %d", r->table,
                 roll(rng, 3));
        break;
    case 5:
        snprintf(sql, sizeof sql, "DELETE FROM app.%s WHERE id = %d", r->table, id);
        break;
    case 6:
        snprintf(sql, sizeof sql,
                 "BEGIN; UPDATE app.%s SET b = 'b%d' WHERE id = %d; DELETE FROM app.%s WHERE id = "
                 "%d; COMMIT",
                 r->table, roll(rng, 10), id, r->table, roll(rng, KEYS));
        break;
    default:
        snprintf(sql, sizeof sql, "UPDATE app.%s SET id = %d WHERE id = %d", r->table, id + KEYS,
                 id);
        break;
    }
    run_as(r, user, sql);
}

/* Somebody who writes at the same time. */
typedef struct writer {
    run *run;
    kal_rng rng;
    unsigned writes;
    pthread_t thread;
} writer;

static void write_many(void *context)
{
    writer *w = context;
    for (unsigned i = 0; i < w->writes; i++)
        write_once(w->run, &w->rng);
}

static void start_writer(run *r, writer *w)
{
    kal_error err = KAL_ERROR_INIT;

    w->run = r;
    w->writes = (unsigned)(1 + below(r, WRITES_MAX));
    kal_rng_seed(&w->rng, below(r, UINT32_MAX));
    assert_int_equal(kal_thread_start(&w->thread, "writer", 0, write_many, w, &err), KAL_OK);
}

static void join_writer(writer *w)
{
    if (w->writes > 0)
        pthread_join(w->thread, NULL);
    w->writes = 0;
}

static void change_table(run *r)
{
    char sql[SQL_BYTES];

    switch (below(r, 8)) {
    case 0:
        r->columns_added = ++r->columns_made;
        snprintf(sql, sizeof sql, "ALTER TABLE app.%s ADD COLUMN extra%u INT DEFAULT %u", r->table,
                 r->columns_added - 1, r->columns_added);
        break;
    case 1:
        snprintf(sql, sizeof sql, "STORAGE COMPACT TABLE app.%s", r->table);
        break;
    case 3:
        if (r->columns_added == 0)
            return;
        if (below(r, 2) == 0)
            snprintf(sql, sizeof sql, "ALTER TABLE app.%s RENAME COLUMN extra%u TO other%u",
                     r->table, r->columns_added - 1, r->columns_added);
        else
            snprintf(sql, sizeof sql, "ALTER TABLE app.%s DROP COLUMN extra%u", r->table,
                     r->columns_added - 1);
        r->columns_added = 0;
        break;
    case 2:
        snprintf(sql, sizeof sql, "ALTER TABLE app.%s ALTER COLUMN a SET DEFAULT %d", r->table,
                 (int)below(r, 100));
        break;
    default:
        snprintf(sql, sizeof sql, "FLUSH TABLE app.%s", r->table);
        break;
    }
    run_as(r, "root", sql);
    /* What came between may be told out of the log, as after a resume. */
    for (size_t i = 0; i < SUBS && strncmp(sql, "ALTER", 5) == 0; i++)
        r->subs[i].is_strict = r->subs[i].is_strict && !r->subs[i].is_grouped && !r->subs[i].is_top;
}

/* ---- waiting and comparing ---- */

/* Everybody is LIVE, or behind a client that does not read, and nothing waits. */
static bool is_quiet(run *r)
{
    for (size_t i = 0; i < SUBS; i++) {
        subscriber *s = &r->subs[i];
        if (s->client == NULL)
            continue;
        if (s->queue.len > 0)
            return false;
        KAL_LIST_FOR_EACH (link, &s->client->subs) {
            live_sub *sub = KAL_CONTAINER_OF(link, live_sub, link);
            if (sub->state != LIVE_LIVE)
                return false;
        }
    }
    return true;
}

static void settle(run *r)
{
    for (int ms = 0; ms < TIMEOUT_MS; ms++) {
        while (kal_live_worker_step(r->worker))
            ;
        for (size_t i = 0; i < SUBS; i++)
            read_messages(&r->subs[i], SIZE_MAX);
        if (is_quiet(r))
            return;
        kal_thread_pause(1);
    }
    fail_msg("the subscriptions do not come to rest");
}

static void compare_row(run *r, subscriber *s, const test_reply *reply, const kal_json *row)
{
    kal_bytes id = s->is_grouped && !s->has_groups ? KAL_STR("all") : (kal_bytes){0};

    for (size_t c = 0; c < row->len && (!s->is_grouped || s->has_groups); c++) {
        const kal_json *name = kal_json_find(&reply->schema->items[c], "name");
        if (kal_bytes_equal(name->text, s->is_grouped ? KAL_STR("a") : KAL_STR("id")))
            id = cell_text(s->arena, &row->items[c]);
    }
    const known_row *known = kal_map_find(&s->rows, id);
    if (known == NULL)
        fail_msg("seed %llu: %s: %s: row %.*s is missing", (unsigned long long)r->seed, s->user,
                 s->sql, KAL_FMT(id));
    for (size_t c = 0; c < row->len; c++) {
        kal_bytes name = kal_json_find(&reply->schema->items[c], "name")->text;
        kal_bytes cell = cell_text(s->arena, &row->items[c]);
        kal_bytes have = KAL_STR("null");
        for (size_t k = 0; k < known->names.len; k++)
            have = kal_bytes_equal(known->names.items[k], name) ? known->cells.items[k] : have;
        if (!kal_bytes_equal(cell, have))
            fail_msg("seed %llu: %s: %s: row %.*s: %.*s is %.*s, not %.*s",
                     (unsigned long long)r->seed, s->user, s->sql, KAL_FMT(id), KAL_FMT(name),
                     KAL_FMT(have), KAL_FMT(cell));
    }
}

static void compare(run *r, subscriber *s)
{
    test_query q = {.user = s->user, .sql = s->again};
    test_reply reply = test_db_query(r->db, &q);

    if (reply.code != NULL)
        fail_msg("%s\n  %s", s->again, reply.message);
    for (size_t i = 0; i < reply.rows->len; i++)
        compare_row(r, s, &reply, &reply.rows->items[i]);
    if (s->wants_hash && s->hash[0] != '\0') {
        char own[33];
        hash_of_known(s, own);
        if (strcmp(own, s->hash) != 0)
            fail_msg("seed %llu: %s: %s: the hash is %s, not %s", (unsigned long long)r->seed,
                     s->user, s->sql, own, s->hash);
    }
    if (reply.rows->len != s->rows.len)
        fail_msg("seed %llu: %s: %s: %zu rows, not %zu", (unsigned long long)r->seed, s->user,
                 s->sql, s->rows.len, reply.rows->len);
    s->is_partial = false;
    test_reply_release(&reply);
}

static void check_all(run *r)
{
    settle(r);
    for (size_t i = 0; i < SUBS; i++) {
        subscriber *s = &r->subs[i];
        if (!s->is_ended) {
            compare(r, s);
            continue;
        }
        if (strcmp(s->code, "SCHEMA") != 0 &&
            !(s->wants_hash && strcmp(s->code, "RESYNC_REQUIRED") == 0))
            fail_msg("%s ended with %s", s->sql, s->code);
        disconnect(s);
        connect_sub(r, s, false);
    }
}

static void stir(run *r)
{
    subscriber *s = &r->subs[below(r, SUBS)];

    switch (below(r, 6)) {
    case 0: /* leaves with messages unread, and comes back with what it has */
        disconnect(s);
        connect_sub(r, s, s->seq > 0 && !s->is_ended);
        break;
    case 1:
        end_sub(s);
        begin_sub(r, s);
        break;
    case 2:
        change_table(r);
        break;
    default:
        read_messages(s, 1 + below(r, 4));
        break;
    }
    if (below(r, 2) == 0)
        (void)kal_live_worker_step(r->worker);
}

/* kill -9, while somebody writes. */
static void kill_server(run *r)
{
    writer w = {0};

    test_db_prepare_freeze(r->db);
    start_writer(r, &w);
    usleep((unsigned)below(r, KILL_DELAY_US));
    if (getenv("KAL_TEST_TRACE") != NULL)
        fprintf(stderr, "killed\n");
    test_db_freeze(r->db);
    join_writer(&w); /* what it writes now is lost */
    for (size_t i = 0; i < SUBS; i++) {
        if (r->subs[i].client != NULL)
            disconnect(&r->subs[i]);
    }
    while (kal_live_worker_step(r->worker))
        ;
    test_db_thaw(r->db);
    r->worker = kal_live_worker_of(kal_exec_live(test_db_exec(r->db)), 0);
    for (size_t i = 0; i < SUBS; i++) {
        subscriber *s = &r->subs[i];
        connect_sub(r, s, s->seq > 0 && !s->is_ended && below(r, 8) > 0);
    }
}

static void one_round(run *r)
{
    writer w = {0};

    if (below(r, 3) == 0)
        start_writer(r, &w);
    for (uint64_t i = below(r, WRITES_MAX); i > 0; i--) {
        write_once(r, &r->rng);
        if (below(r, 3) == 0)
            stir(r);
    }
    join_writer(&w);
    if (below(r, 20) == 0)
        kill_server(r);
    check_all(r);
}

static void one_run(test_db *db, uint64_t seed, unsigned number)
{
    run r = {.db = db, .seed = seed, .is_shared = seed % 2 == 0};
    char sql[SQL_BYTES];

    kal_rng_seed(&r.rng, seed);
    r.worker = kal_live_worker_of(kal_exec_live(test_db_exec(db)), 0);
    snprintf(r.table, sizeof r.table, "t%u", number);
    snprintf(sql, sizeof sql,
             "CREATE %s TABLE app.%s (id INT PRIMARY KEY, a INT, b TEXT, who TEXT, j JSON, d "
             "DOUBLE, f DECIMAL(10,2))%s",
             r.is_shared ? "SHARED" : "USER", r.table, r.is_shared ? " ACCESS LEVEL PUBLIC" : "");
    run_as(&r, "root", sql);
    for (size_t i = 0; i < SUBS; i++) {
        r.subs[i].arena = calloc(1, sizeof(kal_arena));
        kal_arena_init(r.subs[i].arena, NULL);
        kal_map_init(&r.subs[i].rows);
        begin_sub(&r, &r.subs[i]);
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        one_round(&r);
    for (size_t i = 0; i < SUBS; i++) {
        end_sub(&r.subs[i]);
        kal_vec_release(&r.subs[i].queue);
        kal_arena_release(r.subs[i].arena);
        free(r.subs[i].arena);
    }
    while (kal_live_worker_step(r.worker))
        ;
    snprintf(sql, sizeof sql, "DROP TABLE app.%s", r.table);
    run_as(&r, "root", sql);
}

/* Seeds of runs that found faults. */
static const uint64_t FOUND[] = {4001056, 6001197, 7100033};

static test_db *open_database(void)
{
    test_db *db = test_db_open(false);

    test_db_add_user(db, "ann", KAL_ROLE_USER);
    test_db_add_user(db, "bob", KAL_ROLE_USER);
    test_db_run(db, "CREATE NAMESPACE app");
    return db;
}

static void state_equals_the_query(void **state)
{
    kal_rng rng;
    uint64_t seed = kal_test_seed(&rng);
    const char *runs = getenv("KAL_TEST_COUNT");
    unsigned count = runs == NULL ? RUNS : (unsigned)strtoul(runs, NULL, 10);
    test_db *db = NULL;

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        if (i % RUNS_PER_DATABASE == 0) {
            if (db != NULL)
                test_db_close(db);
            db = open_database();
        }
        if (i < KAL_ARRAY_LEN(FOUND))
            one_run(db, FOUND[i], count + i);
        one_run(db, seed + i, i);
        if (count > RUNS && i % 100 == 99)
            fprintf(stderr, "%u runs\n", i + 1);
    }
    test_db_close(db);
}

/* Steps until a message waits for the client. */
static void wait_for_message(run *r, subscriber *s)
{
    for (int ms = 0; ms < TIMEOUT_MS && s->queue.len == 0; ms++) {
        if (!kal_live_worker_step(r->worker))
            kal_thread_pause(1);
    }
    assert_true(s->queue.len > 0);
}

/* Of each row one message, whatever happened to it: who has a part of them has no state that ever
 * was, so he has to be told all of them again. */
static void cut_in_what_was_coalesced(void **state)
{
    test_db *db = open_database();
    run r = {.db = db, .table = "notes"};
    subscriber *s = &r.subs[0];
    kal_arena arena; /* owned */

    (void)state;
    kal_arena_init(&arena, NULL);
    kal_map_init(&s->rows);
    *s = (subscriber){.user = "ann",
                      .is_slow = true,
                      .on_slow = KAL_LIVE_COALESCE,
                      .wants_hash = true,
                      .arena = &arena,
                      .rows = s->rows};
    r.worker = kal_live_worker_of(kal_exec_live(test_db_exec(db)), 0);
    snprintf(s->sql, sizeof s->sql, "SELECT id, a FROM app.notes WHERE a < 5");
    memcpy(s->again, s->sql, sizeof s->again);
    test_db_run(db,
                "CREATE SHARED TABLE app.notes (id INT PRIMARY KEY, a INT) ACCESS LEVEL PUBLIC");
    test_db_run(db, "INSERT INTO app.notes VALUES (1, 1), (2, 1)");
    connect_sub(&r, s, false);
    settle(&r);
    /* It stops reading, and is behind before row 1 leaves and row 2 is there no more. */
    for (int id = 10; id < 16; id++) {
        char sql[SQL_BYTES];
        snprintf(sql, sizeof sql, "INSERT INTO app.notes VALUES (%d, 1)", id);
        test_db_run(db, sql);
    }
    test_db_run(db, "UPDATE app.notes SET a = 7 WHERE id = 1");
    test_db_run(db, "DELETE FROM app.notes WHERE id = 2");
    test_db_run(db, "INSERT INTO app.notes VALUES (16, 1), (17, 1)");
    test_db_run(db, "UPDATE app.notes SET a = 8 WHERE id = 1");
    test_db_run(db, "INSERT INTO app.notes VALUES (2, 8)");
    while (kal_live_worker_step(r.worker))
        ;
    read_messages(s, SIZE_MAX); /* what had been sent; then comes what was missed */
    for (int i = 0; i < 4; i++) {
        wait_for_message(&r, s);
        read_messages(s, 1);
    }
    disconnect(s);
    connect_sub(&r, s, true);
    settle(&r);
    compare(&r, s);
    assert_int_equal(s->rows.len, 8);
    disconnect(s);
    kal_map_release(&s->rows);
    kal_vec_release(&s->queue);
    kal_arena_release(&arena);
    test_db_close(db);
}

/* An argument names the tests that are to run, as a pattern. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_in_what_was_coalesced),
        cmocka_unit_test(state_equals_the_query),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
