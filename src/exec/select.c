/*
 * select.c: SELECT, on the fast path where the evaluator and a key range suffice, else by DuckDB.
 *
 * The fast path takes a single table (or none of its rows at all), expressions that the binder
 * admits, names it can give exactly like DuckDB, and few rows: on an event loop INLINE_ROWS_MAX
 * scanned, on the pool FAST_ROWS_MAX. When a scan turns out longer, what was written is taken back
 * and the statement moves on: from the loop to the pool, then to DuckDB. Both see the same view
 * kind and give the same answer; a differential test holds them together.
 *
 * ORDER BY with a LIMIT (and OFFSET) of at most TOP_ROWS_MAX rows together keeps only so many rows.
 * By a distance of vectors it takes tables of any size on the pool: DuckDB would copy every vector
 * twice. By other values it would gain nothing: both spend the same time per row, DuckDB on two
 * threads.
 */
#include "base/assert.h"
#include "exec/exec_internal.h"
#include "exec/top_rows.h"

enum {
    INLINE_ROWS_MAX = 256,
    INLINE_ROW_BYTES = 1024, /* so many bytes of embeddings, or of JSON that is parsed, count as one
                                more row */
    FAST_ROWS_MAX = 2048,
    TOP_ROWS_MAX = 10000,
    CHECK_TIME_ROWS = 1024,
    SCRATCH_BYTES_MAX = 64 * 1024, /* of values that expressions made, before they are freed */
};

typedef struct select_plan {
    kal_table *table;
    kal_expr **items; /* arena */
    kal_result_column *columns;
    size_t item_count;
    kal_expr *where;
    kal_expr **order; /* arena; one per order_by */
    const kal_sql_order *order_by;
    size_t order_count;
    bool key_order; /* rows come in the wanted order by scanning (reverse or not) */
    bool reverse;
    uint64_t limit;
    uint64_t offset;
    uint64_t *test_bits;  /* columns of WHERE and ORDER BY */
    uint64_t *item_bits;  /* columns of the items */
    uint64_t inline_cost; /* of a row on an event loop, in rows */
    uint32_t json_count;  /* how often a document is parsed for a row */
} select_plan;

/* ---- planning ---- */

static kal_status not_fast(kal_binder *b, kal_error *err)
{
    b->for_engine = true;
    return kal_error_set(err, KAL_UNSUPPORTED, "this statement needs the query engine");
}

static kal_expr *column_expr(kal_arena *arena, uint32_t column, kal_type type)
{
    kal_expr *e = KAL_NEW(arena, kal_expr);
    e->kind = KAL_EXPR_COLUMN;
    e->column = column;
    e->type = type;
    return e;
}

/* What the table says of a column that is given as it is; a hidden one has no flags. */
static void set_flags(kal_result_column *out, const kal_table_definition *def, int column)
{
    if (column < 0 || (uint32_t)column >= def->column_count)
        return;
    out->is_key = def->columns[column].is_primary_key;
    out->is_not_null = !def->columns[column].is_nullable;
}

static void add_item(select_plan *plan, kal_expr *expr, kal_result_column column)
{
    plan->items[plan->item_count] = expr;
    plan->columns[plan->item_count++] = column;
}

static void add_star(select_plan *plan, kal_arena *arena)
{
    const kal_table_definition *def = plan->table->def;
    for (uint32_t i = 0; i < def->column_count; i++) {
        const kal_column *c = &def->columns[i];
        kal_result_column column = {.name = c->name, .type = c->type};
        set_flags(&column, def, (int)i);
        add_item(plan, column_expr(arena, i, c->type), column);
    }
}

static bool star_is_whole_table(const kal_sql_expr *star, const kal_binder *b)
{
    kal_sql_expr named = *star;
    if (star->column.qualifier_count == 0)
        return true;
    /* t.*: qualified like any of the table's columns. */
    named.column.name.text = b->def->columns[0].name;
    return kal_bind_column(b, &named) == 0;
}

static kal_status plan_item(select_plan *plan, kal_binder *b, const kal_sql_item *item,
                            kal_error *err)
{
    const kal_sql_expr *e = item->expr;
    kal_expr *bound = NULL;
    kal_result_column column = {0};

    if (e->kind == KAL_SQL_EXPR_STAR) {
        if (!star_is_whole_table(e, b))
            return not_fast(b, err);
        add_star(plan, b->arena);
        return KAL_OK;
    }
    if (e->kind != KAL_SQL_EXPR_COLUMN && !kal_sql_name_given(item->alias))
        return not_fast(b, err); /* DuckDB names it after the text of the expression */
    KAL_TRY(kal_bind_expr(b, e, &bound, err));
    if (bound->type.tag == KAL_TYPE_NULL)
        return not_fast(b, err);
    column.type = bound->type;
    column.name = kal_sql_name_given(item->alias) ? item->alias_raw : e->column.name.text;
    if (bound->kind == KAL_EXPR_COLUMN)
        set_flags(&column, b->def, (int)bound->column);
    add_item(plan, bound, column);
    return KAL_OK;
}

static size_t most_items(const kal_sql_select *s, const kal_table_definition *def)
{
    size_t most = s->items.count;
    for (size_t i = 0; i < s->items.count; i++) {
        if (s->items.items[i].expr->kind == KAL_SQL_EXPR_STAR)
            most += def->column_count;
    }
    return most;
}

static kal_status plan_items(select_plan *plan, kal_binder *b, const kal_sql_select *s,
                             kal_error *err)
{
    size_t most = most_items(s, b->def);
    plan->items = kal_arena_try_array(b->arena, most, sizeof *plan->items);
    plan->columns = kal_arena_try_array(b->arena, most, sizeof *plan->columns);
    if (plan->items == NULL || plan->columns == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < s->items.count; i++)
        KAL_TRY(plan_item(plan, b, &s->items.items[i], err));
    return KAL_OK;
}

typedef enum alias_match { ALIAS_NONE, ALIAS_OF_ITEM, ALIAS_UNCLEAR } alias_match;

/* A bare name in ORDER BY that one item alone has as its alias, and no column: that item. When an
 * alias is a column's name too, or there are two of it, DuckDB's rules decide. */
static alias_match find_alias(const select_plan *plan, const kal_binder *b, const kal_sql_select *s,
                              const kal_sql_expr *e, kal_expr **out)
{
    alias_match match = ALIAS_NONE;
    size_t at = 0; /* in plan->items, where a star is many */
    if (e->kind != KAL_SQL_EXPR_COLUMN || e->column.qualifier_count > 0)
        return ALIAS_NONE;
    for (size_t i = 0; i < s->items.count; i++) {
        const kal_sql_item *item = &s->items.items[i];
        if (kal_sql_name_given(item->alias) &&
            kal_bytes_equal_nocase(item->alias.text, e->column.name.text)) {
            match = match == ALIAS_NONE ? ALIAS_OF_ITEM : ALIAS_UNCLEAR;
            *out = plan->items[at];
        }
        at += item->expr->kind == KAL_SQL_EXPR_STAR ? b->def->column_count : 1;
    }
    return match == ALIAS_OF_ITEM && kal_bind_is_column_name(b, e->column.name.text) ? ALIAS_UNCLEAR
                                                                                     : match;
}

/* An ORDER BY expression: an ordinal, the alias of an item, or any expression. */
static kal_status plan_order_expr(select_plan *plan, kal_binder *b, const kal_sql_select *s,
                                  const kal_sql_expr *e, kal_expr **out, kal_error *err)
{
    int64_t ordinal = 0;
    if (e->kind == KAL_SQL_EXPR_NUMBER) {
        if (!e->number.is_integer || !kal_parse_i64(e->number.text, &ordinal) || ordinal < 1 ||
            (uint64_t)ordinal > plan->item_count)
            return not_fast(b, err);
        *out = plan->items[ordinal - 1];
        return KAL_OK;
    }
    switch (find_alias(plan, b, s, e, out)) {
    case ALIAS_OF_ITEM:
        return (*out)->kind == KAL_EXPR_LITERAL ? not_fast(b, err) : KAL_OK;
    case ALIAS_UNCLEAR:
        return not_fast(b, err);
    case ALIAS_NONE:
        break;
    }
    KAL_TRY(kal_bind_expr(b, e, out, err));
    return (*out)->kind == KAL_EXPR_LITERAL ? not_fast(b, err) : KAL_OK;
}

/* True when the rows' key order is the wanted order: a prefix of the key, all one direction. Key
 * columns hold no NULL, so NULLS FIRST and LAST do not matter. */
static bool is_key_order(const select_plan *plan)
{
    const kal_table_definition *def = plan->table->def;
    if (plan->order_count == 0)
        return true;
    if (plan->order_count > def->key_column_count)
        return false;
    for (size_t i = 0; i < plan->order_count; i++) {
        if (plan->order[i]->kind != KAL_EXPR_COLUMN ||
            plan->order[i]->column != def->key_columns[i] ||
            plan->order_by[i].descending != plan->order_by[0].descending)
            return false;
    }
    return true;
}

static kal_status plan_order(select_plan *plan, kal_binder *b, const kal_sql_select *s,
                             kal_error *err)
{
    plan->order_by = s->order_by;
    plan->order_count = s->order_by_count;
    plan->order = kal_arena_try_array(b->arena, s->order_by_count + 1, sizeof *plan->order);
    if (plan->order == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < s->order_by_count; i++) {
        KAL_TRY(plan_order_expr(plan, b, s, s->order_by[i].expr, &plan->order[i], err));
        kal_type_tag tag = (kal_type_tag)plan->order[i]->type.tag;
        if (tag == KAL_TYPE_JSON || tag == KAL_TYPE_FILE || tag == KAL_TYPE_EMBEDDING)
            return not_fast(b, err);
    }
    plan->key_order = is_key_order(plan);
    plan->reverse = plan->key_order && plan->order_count > 0 && s->order_by[0].descending;
    return KAL_OK;
}

static kal_status plan_count(kal_binder *b, const kal_sql_expr *e, uint64_t by_default,
                             uint64_t *out, kal_error *err)
{
    kal_expr *bound = NULL;
    *out = by_default;
    if (e == NULL)
        return KAL_OK;
    KAL_TRY(kal_bind_expr(b, e, &bound, err));
    if (bound->kind != KAL_EXPR_LITERAL || bound->literal.is_null ||
        !kal_type_is_integer(bound->literal.type) || bound->literal.integer < 0)
        return not_fast(b, err);
    *out = (uint64_t)bound->literal.integer;
    return KAL_OK;
}

static uint64_t embedding_bytes(const select_plan *plan, const uint64_t *bits)
{
    const kal_table_definition *def = plan->table->def;
    uint64_t bytes = 0;
    for (size_t i = 0; i < def->column_count; i++) {
        if ((bits[i / 64] >> (i % 64) & 1) != 0)
            bytes += (uint64_t)def->columns[i].type.dim * sizeof(float);
    }
    return bytes;
}

static uint32_t json_count(const select_plan *plan)
{
    uint32_t count = kal_expr_count(plan->where, KAL_EXPR_JSON);
    for (size_t i = 0; i < plan->item_count; i++)
        count += kal_expr_count(plan->items[i], KAL_EXPR_JSON);
    for (size_t i = 0; i < plan->order_count; i++)
        count += kal_expr_count(plan->order[i], KAL_EXPR_JSON);
    return count;
}

static void collect_columns(select_plan *plan, kal_arena *arena)
{
    size_t count = kal_row_value_count(plan->table);
    plan->item_bits = kal_column_bits(plan->table, arena, false);
    plan->test_bits = kal_column_bits(plan->table, arena, false);
    for (size_t i = 0; i < plan->item_count; i++)
        kal_expr_columns(plan->items[i], plan->item_bits, count);
    for (size_t i = 0; i < plan->order_count; i++)
        kal_expr_columns(plan->order[i], plan->test_bits, count);
    kal_expr_columns(plan->where, plan->test_bits, count);
    plan->json_count = json_count(plan);
    plan->inline_cost = 1 + embedding_bytes(plan, plan->test_bits) / INLINE_ROW_BYTES;
}

/* KAL_UNSUPPORTED with b->for_engine: not for the fast path. */
static kal_status plan_select(kal_run *run, kal_binder *b, select_plan *plan, kal_error *err)
{
    const kal_sql_select *s = &run->statement->select;

    if (!s->is_simple || !s->has_from)
        return not_fast(b, err);
    KAL_TRY(kal_run_table(run, &s->table, &plan->table, err));
    KAL_TRY(kal_may_read(run->principal, plan->table, err));
    if (plan->table->def->table_type == KAL_TABLE_SYSTEM ||
        plan->table->def->table_type == KAL_TABLE_VIEW)
        return not_fast(b, err);
    *b = kal_run_binder(run, plan->table, s->alias.text);
    b->items = &s->items;
    KAL_TRY(kal_bind_where(b, s->where, &plan->where, err));
    KAL_TRY(plan_items(plan, b, s, err));
    KAL_TRY(plan_order(plan, b, s, err));
    KAL_TRY(plan_count(b, s->limit, UINT64_MAX, &plan->limit, err));
    KAL_TRY(plan_count(b, s->offset, 0, &plan->offset, err));
    collect_columns(plan, run->arena);
    return KAL_OK;
}

/* ---- running ---- */

typedef struct fast_run {
    kal_run *run;
    select_plan *plan;
    kal_value *row;    /* decoded columns */
    kal_value *values; /* evaluated ORDER BY expressions, then items */
    kal_arena scratch; /* what they borrow from, until they are written or copied */
    kal_top_rows top;  /* unless rows come in the wanted order */
    uint64_t *wanted;  /* columns of all that is evaluated */
    uint64_t matched;
    uint64_t scanned;
    uint64_t scanned_max;
    uint64_t row_cost; /* what one row adds to scanned */
} fast_run;

static kal_status evaluate(fast_run *f, const kal_expr *e, kal_value *out, kal_error *err)
{
    return kal_expr_eval(e, f->row, &f->run->session, &f->scratch, out, err);
}

/* An item that is an ORDER BY expression too (ORDER BY 1, or an alias) is computed once. */
static kal_status evaluate_items(fast_run *f, const kal_row *row, kal_error *err)
{
    select_plan *plan = f->plan;
    kal_value *items = f->values + plan->order_count;

    kal_row_values(plan->table, row, plan->item_bits, f->row);
    for (size_t i = 0; i < plan->item_count; i++) {
        size_t same = 0;
        while (same < plan->order_count && plan->order[same] != plan->items[i])
            same++;
        if (same < plan->order_count && !plan->key_order)
            items[i] = f->values[same];
        else
            KAL_TRY(evaluate(f, plan->items[i], &items[i], err));
    }
    return KAL_OK;
}

static kal_status emit(fast_run *f, const kal_row *row, kal_error *err)
{
    select_plan *plan = f->plan;
    if (f->matched++ < plan->offset)
        return KAL_OK;
    KAL_TRY(evaluate_items(f, row, err));
    return kal_result_row(f->run->result, f->values + plan->order_count, plan->item_count, err);
}

static kal_status keep_for_sort(fast_run *f, const kal_row *row, kal_error *err)
{
    select_plan *plan = f->plan;
    for (size_t i = 0; i < plan->order_count; i++)
        KAL_TRY(evaluate(f, plan->order[i], &f->values[i], err));
    if (!kal_top_rows_admits(&f->top, f->values))
        return KAL_OK;
    KAL_TRY(evaluate_items(f, row, err));
    return kal_top_rows_add(&f->top, f->values, err);
}

static kal_status emit_sorted(fast_run *f, kal_error *err)
{
    select_plan *plan = f->plan;
    size_t count = kal_top_rows_sort(&f->top);
    for (size_t i = plan->offset; i < count && i - plan->offset < plan->limit; i++)
        KAL_TRY(
            kal_result_row(f->run->result, kal_top_rows_items(&f->top, i), plan->item_count, err));
    return KAL_OK;
}

/* Documents are as long as they are: on an event loop, no more of them are parsed than rows would
 * be read. */
static bool may_parse(fast_run *f, const kal_row *row)
{
    const kal_table_definition *def = f->plan->table->def;
    if (f->plan->json_count == 0 || !f->run->inline_only)
        return true;
    kal_row_values(f->plan->table, row, f->wanted, f->row);
    for (uint32_t i = 0; i < def->column_count; i++) {
        bool is_wanted = (f->wanted[i / 64] >> (i % 64) & 1) != 0;
        if (is_wanted && def->columns[i].type.tag == KAL_TYPE_JSON && !f->row[i].is_null)
            f->scanned += f->row[i].bytes.len * f->plan->json_count / INLINE_ROW_BYTES;
    }
    return f->scanned <= f->scanned_max;
}

/* KAL_END: too much for an event loop. */
static kal_status take_row(fast_run *f, const kal_row *row, kal_error *err)
{
    select_plan *plan = f->plan;
    bool wanted = true;

    if (f->scratch.size_bytes > SCRATCH_BYTES_MAX)
        kal_arena_reset(&f->scratch);
    if (!may_parse(f, row))
        return KAL_END;
    kal_row_values(plan->table, row, plan->test_bits, f->row);
    if (plan->where != NULL)
        KAL_TRY(kal_expr_test(plan->where, f->row, &f->run->session, &f->scratch, &wanted, err));
    if (!wanted)
        return KAL_OK;
    return plan->key_order ? emit(f, row, err) : keep_for_sort(f, row, err);
}

static bool has_enough(const fast_run *f)
{
    const select_plan *plan = f->plan;
    return plan->key_order && f->matched >= plan->offset &&
           f->matched - plan->offset >= plan->limit;
}

static kal_status read_point(fast_run *f, const kal_key_range *range, kal_error *err)
{
    kal_row row;
    kal_status status = kal_view_get(f->run->view, f->plan->table, kal_buf_bytes(&range->lower),
                                     f->run->inline_only, f->run->arena, &row, err);
    if (status == KAL_NOT_FOUND)
        return KAL_OK;
    return status == KAL_OK ? take_row(f, &row, err) : status;
}

/* KAL_END: more rows than the fast path takes, or rows of segments. */
static kal_status read_range(fast_run *f, const kal_key_range *range, kal_error *err)
{
    kal_scan *scan = NULL; /* owned */
    kal_row row;
    kal_scan_range bounds = {
        .lower = kal_buf_bytes(&range->lower),
        .upper = kal_buf_bytes(&range->upper),
        .reverse = f->plan->reverse,
        .cached_only = f->run->inline_only,
        .in_order = f->scanned_max != UINT64_MAX, /* few rows are wanted: segments are DuckDB's */
        .no_keys = true,
        .wanted = f->wanted,
        .conditions = kal_run_conditions(f->run, f->plan->table, f->plan->where),
    };
    kal_status status = kal_scan_open(f->run->view, f->plan->table, &bounds, &scan, err);
    if (status == KAL_COLD)
        return KAL_END;

    while (status == KAL_OK && !has_enough(f)) {
        status = kal_scan_next(scan, &row, NULL, err);
        if (status == KAL_END) {
            status = KAL_OK;
            break;
        }
        if (status == KAL_OK && f->scanned >= f->scanned_max)
            status = KAL_END;
        f->scanned += f->row_cost;
        if (status == KAL_OK && (f->plan->json_count > 0 || f->scanned % CHECK_TIME_ROWS == 0))
            status = kal_run_check_time(f->run, err);
        if (status == KAL_OK)
            status = take_row(f, &row, err);
    }
    kal_scan_close(scan);
    return status;
}

static bool computes_vectors(const kal_expr *e)
{
    if (e->kind == KAL_EXPR_FUNCTION && e->function == KAL_EXPR_VECTOR)
        return true;
    for (uint32_t i = 0; i < e->child_count; i++) {
        if (computes_vectors(e->children[i]))
            return true;
    }
    return false;
}

/* How many rows may be scanned, and how many are kept for sorting. */
static void set_bounds(fast_run *f)
{
    const select_plan *plan = f->plan;
    bool is_top = !plan->key_order && plan->limit <= TOP_ROWS_MAX && plan->offset <= TOP_ROWS_MAX &&
                  plan->limit + plan->offset <= TOP_ROWS_MAX;
    bool by_vectors = false;

    for (size_t i = 0; i < plan->order_count; i++)
        by_vectors = by_vectors || computes_vectors(plan->order[i]);
    f->row_cost = f->run->inline_only ? plan->inline_cost : 1;
    f->scanned_max = f->run->inline_only    ? INLINE_ROWS_MAX
                     : is_top && by_vectors ? UINT64_MAX
                                            : FAST_ROWS_MAX;
    if (!plan->key_order)
        kal_top_rows_init(&f->top, plan->order_by, plan->order_count, plan->item_count,
                          is_top ? (size_t)(plan->limit + plan->offset) : FAST_ROWS_MAX,
                          f->run->budget);
}

static kal_status read_rows(fast_run *f, kal_error *err)
{
    select_plan *plan = f->plan;
    kal_key_range range; /* owned */
    kal_status status = KAL_OK;

    KAL_TRY(kal_key_range_init(&range, plan->table, plan->where, f->run->budget, err));
    if (range.is_empty)
        status = KAL_OK;
    else if (range.is_point)
        status = read_point(f, &range, err);
    else
        status = read_range(f, &range, err);
    kal_key_range_release(&range);
    return status == KAL_OK && !plan->key_order ? emit_sorted(f, err) : status;
}

/* KAL_END: too many rows, nothing was written. */
static kal_status run_fast(kal_run *run, select_plan *plan, kal_error *err)
{
    fast_run f = {.run = run, .plan = plan};
    size_t value_count = plan->order_count + plan->item_count;
    kal_status status = KAL_OK;

    kal_result_begin(run->result, plan->columns, plan->item_count);
    if (plan->limit > 0) {
        f.row = kal_arena_alloc(run->arena, kal_row_value_count(plan->table) * sizeof *f.row);
        f.values = kal_arena_alloc(run->arena, (value_count + 1) * sizeof *f.values);
        f.wanted = kal_column_bits(plan->table, run->arena, false);
        for (size_t i = 0; i < (kal_row_value_count(plan->table) + 63) / 64; i++)
            f.wanted[i] = plan->item_bits[i] | plan->test_bits[i];
        kal_arena_init(&f.scratch, run->budget);
        set_bounds(&f);
        status = read_rows(&f, err);
        kal_top_rows_release(&f.top);
        kal_arena_release(&f.scratch);
    }
    if (status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    return status;
}

/* ---- by DuckDB ---- */

typedef struct engine_result {
    kal_run *run;
    const kal_result_column *flags; /* arena; what the text says of the columns */
    size_t flag_count;              /* 0: nothing */
    size_t column_count;
    bool begun;
} engine_result;

/* Flags must not depend on the way a statement takes, which depends on how many rows there are. So
 * they come from the text, by the rules of the fast path: a SELECT of one table that our parser
 * understands, columns as they are. */
static void find_flags(kal_run *run, engine_result *e)
{
    const kal_sql_select *s = &run->statement->select;
    kal_error ignored = KAL_ERROR_INIT; /* DuckDB finds it too */
    kal_table *table = NULL;
    size_t count = 0;

    if (!s->is_simple || !s->has_from || kal_run_table(run, &s->table, &table, &ignored) != KAL_OK)
        return;
    const kal_table_definition *def = table->def;
    kal_binder b = kal_run_binder(run, table, s->alias.text);
    kal_result_column *flags = kal_arena_try_array(run->arena, most_items(s, def), sizeof *flags);
    if (flags == NULL)
        return; /* so is the result's memory, which is an error */
    for (size_t i = 0; i < s->items.count; i++) {
        const kal_sql_expr *item = s->items.items[i].expr;
        if (item->kind == KAL_SQL_EXPR_STAR) {
            for (uint32_t c = 0; c < def->column_count; c++)
                set_flags(&flags[count++], def, (int)c);
            continue;
        }
        if (item->kind == KAL_SQL_EXPR_COLUMN)
            set_flags(&flags[count], def, kal_bind_column(&b, item));
        count++;
    }
    e->flags = flags;
    e->flag_count = count;
}

static kal_status sink_begin(void *context, const kal_engine_column *columns, size_t column_count,
                             kal_error *err)
{
    engine_result *e = context;
    kal_result_column *out = kal_arena_try_array(e->run->arena, column_count + 1, sizeof *out);
    bool has_flags = e->flag_count == column_count;

    if (out == NULL)
        return kal_error_set(err, KAL_LIMIT, "the statement's memory is used up");
    for (size_t i = 0; i < column_count; i++)
        out[i] = (kal_result_column){
            .name = columns[i].name,
            .type = columns[i].type,
            .is_key = has_flags && e->flags[i].is_key,
            .is_not_null = has_flags && e->flags[i].is_not_null,
        };
    kal_result_begin(e->run->result, out, column_count);
    e->column_count = column_count;
    e->begun = true;
    return KAL_OK;
}

static kal_status sink_row(void *context, const kal_value *values, kal_error *err)
{
    engine_result *e = context;
    return kal_result_row(e->run->result, values, e->column_count, err);
}

/* What WHERE says of the key and of columns, where our own parser and binder understand all of it:
 * other rows need not be handed to DuckDB, nor segments without wanted ones opened. */
static bool find_range(kal_run *run, kal_key_range *range)
{
    const kal_sql_select *s = &run->statement->select;
    kal_error ignored = KAL_ERROR_INIT; /* DuckDB finds it too */
    kal_table *table = NULL;
    kal_expr *where = NULL;

    if (!s->is_simple || !s->has_from || s->where == NULL ||
        kal_run_table(run, &s->table, &table, &ignored) != KAL_OK)
        return false;
    kal_binder b = kal_run_binder(run, table, s->alias.text);
    b.items = &s->items;
    if (kal_bind_where(&b, s->where, &where, &ignored) != KAL_OK ||
        kal_key_range_init(range, table, where, run->budget, &ignored) != KAL_OK)
        return false;
    kal_key_range_spread(range);
    if (range->is_empty || kal_buf_failed(&range->upper)) {
        kal_key_range_release(range);
        return false;
    }
    run->ranged = table;
    run->conditions = kal_run_conditions(run, table, where);
    run->range_lower = kal_buf_bytes(&range->lower);
    run->range_upper = kal_buf_bytes(&range->upper);
    return true;
}

/* ORDER BY columns of one table with a LIMIT: other rows than the first need not be looked at where
 * files are read. Said only of what our own planner understands as a whole. */
static void find_top(kal_run *run)
{
    static const kal_bytes NULLS[] = {
        [KAL_SQL_NULLS_FIRST] = KAL_STR("FIRST"), [KAL_SQL_NULLS_LAST] = KAL_STR("LAST")};
    kal_error ignored = KAL_ERROR_INIT; /* DuckDB finds it too */
    select_plan plan = {0};
    kal_binder binder = {0};

    if (run->statement->select.order_by_count == 0 || run->statement->select.limit == NULL ||
        run->statement->select.where != NULL ||
        plan_select(run, &binder, &plan, &ignored) != KAL_OK || plan.limit > TOP_ROWS_MAX ||
        plan.offset > TOP_ROWS_MAX || plan.limit + plan.offset == 0)
        return;
    kal_engine_order *order = kal_arena_try_array(run->arena, plan.order_count, sizeof *order);
    if (order == NULL)
        return;
    for (size_t i = 0; i < plan.order_count; i++) {
        if (plan.order[i]->kind != KAL_EXPR_COLUMN ||
            plan.order[i]->column >= plan.table->def->column_count)
            return; /* computed, or hidden */
        order[i] = (kal_engine_order){.column = plan.order[i]->column,
                                      .descending = plan.order_by[i].descending,
                                      .nulls = NULLS[plan.order_by[i].nulls]};
    }
    run->topped = plan.table;
    run->top_order = order;
    run->top_order_count = plan.order_count;
    run->top_rows = plan.limit + plan.offset;
}

static kal_status run_by_engine(kal_run *run, kal_error *err)
{
    engine_result e = {.run = run};
    kal_engine_sink sink = {&e, sink_begin, sink_row};
    kal_key_range range = {0}; /* owned if has_range */
    bool has_range = run->may_use_engine && find_range(run, &range);

    if (run->may_use_engine) {
        find_flags(run, &e);
        find_top(run);
    }
    kal_status status = kal_run_engine(run, run->statement->select.text, &sink, err);
    run->ranged = NULL;
    run->topped = NULL;
    if (has_range)
        kal_key_range_release(&range);
    if (status == KAL_OK && e.begun)
        kal_result_end(run->result);
    else if (e.begun)
        kal_result_restart(run->result);
    /* Positions are relative to the statement's text; the client sent a request. */
    if (status != KAL_OK && err->position >= 0)
        err->position += run->statement->select.position;
    return status;
}

kal_status kal_run_select(kal_run *run, kal_error *err)
{
    kal_binder binder = {0};
    select_plan plan = {0};
    kal_status status = KAL_UNSUPPORTED;
    bool counted = false;

    if (run->path == KAL_PATH_AUTO) {
        KAL_TRY(kal_run_count(run, &counted, err));
        if (counted)
            return KAL_OK;
    }
    if (run->path != KAL_PATH_ENGINE) {
        status = plan_select(run, &binder, &plan, err);
        if (status != KAL_OK && !(status == KAL_UNSUPPORTED && binder.for_engine))
            return status;
        if (status == KAL_OK) {
            status = run_fast(run, &plan, err);
            if (status == KAL_END && run->inline_only)
                return KAL_BUSY;
            if (status != KAL_END)
                return status;
        } else if (run->path == KAL_PATH_FAST) {
            return status;
        }
    }
    return run_by_engine(run, err);
}
