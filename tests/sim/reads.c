/*
 * reads.c: views, scans that stay open while writes go on, and transactions.
 *
 * A view shows one moment. While a write's outcome is unknown that may be any moment from what is
 * acknowledged to what may be there; a read must agree with one of them.
 */
#include "sim.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

/* A read that the failing store refused; any other error ends the run. */
static void expect_read_fault(sim *s, kal_status status, bool cached_only, const kal_error *err)
{
    bool expected = status == KAL_IO || (status == KAL_BUSY && cached_only);
    if (!expected || s->profile.read_fail_per_1000 == 0)
        sim_fail(s, "a read failed: %s (%s)", kal_status_name(status), err->message);
    s->count.read_faults++;
}

/* ---- what a view should show ---- */

static const sim_own *find_own(const sim_view *v, const model_table *table, unsigned key)
{
    for (size_t i = v->own.len; i-- > 0;) {
        if (v->own.items[i].table == table && v->own.items[i].key == key)
            return &v->own.items[i];
    }
    return NULL;
}

/* false: no row */
static bool expect_row(const sim_view *v, const model_table *table, unsigned key, uint32_t moment,
                       sim_seen *out)
{
    const sim_own *own = find_own(v, table, key);
    if (own != NULL) {
        *out = (sim_seen){key, own->image, 0};
        return own->present;
    }
    const model_version *row = model_row(table, v->user, key, moment);
    if (row != NULL)
        *out = (sim_seen){key, row->image, row->seq};
    return row != NULL;
}

static bool seen_equal(const sim_seen *a, const sim_seen *b)
{
    return a->key == b->key && a->seq == b->seq && sim_image_equal(&a->image, &b->image);
}

static void read_row(sim *s, const model_table *table, const kal_row *row, sim_seen *out)
{
    if (!sim_read(table->shape, row, &out->key, &out->image))
        sim_fail(s, "a row of table %u is none that was written", table->table_id);
    out->seq = row->seq;
    s->count.rows_read++;
}

/* ---- point reads ---- */

static void check_get(sim *s, const sim_view *v, const model_table *table, unsigned key,
                      const sim_seen *found)
{
    sim_seen expected = {0};
    bool present = false;
    for (uint32_t moment = v->from; moment <= v->to; moment++) {
        present = expect_row(v, table, key, moment, &expected);
        if (present == (found != NULL) && (!present || seen_equal(&expected, found)))
            return;
    }
    sim_fail(s,
             "view of moment %u..%u, user %u, table %u, key %u: found %s seq %" PRIu64
             " number %" PRId64 " text %u, expected %s seq %" PRIu64 " number %" PRId64 " text %u",
             v->from, v->to, v->user, table->table_id, key, found != NULL ? "a row" : "no row",
             found != NULL ? found->seq : 0, found != NULL ? found->image.number : 0,
             found != NULL ? found->image.text : 0, present ? "a row" : "no row", expected.seq,
             expected.image.number, expected.image.text);
}

/* Reads one row and checks it. *row_out (arena) is valid when *found_out. False: the read failed.
 */
static bool get(sim *s, sim_view *v, model_table *table, unsigned key, kal_arena *arena,
                kal_row *row_out, bool *found_out)
{
    kal_table *handle = sim_handle(s, table);
    kal_error err = KAL_ERROR_INIT;
    bool cached_only = sim_chance(s, 1, 4);
    sim_seen seen;

    if (handle == NULL)
        return false;
    kal_bytes bytes = sim_key(handle, table->shape, key, arena);
    kal_status status = kal_view_get(&v->view, handle, bytes, cached_only, arena, row_out, &err);
    *found_out = status == KAL_OK;
    if (status != KAL_OK && status != KAL_NOT_FOUND) {
        expect_read_fault(s, status, cached_only, &err);
        return false;
    }
    if (*found_out)
        read_row(s, table, row_out, &seen);
    check_get(s, v, table, key, *found_out ? &seen : NULL);
    return true;
}

static void read_one(sim *s, sim_view *v, model_table *table)
{
    kal_arena arena; /* owned */
    kal_row row;
    bool found = false;
    kal_arena_init(&arena, NULL);
    get(s, v, table, sim_below(s, SIM_KEYS), &arena, &row, &found);
    kal_arena_release(&arena);
}

static void read_count(sim *s, sim_view *v, model_table *table)
{
    kal_table *handle = sim_handle(s, table);
    kal_error err = KAL_ERROR_INIT;
    uint64_t limit = 1 + sim_below(s, SIM_KEYS + 4);
    uint64_t count = 0;
    uint64_t expected = 0;
    sim_seen unused;

    if (handle == NULL)
        return;
    kal_status status = kal_view_count(&v->view, handle, limit, &count, &err);
    if (status != KAL_OK) {
        expect_read_fault(s, status, false, &err);
        return;
    }
    for (uint32_t moment = v->from; moment <= v->to; moment++) {
        expected = 0;
        for (unsigned key = 0; key < SIM_KEYS && expected < limit; key++)
            expected += expect_row(v, table, key, moment, &unused);
        if (count == expected)
            return;
    }
    sim_fail(s, "view of moment %u..%u, user %u, table %u: counted %" PRIu64 ", expected %" PRIu64,
             v->from, v->to, v->user, table->table_id, count, expected);
}

/* ---- scans ---- */

static size_t expect_scan(const sim_scan *scan, uint32_t moment, sim_seen out[SIM_KEYS])
{
    size_t count = 0;
    for (unsigned i = 0; i < SIM_KEYS; i++) {
        unsigned key = scan->reverse ? SIM_KEYS - 1 - i : i;
        if (key >= scan->lower && key < scan->upper &&
            expect_row(scan->view, scan->table, key, moment, &out[count]))
            count++;
    }
    return count;
}

/* What was seen is how the expected rows begin, or all of them. */
static bool scan_agrees(const sim_scan *scan, bool ended, const sim_seen *expected, size_t count)
{
    if (scan->seen_count > count || (ended && scan->seen_count < count))
        return false;
    for (size_t i = 0; i < scan->seen_count; i++) {
        if (!seen_equal(&scan->seen[i], &expected[i]))
            return false;
    }
    return true;
}

static void check_scan(sim *s, const sim_scan *scan, bool ended)
{
    sim_seen expected[SIM_KEYS];
    size_t count = 0;
    for (uint32_t moment = scan->view->from; moment <= scan->view->to; moment++) {
        count = expect_scan(scan, moment, expected);
        if (scan_agrees(scan, ended, expected, count))
            return;
    }
    for (size_t i = 0; i < SIM_KEYS; i++) {
        if (i < scan->seen_count)
            fprintf(stderr, "found    key %u seq %" PRIu64 " number %" PRId64 "\n",
                    scan->seen[i].key, scan->seen[i].seq, scan->seen[i].image.number);
        if (i < count)
            fprintf(stderr, "expected key %u seq %" PRIu64 " number %" PRId64 "\n", expected[i].key,
                    expected[i].seq, expected[i].image.number);
    }
    sim_fail(s, "scan%s of keys %u..%u, moment %u..%u, user %u, table %u: %zu rows%s, expected %zu",
             scan->reverse ? " down" : "", scan->lower, scan->upper, scan->view->from,
             scan->view->to, scan->view->user, scan->table->table_id, scan->seen_count,
             ended ? "" : " so far", count);
}

static void scan_close(sim_scan *scan)
{
    kal_scan_close(scan->scan);
    scan->scan = NULL;
}

static void scan_step(sim *s, sim_scan *scan)
{
    kal_error err = KAL_ERROR_INIT;
    kal_row row;
    kal_bytes key;
    kal_arena arena; /* owned */

    kal_status status = kal_scan_next(scan->scan, &row, &key, &err);
    if (status == KAL_END) {
        check_scan(s, scan, true);
        scan_close(scan);
        return;
    }
    if (status != KAL_OK) {
        expect_read_fault(s, status, true, &err);
        scan_close(scan);
        return;
    }
    if (scan->seen_count == SIM_KEYS)
        sim_fail(s, "a scan shows more rows than there are keys");
    read_row(s, scan->table, &row, &scan->seen[scan->seen_count]);
    kal_arena_init(&arena, NULL);
    kal_bytes expected =
        sim_key(scan->table->handle, scan->table->shape, scan->seen[scan->seen_count].key, &arena);
    if (!kal_bytes_equal(key, expected))
        sim_fail(s, "a scan shows a row under the key of another");
    kal_arena_release(&arena);
    scan->seen_count++;
    check_scan(s, scan, false);
}

static void scan_open(sim *s, sim_scan *scan, sim_view *v, model_table *table)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *handle = sim_handle(s, table);
    kal_arena arena; /* owned */
    kal_scan_range range = {.reverse = sim_chance(s, 1, 2), .cached_only = sim_chance(s, 1, 4)};

    if (handle == NULL)
        return;
    kal_arena_init(&arena, NULL);
    *scan = (sim_scan){.view = v, .table = table, .upper = SIM_KEYS, .reverse = range.reverse};
    if (sim_chance(s, 1, 2)) {
        scan->lower = sim_below(s, SIM_KEYS);
        range.lower = sim_bound(handle, table->shape, scan->lower, &arena);
    }
    if (sim_chance(s, 1, 2)) {
        scan->upper = sim_below(s, SIM_KEYS);
        range.upper = sim_bound(handle, table->shape, scan->upper, &arena);
    }
    kal_status status = kal_scan_open(&v->view, handle, &range, &scan->scan, &err);
    if (status != KAL_OK)
        expect_read_fault(s, status, range.cached_only, &err);
    kal_arena_release(&arena);
}

static void scan_whole(sim *s, sim_view *v, model_table *table)
{
    sim_scan scan = {0};
    scan_open(s, &scan, v, table);
    while (scan.scan != NULL)
        scan_step(s, &scan);
}

/* ---- views ---- */

static void view_open(sim *s, sim_view *v, bool transaction)
{
    *v = (sim_view){.is_open = true, .user = sim_below(s, SIM_USERS), .to = s->model.now};
    v->from = s->in_doubt ? s->acknowledged : s->model.now;
    v->overlay = transaction ? kal_overlay_open(NULL) : NULL;
    kal_view_open(&v->view, s->tables, model_user_no(v->user), v->overlay);
    sim_trace(s, "view of moment %u..%u for user %u%s", v->from, v->to, v->user,
              transaction ? ", transaction" : "");
}

static void view_close(sim *s, sim_view *v)
{
    for (size_t i = 0; i < SIM_SCANS; i++) {
        if (s->scans[i].scan != NULL && s->scans[i].view == v)
            scan_close(&s->scans[i]);
    }
    kal_view_close(&v->view);
    kal_overlay_close(v->overlay);
    kal_vec_release(&v->own);
    for (size_t i = 0; i < SIM_MARKS_MAX; i++)
        kal_vec_release(&v->own_at_mark[i]);
    *v = (sim_view){0};
}

void sim_readers_close(sim *s)
{
    for (size_t i = 0; i < SIM_VIEWS; i++) {
        if (s->views[i].is_open)
            view_close(s, &s->views[i]);
    }
}

/* Tables that are gone too: an old view still shows them. */
static model_table *any_table(sim *s)
{
    size_t len = s->model.tables.len;
    size_t recent = len < 8 ? len : 8;
    return len == 0 ? NULL : s->model.tables.items[len - 1 - sim_below(s, (unsigned)recent)];
}

static void step_or_open_scan(sim *s, sim_view *v, model_table *table)
{
    sim_scan *scan = &s->scans[sim_below(s, SIM_SCANS)];
    if (scan->scan != NULL) {
        for (unsigned i = 1 + sim_below(s, 6); i > 0 && scan->scan != NULL; i--)
            scan_step(s, scan);
    } else if (v->overlay == NULL) { /* an overlay must stand still while a scan is open */
        scan_open(s, scan, v, table);
    } else {
        scan_whole(s, v, table);
    }
}

void sim_read_random(sim *s)
{
    sim_view *v = &s->views[sim_below(s, SIM_VIEWS)];
    model_table *table = any_table(s);
    unsigned dice = sim_below(s, 100);

    if (!v->is_open) {
        view_open(s, v, sim_chance(s, 1, 2));
        return;
    }
    if (table == NULL)
        return;
    if (dice < 35)
        read_one(s, v, table);
    else if (dice < 45)
        read_count(s, v, table);
    else if (dice < 60)
        scan_whole(s, v, table);
    else if (dice < 92)
        step_or_open_scan(s, v, table);
    else
        view_close(s, v);
}

/* ---- transactions ---- */

static void change_own(sim *s, sim_view *v, model_table *table)
{
    kal_arena arena; /* owned */
    kal_error err = KAL_ERROR_INIT;
    kal_row row;
    bool found = false;
    sim_own own = {.table = table, .key = sim_below(s, SIM_KEYS), .present = sim_chance(s, 3, 4)};

    if (v->own.len > 0 && sim_chance(s, 1, 3)) { /* the same row once more */
        const sim_own *again = &v->own.items[sim_below(s, (unsigned)v->own.len)];
        own.table = again->table;
        own.key = again->key;
    }
    own.image = (sim_image){true, sim_below(s, 1000), sim_below(s, 50)};
    kal_arena_init(&arena, NULL);
    if (!get(s, v, own.table, own.key, &arena, &row, &found)) {
        kal_arena_release(&arena);
        return;
    }
    const sim_own *before = find_own(v, own.table, own.key);
    own.seq_seen = before != NULL ? before->seq_seen : found ? row.seq : 0;
    kal_table *handle = own.table->handle;
    kal_value values[SIM_COLUMNS_MAX];
    kal_bytes key = sim_key(handle, own.table->shape, own.key, &arena);
    sim_values(own.table->shape, own.key, &own.image, &arena, values);
    kal_status status =
        own.present
            ? kal_overlay_put(v->overlay, &v->view, handle, key, found ? &row : NULL, values, &err)
            : kal_overlay_delete(v->overlay, &v->view, handle, key, found ? &row : NULL, &err);
    if (status != KAL_OK)
        sim_fail(s, "an overlay refuses a change: %s", err.message);
    kal_vec_push(&v->own, own);
    kal_arena_release(&arena);
}

static void copy_own(sim_own_list *to, const sim_own_list *from)
{
    to->len = 0;
    for (size_t i = 0; i < from->len; i++)
        kal_vec_push(to, from->items[i]);
}

static void mark_or_roll_back(sim *s, sim_view *v)
{
    if (v->mark_count < SIM_MARKS_MAX && sim_chance(s, 1, 2)) {
        v->marks[v->mark_count] = kal_overlay_mark(v->overlay);
        copy_own(&v->own_at_mark[v->mark_count], &v->own);
        v->mark_count++;
    } else if (v->mark_count > 0) {
        v->mark_count--;
        kal_overlay_rollback(v->overlay, v->marks[v->mark_count]);
        copy_own(&v->own, &v->own_at_mark[v->mark_count]);
    }
}

static size_t count_own(const sim_view *v)
{
    size_t count = 0;
    for (size_t i = 0; i < v->own.len; i++)
        count += find_own(v, v->own.items[i].table, v->own.items[i].key) == &v->own.items[i];
    return count;
}

/* The entry that this operation carries out; the order of operations is the overlay's business. */
static const sim_own *find_op(const sim_view *v, const kal_write_op *op, kal_arena *arena)
{
    for (size_t i = 0; i < v->own.len; i++) {
        const sim_own *own = &v->own.items[i];
        if (own->table->handle == op->table && find_own(v, own->table, own->key) == own &&
            kal_bytes_equal(op->key, sim_key(op->table, own->table->shape, own->key, arena)))
            return own;
    }
    return NULL;
}

static void take_ops(sim *s, sim_view *v, sim_write *w)
{
    kal_arena arena; /* owned */
    kal_arena_init(&arena, NULL);
    if (kal_write_op_count(w->write) != count_own(v))
        sim_fail(s, "a transaction of %zu rows became %zu operations", count_own(v),
                 kal_write_op_count(w->write));
    for (size_t i = 0; i < kal_write_op_count(w->write); i++) {
        const kal_write_op *op = kal_write_op_at(w->write, i);
        const sim_own *own = find_op(v, op, &arena);
        if (own == NULL || op->seq_seen != own->seq_seen)
            sim_fail(s, "operation %zu of a transaction saw seq %" PRIu64 ", expected %" PRIu64, i,
                     op->seq_seen, own != NULL ? own->seq_seen : 0);
        w->ops[w->op_count++] = (sim_op){.kind = own->present ? OP_PUT_SEEN : OP_DELETE_SEEN,
                                         .table = own->table,
                                         .user = v->user,
                                         .key = own->key,
                                         .image = own->image,
                                         .seq_seen = own->seq_seen,
                                         .keeps_row = op->keep_row};
    }
    kal_arena_release(&arena);
}

static void commit_transaction(sim *s, sim_view *v)
{
    kal_error err = KAL_ERROR_INIT;
    sim_write *w = sim_write_open(s);
    if (kal_overlay_into_write(v->overlay, w->write, sim_chance(s, 1, 2), &err) != KAL_OK)
        sim_fail(s, "a transaction cannot become a write: %s", err.message);
    take_ops(s, v, w);
    sim_trace(s, "write %u: transaction of %zu rows that began at moment %u", w->number,
              w->op_count, v->from);
    view_close(s, v);
    sim_write_send(w);
}

void sim_transaction_random(sim *s)
{
    sim_view *v = &s->views[sim_below(s, SIM_VIEWS)];
    model_table *table = any_table(s);
    unsigned dice = sim_below(s, 100);

    if (!v->is_open || v->overlay == NULL) {
        sim_read_random(s);
        return;
    }
    if (table == NULL)
        return;
    if (dice < 55 && count_own(v) < SIM_OPS_MAX)
        change_own(s, v, table);
    else if (dice < 75)
        mark_or_roll_back(s, v);
    else if (dice < 92 && s->write_count < SIM_WRITES_MAX)
        commit_transaction(s, v);
    else if (dice >= 97)
        view_close(s, v);
}
