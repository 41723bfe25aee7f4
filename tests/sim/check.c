/*
 * check.c: the whole store against the model as of one moment: catalog, rows, change log.
 *
 * After a crash several moments may have survived. Each is tried, the newest first, and the first
 * one that fits in every part is the answer; when none fits all their differences are printed.
 */
#include "sim.h"

#include "base/assert.h"
#include "catalog/system_tables.h"
#include "table/table_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct comparison {
    sim *sim;
    const model *model;
    uint32_t moment;
    kal_arena arena;
    char why[400]; /* the first difference */
} comparison;

/* Notes a difference; always false. */
KAL_PRINTF(2, 3) static bool differs(comparison *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    return false;
}

/* ---- catalog ---- */

static bool check_definition(comparison *c, model_table *table, const kal_table *found)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table_definition *expected = NULL;
    kal_schema_version *versions = NULL;
    size_t count = 0;
    const kal_table_definition *def = found->def;
    kal_status status =
        sim_definition(def->namespace_id, def->table_name, table->type, table->shape,
                       def->created_at_us, &c->arena, &expected, &err);

    KAL_ASSERT(status == KAL_OK);
    expected->table_id = def->table_id;
    kal_buf wanted; /* owned */
    kal_buf stored; /* owned */
    kal_buf_init(&wanted, NULL);
    kal_buf_init(&stored, NULL);
    kal_table_definition_encode(expected, &wanted);
    kal_table_definition_encode(def, &stored);
    bool same = kal_bytes_equal(kal_buf_bytes(&wanted), kal_buf_bytes(&stored));
    kal_buf_release(&wanted);
    kal_buf_release(&stored);
    if (!same)
        return differs(c, "the definition of table %u is another", def->table_id);
    status = kal_catalog_table_history(c->sim->catalog, NULL, def->table_id, &c->arena, &versions,
                                       &count, &err);
    if (status != KAL_OK || count != 1 || versions[0].version != 1 ||
        versions[0].created_at_us != def->created_at_us)
        return differs(c, "the history of table %u has %zu versions, expected 1", def->table_id,
                       count);
    return true;
}

static bool check_table(comparison *c, unsigned ns, unsigned name)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *found = NULL;
    model_table *table = model_find_table(c->model, ns, name, c->moment);
    kal_status status = kal_catalog_get_table(c->sim->worker, kal_cstr(SIM_NAMESPACE_NAMES[ns]),
                                              kal_cstr(SIM_TABLE_NAMES[name]), &found, &err);

    if (status != (table != NULL ? KAL_OK : KAL_NOT_FOUND))
        return differs(c, "table %s.%s: %s, expected it %s", SIM_NAMESPACE_NAMES[ns],
                       SIM_TABLE_NAMES[name], kal_status_name(status),
                       table != NULL ? "there" : "gone");
    if (table == NULL)
        return true;
    if (table->table_id != 0 && table->table_id != found->def->table_id)
        return differs(c, "table %s.%s has id %u, expected %u", SIM_NAMESPACE_NAMES[ns],
                       SIM_TABLE_NAMES[name], found->def->table_id, table->table_id);
    sim_adopt(c->sim, table, found);
    return table->handle == found ? check_definition(c, table, found)
                                  : differs(c, "table %u has two objects", found->def->table_id);
}

static bool check_dropped(comparison *c, const model_table *table)
{
    kal_error err = KAL_ERROR_INIT;
    kal_schema_version *versions = NULL;
    size_t count = 0;
    kal_status status = kal_catalog_table_history(c->sim->catalog, NULL, table->table_id, &c->arena,
                                                  &versions, &count, &err);
    return (status == KAL_OK && count == 0) ||
           differs(c, "table %u is gone and has a history", table->table_id);
}

/* The listing, which is read from the store: nothing but what the model has. */
static bool check_listing(comparison *c, const char *listing, size_t ns_column, size_t name_column,
                          size_t expected)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *table = NULL;
    kal_system_rows rows;
    size_t count = 0;

    kal_status status = kal_catalog_get_table(c->sim->worker, KAL_STR(KAL_SYSTEM_NAMESPACE),
                                              kal_cstr(listing), &table, &err);
    if (status == KAL_OK)
        status = kal_catalog_system_rows(c->sim->catalog, NULL, table, &c->arena, &rows, &err);
    if (status != KAL_OK)
        return differs(c, "cannot read system.%s: %s", listing, err.message);
    for (size_t i = 0; i < rows.row_count; i++) {
        const kal_value *row = &rows.values[i * rows.column_count];
        for (size_t k = 0; k < SIM_NAMESPACES; k++)
            count += kal_bytes_equal(row[ns_column].bytes, kal_cstr(SIM_NAMESPACE_NAMES[k])) &&
                     row[name_column].bytes.len > 0;
    }
    return count == expected ||
           differs(c, "system.%s lists %zu of ours, expected %zu", listing, count, expected);
}

static bool check_account(comparison *c, unsigned account)
{
    kal_error err = KAL_ERROR_INIT;
    kal_bytes name = kal_cstr(SIM_ACCOUNT_NAMES[account]);
    const model_account *expected = model_find_account(c->model, account, c->moment);
    bool lives = expected != NULL && !expected->is_dropped;
    kal_user user;
    uint32_t generation = 0;
    kal_role role = KAL_ROLE_USER;

    kal_status status = kal_catalog_get_user(c->sim->catalog, name, &c->arena, &user, &err);
    if (status != (lives ? KAL_OK : KAL_NOT_FOUND))
        return differs(c, "user %.*s: %s, expected it %s", KAL_FMT(name), kal_status_name(status),
                       lives ? "there" : "gone");
    if (expected == NULL)
        return true;
    bool known = kal_catalog_user_state(c->sim->catalog, expected->user_no, &generation, &role);
    if (known != lives)
        return differs(c, "user %.*s is %sknown by number", KAL_FMT(name), known ? "" : "not ");
    if (!lives)
        return true;
    if (user.user_no != expected->user_no || user.role != expected->role || role != user.role ||
        user.token_generation != expected->generation || generation != expected->generation)
        return differs(c,
                       "user %.*s: number %" PRIu64 ", role %d (%d), generation %u (%u), expected "
                       "number %" PRIu64 ", role %d, generation %u",
                       KAL_FMT(name), user.user_no, (int)user.role, (int)role,
                       user.token_generation, generation, expected->user_no, (int)expected->role,
                       expected->generation);
    return true;
}

static bool check_catalog(comparison *c)
{
    size_t namespaces = 0;
    size_t tables = 0;
    for (unsigned ns = 0; ns < SIM_NAMESPACES; ns++) {
        bool expected = model_has_namespace(c->model, ns, c->moment);
        namespaces += expected;
        if (kal_catalog_has_namespace(c->sim->catalog, kal_cstr(SIM_NAMESPACE_NAMES[ns])) !=
            expected)
            return differs(c, "namespace %s: expected it %s", SIM_NAMESPACE_NAMES[ns],
                           expected ? "there" : "gone");
        for (unsigned name = 0; name < SIM_TABLES; name++) {
            tables += model_find_table(c->model, ns, name, c->moment) != NULL;
            if (!check_table(c, ns, name))
                return false;
        }
    }
    for (size_t i = 0; i < c->model->tables.len; i++) {
        const model_table *table = c->model->tables.items[i];
        if (table->table_id != 0 && table->life.gone <= c->moment && !check_dropped(c, table))
            return false;
    }
    for (unsigned account = 0; account < SIM_ACCOUNTS; account++) {
        if (!check_account(c, account))
            return false;
    }
    return check_listing(c, "namespaces", KAL_NAMESPACES_NAMESPACE_ID, KAL_NAMESPACES_NAME,
                         namespaces) &&
           check_listing(c, "tables", KAL_TABLES_NAMESPACE, KAL_TABLES_TABLE_NAME, tables);
}

/* ---- rows ---- */

static bool same_row(const model_version *expected, const kal_row *row, const sim_image *image)
{
    return row->seq == expected->seq && sim_image_equal(image, &expected->image);
}

static bool check_partition(comparison *c, const model_table *table, unsigned user, kal_scan *scan)
{
    kal_error err = KAL_ERROR_INIT;
    kal_row row;
    unsigned found = SIM_KEYS;
    sim_image image = {0};
    kal_status status = kal_scan_next(scan, &row, NULL, &err);

    for (unsigned key = 0; key <= SIM_KEYS; key++) {
        if (status == KAL_OK && !sim_read(table->shape, &row, &found, &image))
            return differs(c, "a row of table %u is none that was written", table->table_id);
        if (status == KAL_END)
            found = SIM_KEYS;
        else if (status != KAL_OK)
            return differs(c, "table %u cannot be read: %s", table->table_id, err.message);
        const model_version *expected =
            key < SIM_KEYS ? model_row(table, user, key, c->moment) : NULL;
        if ((expected != NULL) != (found == key && key < SIM_KEYS))
            return differs(c, "table %u, user %u, key %u: expected %s", table->table_id, user, key,
                           expected != NULL ? "a row" : "no row");
        if (expected == NULL)
            continue;
        if (!same_row(expected, &row, &image))
            return differs(c,
                           "table %u, user %u, key %u: seq %" PRIu64 " number %" PRId64
                           " text %u, expected seq %" PRIu64 " number %" PRId64 " text %u",
                           table->table_id, user, key, row.seq, image.number, image.text,
                           expected->seq, expected->image.number, expected->image.text);
        status = kal_scan_next(scan, &row, NULL, &err);
    }
    return status == KAL_END ||
           differs(c, "table %u, user %u: rows out of order", table->table_id, user);
}

static bool check_rows_of(comparison *c, model_table *table, unsigned user)
{
    kal_error err = KAL_ERROR_INIT;
    kal_scan_range all = {0};
    kal_scan *scan = NULL; /* owned */
    kal_view view;

    kal_view_open(&view, c->sim->tables, model_user_no(user), NULL);
    kal_status status = kal_scan_open(&view, table->handle, &all, &scan, &err);
    bool same = status == KAL_OK ? check_partition(c, table, user, scan)
                                 : differs(c, "table %u cannot be scanned", table->table_id);
    kal_scan_close(scan);
    kal_view_close(&view);
    return same;
}

static size_t count_rows(const comparison *c, const model_table *table)
{
    size_t count = 0;
    for (unsigned user = 0; user < (table->type == KAL_TABLE_SHARED ? 1 : SIM_USERS); user++) {
        for (unsigned key = 0; key < SIM_KEYS; key++)
            count += model_row(table, user, key, c->moment) != NULL;
    }
    return count;
}

/* Entries of rows, and of the order of insertion that STREAM tables keep besides. */
static bool count_entries(comparison *c, kal_kv_family family, size_t *rows, size_t *places)
{
    static const uint8_t LOWEST[] = {0};
    static const uint8_t ABOVE_ALL[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    kal_kv_range range = {.family = family,
                          .lower = kal_bytes_of(LOWEST, sizeof LOWEST),
                          .upper = kal_bytes_of(ABOVE_ALL, sizeof ABOVE_ALL)};
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;
    kal_status status = kal_kv_iter_open(c->sim->power, NULL, &range, &iter, NULL);

    while (status == KAL_OK) {
        status = kal_kv_iter_next(iter, &key, &value, NULL);
        if (status != KAL_OK || key.len < KAL_ROW_KEY_PREFIX_BYTES)
            continue; /* a total */
        bool is_place = key.ptr[4] == 0xFF && key.ptr[5] == 0xFF;
        *rows += !is_place;
        *places += is_place;
    }
    kal_kv_iter_close(iter);
    return status == KAL_END || differs(c, "the store cannot be read");
}

/* Of rows that no table and no user can reach there are none. */
static bool check_row_count(comparison *c, size_t expected)
{
    size_t rows = 0;
    size_t stream_rows = 0;
    size_t places = 0;

    if (!count_entries(c, KAL_KV_ROWS, &rows, &places) ||
        !count_entries(c, KAL_KV_STREAM, &stream_rows, &places))
        return false;
    if (places != stream_rows)
        return differs(c, "%zu rows of streams have %zu places", stream_rows, places);
    return rows + stream_rows == expected ||
           differs(c, "the store holds %zu rows, expected %zu", rows + stream_rows, expected);
}

static bool check_rows(comparison *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->model->tables.len; i++) {
        model_table *table = c->model->tables.items[i];
        if (!model_is_alive(&table->life, c->moment))
            continue;
        count += count_rows(c, table);
        for (unsigned user = 0; user < SIM_USERS; user++) {
            if (!check_rows_of(c, table, user))
                return false;
        }
    }
    return check_row_count(c, count);
}

/* ---- change log ---- */

static bool check_image(comparison *c, const model_change *change, const char *which,
                        kal_bytes bytes, const model_version *expected)
{
    kal_row row;
    unsigned key = 0;
    sim_image image;

    if (!expected->present)
        return bytes.len == 0 || differs(c, "shard %u, seq %" PRIu64 ": an image %s, expected none",
                                         change->shard, change->seq, which);
    if (kal_row_open(&c->sim->layouts[change->table->shape], bytes, &row, NULL) != KAL_OK ||
        !sim_read(change->table->shape, &row, &key, &image) || key != change->key ||
        !same_row(expected, &row, &image))
        return differs(c, "shard %u, seq %" PRIu64 ": another image %s", change->shard, change->seq,
                       which);
    return true;
}

static bool check_record(comparison *c, const model_change *change, kal_bytes value)
{
    kal_error err = KAL_ERROR_INIT;
    kal_change_record record;
    bool shared = change->table->type == KAL_TABLE_SHARED;
    uint64_t user_no = shared ? 0 : model_user_no(change->user);
    kal_write_action action = change->after.present ? KAL_WRITE_PUT : KAL_WRITE_DELETE;

    if (kal_change_record_decode(value, &record, &err) != KAL_OK)
        return differs(c, "shard %u, seq %" PRIu64 ": %s", change->shard, change->seq, err.message);
    if (record.action != action || record.table_id != change->table->table_id ||
        record.user_no != user_no)
        return differs(c,
                       "shard %u, seq %" PRIu64 ": action %d, table %u, user %" PRIu64
                       ", expected action %d, table %u, user %" PRIu64,
                       change->shard, change->seq, (int)record.action, record.table_id,
                       record.user_no, (int)action, change->table->table_id, user_no);
    if (record.commit_first != change->commit_first || record.ends_commit != change->ends_commit)
        return differs(c,
                       "shard %u, seq %" PRIu64 ": of the commit from %" PRIu64
                       "%s, expected from %" PRIu64 "%s",
                       change->shard, change->seq, record.commit_first,
                       record.ends_commit ? ", its end" : "", change->commit_first,
                       change->ends_commit ? ", its end" : "");
    if (change->table->handle != NULL &&
        !kal_bytes_equal(record.primary_key, sim_key(change->table->handle, change->table->shape,
                                                     change->key, &c->arena)))
        return differs(c, "shard %u, seq %" PRIu64 ": the key is another", change->shard,
                       change->seq);
    return check_image(c, change, "before", record.before, &change->before) &&
           check_image(c, change, "after", record.after, &change->after);
}

/* The records of a shard from `next` on must be those of the model, up to its head. */
typedef struct log_walk {
    uint16_t shard;
    uint64_t first; /* 0: no record yet */
    uint64_t next;
    size_t heads;
} log_walk;

static bool check_head(comparison *c, log_walk *walk, kal_bytes value)
{
    kal_shard_head head = {0};
    uint64_t rows_max = c->sim->profile.options.change_log_rows_max;
    uint64_t applied = model_shard_applied(c->model, walk->shard, c->moment);
    uint64_t least = applied < rows_max ? applied : rows_max;
    uint64_t kept = walk->first == 0 ? 0 : walk->next - walk->first;

    walk->heads++;
    if (!kal_bytes_take_le64(&value, &head.applied) || !kal_bytes_take_le64(&value, &head.first))
        return differs(c, "the head of shard %u is damaged", walk->shard);
    if (head.applied != applied)
        return differs(c, "shard %u has applied %" PRIu64 " changes, expected %" PRIu64,
                       walk->shard, head.applied, applied);
    if (kept > 0 && (head.first != walk->first || head.applied + 1 != walk->next))
        return differs(c,
                       "shard %u keeps records %" PRIu64 "..%" PRIu64 ", its head says %" PRIu64
                       "..%" PRIu64,
                       walk->shard, walk->first, walk->next - 1, head.first, head.applied);
    if (kept < least || kept > rows_max + rows_max / 4)
        return differs(c,
                       "shard %u keeps %" PRIu64 " of %" PRIu64 " records, the limit is %" PRIu64,
                       walk->shard, kept, applied, rows_max);
    return true;
}

static bool check_entry(comparison *c, log_walk *walk, kal_bytes key, kal_bytes value)
{
    if (key.len != 10 || kal_load_be16(key.ptr) >= KAL_SHARD_COUNT)
        return differs(c, "a key of the change log is damaged");
    uint16_t shard = kal_load_be16(key.ptr);
    uint64_t seq = kal_load_be64(key.ptr + 2);
    if (shard != walk->shard)
        *walk = (log_walk){.shard = shard, .heads = walk->heads};
    if (seq == UINT64_MAX)
        return check_head(c, walk, value);
    if (walk->first != 0 && seq != walk->next)
        return differs(c, "shard %u: record %" PRIu64 " follows %" PRIu64, shard, seq,
                       walk->next - 1);
    if (seq == 0 || seq > model_shard_applied(c->model, shard, c->moment))
        return differs(c, "shard %u: record %" PRIu64 " of a change that was not made", shard, seq);
    if (walk->first == 0)
        walk->first = seq;
    walk->next = seq + 1;
    return check_record(c, &c->model->changes.items[c->model->shards[shard].items[seq - 1]], value);
}

static bool check_log(comparison *c)
{
    kal_kv_range range = {.family = KAL_KV_CHANGES};
    kal_kv_iter *iter = NULL; /* owned */
    kal_bytes key;
    kal_bytes value;
    log_walk walk = {.shard = UINT16_MAX};
    size_t heads = 0;
    bool same = true;
    kal_status status = kal_kv_iter_open(c->sim->power, NULL, &range, &iter, NULL);

    while (same && status == KAL_OK) {
        status = kal_kv_iter_next(iter, &key, &value, NULL);
        if (status == KAL_OK)
            same = check_entry(c, &walk, key, value);
    }
    kal_kv_iter_close(iter);
    for (uint16_t shard = 0; shard < KAL_SHARD_COUNT; shard++)
        heads += model_shard_applied(c->model, shard, c->moment) > 0;
    return same && (heads == walk.heads ||
                    differs(c, "the log has %zu shards, expected %zu", walk.heads, heads));
}

/* ---- all of it ---- */

/* A look-up at a moment that turns out to be the wrong one has taught us nothing. */
static void forget_handles(sim *s, const bool *was_known)
{
    for (size_t i = 0; i < s->model.tables.len; i++) {
        model_table *table = s->model.tables.items[i];
        if (was_known[i])
            continue;
        kal_table_release(table->handle);
        table->handle = NULL;
        table->table_id = 0;
    }
}

static bool check_moment(sim *s, uint32_t moment, char *why, size_t why_size)
{
    comparison c = {.sim = s, .model = &s->model, .moment = moment};
    bool *was_known;

    kal_arena_init(&c.arena, NULL);
    was_known = kal_arena_alloc(&c.arena, s->model.tables.len);
    for (size_t i = 0; i < s->model.tables.len; i++)
        was_known[i] = s->model.tables.items[i]->table_id != 0;
    bool same = check_catalog(&c) && check_rows(&c) && check_log(&c);
    if (!same) {
        snprintf(why, why_size, "%s", c.why);
        forget_handles(s, was_known);
    }
    kal_arena_release(&c.arena);
    return same;
}

uint32_t sim_check(sim *s, uint32_t from, uint32_t to)
{
    char why[400] = "";
    char whole[1200] = "";
    size_t len = 0;
    bool doubt = s->in_doubt;

    s->in_doubt = false; /* for a moment that is tried there is no doubt */
    kal_kv_fault_enable(s->faults, false);
    for (uint32_t moment = to; moment >= from; moment--) {
        if (check_moment(s, moment, why, sizeof why)) {
            s->in_doubt = doubt;
            kal_kv_fault_enable(s->faults, true);
            return moment;
        }
        if (len < sizeof whole - 1)
            len +=
                (size_t)snprintf(whole + len, sizeof whole - len, "\n  moment %u: %s", moment, why);
        if (moment == 0)
            break;
    }
    sim_fail(s, "the store shows no moment from %u to %u:%s", from, to, whole);
}
