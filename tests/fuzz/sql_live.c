/*
 * sql_live.c: any bytes as a live query of a table: bound, folded, looked up by its condition and
 * evaluated over some rows. A row that the filter accepts must meet the condition, and the other
 * way round when the condition is exact; folding must change no answer.
 */
#include "unit/sql/live_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 4 * 1024, MEMORY_BYTES_MAX = 64 * 1024 * 1024, ROWS = 3 };

static const kal_expr_session SESSION = {
    .now_us = 1709212455500000,
    .user_id = {(const uint8_t *)"ann", 3},
    .role = {(const uint8_t *)"user", 4},
};

/* All NULL but for the key; small values; large ones. */
static void fill_row(const kal_table_definition *def, int which, kal_arena *arena, kal_value *row)
{
    static const char *const TEXTS[ROWS][LIVE_COLUMNS] = {
        {"1"},
        {"7", "true", "1", "1", "1", "1", "1", "a", "1", "1970-01-01",
         "{\"a\":[1,{\"b\":\"x\"}],\"kind\":\"a\"}", "1970-01-01 00:00:00"},
        {"-1", "false", "32767", "-2147483648", "9223372036854775807", "nan", "-0.0",
         "\xC3\x9C\xE6\x97\xA5", "-99999999.99", "9999-12-31", "[null,1e400,-0,\"\\u0000\"]",
         "9999-12-31 23:59:59.999999"},
    };
    for (uint32_t i = 0; i < LIVE_COLUMNS; i++) {
        kal_error err = KAL_ERROR_INIT;
        row[i] = kal_value_null(def->columns[i].type);
        if (TEXTS[which][i] == NULL)
            continue;
        kal_status status = kal_value_from_text(def->columns[i].type, kal_cstr(TEXTS[which][i]),
                                                arena, &row[i], &err);
        KAL_ASSERT(status == KAL_OK);
    }
    row[LIVE_COLUMNS + KAL_HIDDEN_SEQ] = kal_value_bigint(which + 1);
    row[LIVE_COLUMNS + KAL_HIDDEN_DELETED] = kal_value_boolean(false);
}

static void check_row(const kal_live_plan *plan, const kal_expr *folded,
                      const kal_live_index *index, const kal_value *row, kal_arena *arena)
{
    bool accepted = plan->where == NULL;
    bool again = accepted;
    kal_error err = KAL_ERROR_INIT;
    kal_buf key; /* owned */
    if (plan->where != NULL) {
        kal_status status = kal_expr_test(plan->where, row, &SESSION, arena, &accepted, &err);
        kal_status second = kal_expr_test(folded, row, &SESSION, arena, &again, &err);
        if (status != KAL_OK || second != KAL_OK) {
            KAL_ASSERT(status == KAL_INVALID || status == KAL_LIMIT || second == KAL_LIMIT);
            return;
        }
    }
    KAL_ASSERT(accepted == again);
    kal_buf_init(&key, NULL);
    if (!row[index->column].is_null)
        kal_key_append(&key, &row[index->column]);
    bool meets = kal_live_index_meets(index, kal_buf_bytes(&key));
    kal_buf_release(&key);
    KAL_ASSERT(meets || !accepted);
    KAL_ASSERT(!index->exact || meets == accepted);
    for (size_t i = 0; i < plan->item_count; i++) {
        kal_value v;
        kal_type type = plan->items[i].type;
        if (plan->items[i].expr == NULL ||
            kal_expr_eval(plan->items[i].expr, row, &SESSION, arena, &v, &err) != KAL_OK)
            continue;
        KAL_ASSERT(v.is_null || plan->items[i].fn != KAL_LIVE_NONE || kal_type_equal(v.type, type));
    }
}

static void check_plan(const kal_live_plan *plan, kal_arena *arena)
{
    uint64_t bits[(LIVE_COLUMNS + KAL_HIDDEN_COUNT + 63) / 64] = {0};
    kal_live_index index;
    kal_expr *folded = NULL;
    kal_error err = KAL_ERROR_INIT;
    KAL_ASSERT(plan->item_count > 0);
    KAL_ASSERT(plan->has_limit == (plan->order_count > 0));
    KAL_ASSERT(plan->is_grouped || plan->group_count == 0);
    for (size_t i = 0; i < plan->order_count; i++)
        KAL_ASSERT(plan->order_by[i].expr != NULL || plan->order_by[i].item < plan->item_count);
    kal_live_plan_columns(plan, bits);
    if (kal_expr_fold(plan->where, &SESSION, arena, &folded, &err) != KAL_OK ||
        kal_live_index_of(plan->def, folded, arena, &index, &err) != KAL_OK) {
        KAL_ASSERT(err.status == KAL_LIMIT);
        return;
    }
    for (int i = 0; i < ROWS; i++) {
        kal_value row[LIVE_COLUMNS + KAL_HIDDEN_COUNT];
        fill_row(plan->def, i, arena, row);
        check_row(plan, folded, &index, row, arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_budget budget;
    kal_arena arena;
    kal_sql_live live;
    kal_live_plan plan;
    kal_error err = KAL_ERROR_INIT;
    if (size > INPUT_BYTES_MAX)
        return 0;
    kal_budget_init(&budget, NULL, MEMORY_BYTES_MAX);
    kal_arena_init(&arena, &budget);
    const kal_table_definition *def = live_table(&arena);
    if (kal_sql_parse_live(kal_bytes_of(data, size), &arena, &live, NULL) == KAL_OK &&
        live.kind == KAL_SQL_LIVE_SELECT) {
        if (live_bind(kal_bytes_of(data, size), def, &arena, &plan, &err) == KAL_OK) {
            check_plan(&plan, &arena);
        } else {
            KAL_ASSERT(err.message[0] != '\0');
            KAL_ASSERT(kal_utf8_valid(kal_cstr(err.message)));
            KAL_ASSERT(err.position <= (int64_t)size);
        }
    }
    kal_arena_release(&arena);
    return 0;
}
