/*
 * encode.c: rows and changes as the members of protocol messages.
 *
 *     insert  "change_type":"insert","rows":[{...}],"seq":n
 *     update  "change_type":"update","rows":[{...}],"old_values":[{...}],"seq":n
 *     delete  "change_type":"delete","old_values":[{...}],"seq":n
 *
 * Rows are objects: the items of the query, then what names the row whatever is shown of it: its
 * key columns and _seq. An update gives the columns that are not NULL or have changed, and of the
 * old row those that have changed. The _seq of a removed row is that of the change, so that the
 * greatest _seq that a client has seen is where it goes on.
 */
#include "base/assert.h"
#include "base/json_writer.h"
#include "live/live_internal.h"
#include "sql/row_values.h"

#include "types/json.h"

enum { BODY_BYTES = 384 }; /* at first: most changes fit without growing */

typedef struct row_writer {
    const live_query *query;
    kal_json_writer *json;
    kal_arena *scratch;
} row_writer;

static kal_status evaluate(const row_writer *w, const kal_live_item *item, const kal_value *values,
                           kal_value *out, kal_error *err)
{
    if (item->column >= 0) {
        *out = values[item->column];
        return KAL_OK;
    }
    return kal_expr_eval(item->expr, values, &w->query->session, w->scratch, out, err);
}

static void write_cell(const row_writer *w, kal_bytes name, const kal_value *value)
{
    kal_json_key_bytes(w->json, name);
    kal_value_write_json(value, w->json);
}

/* Key columns and _seq that are not items (live_query.identity). */
static void write_identity(const row_writer *w, const kal_value *values, uint64_t seq)
{
    const kal_table_definition *def = w->query->table->def;
    kal_value seq_value = kal_value_bigint((int64_t)seq);

    for (uint32_t i = 0; i < w->query->identity_count; i++) {
        uint32_t column = w->query->identity[i];
        write_cell(w, def->columns[column].name, &values[column]);
    }
    if (w->query->adds_seq)
        write_cell(w, kal_hidden_name(KAL_HIDDEN_SEQ), &seq_value);
}

static bool is_seq(const live_query *q, const kal_live_item *item)
{
    return item->column == (int)(q->table->def->column_count + KAL_HIDDEN_SEQ);
}

/* Every item. */
static kal_status write_row(const row_writer *w, const kal_value *values, uint64_t seq,
                            kal_error *err)
{
    kal_json_begin_object(w->json);
    for (size_t i = 0; i < w->query->plan.item_count; i++) {
        const kal_live_item *item = &w->query->plan.items[i];
        kal_value value = kal_value_bigint((int64_t)seq);
        if (!is_seq(w->query, item))
            KAL_TRY(evaluate(w, item, values, &value, err));
        write_cell(w, item->name, &value);
    }
    write_identity(w, values, seq);
    kal_json_end_object(w->json);
    return KAL_OK;
}

/* Of the new row what is not NULL or has changed (is_old false); of the old one what has changed.
 * Key columns stand in both, whether they are items or not. */
static kal_status write_part(const row_writer *w, const kal_value *before, const kal_value *after,
                             bool is_old, uint64_t seq, kal_error *err)
{
    kal_json_begin_object(w->json);
    for (size_t i = 0; i < w->query->plan.item_count; i++) {
        const kal_live_item *item = &w->query->plan.items[i];
        kal_value old_value;
        kal_value new_value;
        if (is_seq(w->query, item)) {
            new_value = kal_value_bigint((int64_t)seq);
            write_cell(w, item->name, &new_value);
            continue;
        }
        KAL_TRY(evaluate(w, item, before, &old_value, err));
        KAL_TRY(evaluate(w, item, after, &new_value, err));
        bool has_changed = !kal_value_identical(&old_value, &new_value);
        if (is_old ? has_changed || item->is_key : has_changed || !new_value.is_null)
            write_cell(w, item->name, is_old ? &old_value : &new_value);
    }
    write_identity(w, after, seq);
    kal_json_end_object(w->json);
    return KAL_OK;
}

kal_status live_encode_row(const live_query *query, const kal_value *values, kal_arena *scratch,
                           kal_buf *out, kal_error *err)
{
    kal_json_writer json;
    row_writer w = {query, &json, scratch};
    const kal_value *seq = &values[query->table->def->column_count + KAL_HIDDEN_SEQ];

    kal_json_writer_init(&json, out);
    return write_row(&w, values, (uint64_t)seq->integer, err);
}

static uint64_t seq_of(const live_query *q, const kal_value *values)
{
    return (uint64_t)values[q->table->def->column_count + KAL_HIDDEN_SEQ].integer;
}

static kal_status write_change(const row_writer *w, const kal_value *before, const kal_value *after,
                               uint64_t seq, uint64_t told_seq, kal_error *err)
{
    const char *type = before == NULL ? "insert" : after == NULL ? "delete" : "update";

    kal_json_key(w->json, "change_type");
    kal_json_cstr(w->json, type);
    if (after != NULL) {
        kal_json_key(w->json, "rows");
        kal_json_begin_array(w->json);
        KAL_TRY(before == NULL ? write_row(w, after, seq, err)
                               : write_part(w, before, after, false, seq, err));
        kal_json_end_array(w->json);
    }
    if (before != NULL) {
        kal_json_key(w->json, "old_values");
        kal_json_begin_array(w->json);
        KAL_TRY(after == NULL ? write_row(w, before, seq, err)
                              : write_part(w, before, after, true, seq_of(w->query, before), err));
        kal_json_end_array(w->json);
    }
    kal_json_key(w->json, "seq");
    kal_json_u64(w->json, told_seq);
    return KAL_OK;
}

kal_status live_encode_change(const live_query *query, const kal_value *before,
                              const kal_value *after, uint64_t seq, uint64_t told_seq,
                              kal_arena *scratch, kal_budget *budget, kal_message_body **body_out,
                              kal_error *err)
{
    kal_buf members; /* owned, until the body has it */
    kal_json_writer json;
    row_writer w = {query, &json, scratch};
    uint32_t member_count = before != NULL && after != NULL ? 4 : 3;

    kal_buf_init(&members, budget);
    (void)kal_buf_reserve(&members, BODY_BYTES); /* or it has failed, which is looked at below */
    kal_json_writer_init(&json, &members);
    kal_json_begin_members(&json);
    kal_status status = write_change(&w, before, after, seq, told_seq, err);
    if (status == KAL_OK && kal_buf_failed(&members))
        status = kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    if (status != KAL_OK) {
        kal_buf_release(&members);
        return status;
    }
    *body_out = kal_message_body_make(&members, member_count);
    if (*body_out == NULL)
        return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    return KAL_OK;
}

static kal_status hash_values(const live_query *query, const kal_value *values, kal_arena *scratch,
                              kal_budget *budget, live_hash *out, kal_error *err)
{
    kal_buf text; /* owned */

    kal_buf_init(&text, budget);
    kal_status status = live_encode_row(query, values, scratch, &text, err);
    if (status == KAL_OK && kal_buf_failed(&text))
        status = kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    if (status == KAL_OK) /* without the braces */
        status =
            live_hash_row(&query->plan, kal_bytes_of(text.ptr + 1, text.len - 2), budget, out, err);
    kal_buf_release(&text);
    return status;
}

kal_status live_note_delta(const live_query *query, const kal_value *before, const kal_value *after,
                           kal_arena *scratch, kal_budget *budget, kal_message_body *body,
                           kal_error *err)
{
    kal_message_note *note = kal_message_body_note(body);
    live_hash delta = {0};
    live_hash row;

    if (note->kind != LIVE_NOTE_NONE)
        return KAL_OK;
    if (after != NULL) {
        KAL_TRY(hash_values(query, after, scratch, budget, &row, err));
        live_hash_add(&delta, row);
    }
    if (before != NULL) {
        KAL_TRY(hash_values(query, before, scratch, budget, &row, err));
        live_hash_remove(&delta, row);
    }
    *note = (kal_message_note){delta.low, delta.high, LIVE_NOTE_DELTA};
    return KAL_OK;
}
