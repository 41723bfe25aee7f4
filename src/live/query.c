/*
 * query.c: live queries: from SQL text to what changes are held against; shared by the
 * subscriptions of one text; bound again when their table is altered.
 */
#include "base/assert.h"
#include "catalog/system_tables.h"
#include "live/live_internal.h"
#include "sql/parser.h"
#include "sql/row_values.h"
#include "types/json.h"

#include <stdlib.h>

/* ---- shapes ---- */

static void shape_key(const live_query *q, kal_buf *out)
{
    kal_buf_append_be32(out, q->table->def->table_id);
    kal_buf_append_be32(out, q->table->def->schema_version);
    if (!q->is_whole_row) { /* computed, perhaps from the identity */
        kal_buf_append_be64(out, q->principal.user_no);
        kal_buf_append_bytes(out, q->sql);
        return;
    }
    for (size_t i = 0; i < q->plan.item_count; i++) {
        kal_buf_append_be32(out, (uint32_t)q->plan.items[i].column);
        kal_buf_append_text(out, q->plan.items[i].name);
    }
}

static live_shape *get_shape(kal_live_worker *w, const live_query *q)
{
    kal_buf key; /* owned, or the shape's */

    kal_buf_init(&key, NULL);
    shape_key(q, &key);
    live_shape *shape = kal_map_find(&w->shapes, kal_buf_bytes(&key));
    if (shape == NULL) {
        shape = calloc(1, sizeof *shape); /* owned by its references */
        if (shape == NULL)
            kal_die("out of memory: live queries");
        shape->key.ptr = kal_buf_take(&key, &shape->key.len);
        kal_map_put(&w->shapes, shape->key, shape);
    }
    kal_buf_release(&key);
    shape->refs++;
    return shape;
}

static void drop_bodies(live_shape *shape)
{
    for (size_t i = 0; i < LIVE_BODIES; i++) {
        kal_message_body_release(shape->bodies[i]);
        shape->bodies[i] = NULL;
    }
}

static void release_shape(kal_live_worker *w, live_shape *shape)
{
    if (--shape->refs > 0)
        return;
    kal_map_remove(&w->shapes, shape->key);
    drop_bodies(shape);
    free((void *)shape->key.ptr);
    free(shape);
}

/* ---- the index ---- */

static uint64_t version_number(const kal_table *table)
{
    return (uint64_t)table->def->table_id << 32 | table->def->schema_version;
}

live_table *live_tables_of(const kal_live_worker *w, uint32_t table_id)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    return kal_map_find(&w->tables, live_number_key(table_id, bytes));
}

static live_table *get_table(kal_live_worker *w, kal_table *table)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    live_table *first = live_tables_of(w, table->def->table_id);
    live_table *t = first;

    while (t != NULL && t->table->def->schema_version != table->def->schema_version)
        t = t->next;
    if (t != NULL) {
        if (t->table != table) { /* another object of the same version */
            kal_table_release(t->table);
            t->table = kal_table_retain(table);
        }
        return t;
    }
    t = calloc(1, sizeof *t); /* owned by the map */
    if (t == NULL)
        kal_die("out of memory: live queries");
    t->table = kal_table_retain(table);
    t->next = first;
    kal_map_init(&t->partitions);
    kal_list_init(&t->queries);
    kal_map_put(&w->tables, live_number_key(table->def->table_id, bytes), t);
    return t;
}

static void take_out_of_chain(kal_live_worker *w, live_table *t)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    kal_bytes key = live_number_key(t->table->def->table_id, bytes);
    live_table *first = kal_map_find(&w->tables, key);

    if (first == t && t->next == NULL) {
        kal_map_remove(&w->tables, key);
    } else if (first == t) {
        kal_map_put(&w->tables, key, t->next);
    } else {
        while (first->next != t)
            first = first->next;
        first->next = t->next;
    }
}

static void drop_table_if_unused(kal_live_worker *w, live_table *t)
{
    if (t->query_count > 0)
        return;
    KAL_ASSERT(t->partitions.len == 0);
    take_out_of_chain(w, t);
    kal_map_release(&t->partitions);
    kal_table_release(t->table);
    free(t);
}

static live_partition *get_partition(live_table *t, uint64_t user_no)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    kal_bytes key = live_number_key(user_no, bytes);
    live_partition *p = kal_map_find(&t->partitions, key);

    if (p != NULL)
        return p;
    p = calloc(1, sizeof *p); /* owned by the map */
    if (p == NULL)
        kal_die("out of memory: live queries");
    p->table = t;
    p->user_no = user_no;
    kal_condition_index_init(&p->index);
    kal_map_put(&t->partitions, key, p);
    return p;
}

static void drop_partition_if_unused(live_table *t, live_partition *p)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    if (p->index.len > 0)
        return;
    kal_map_remove(&t->partitions, live_number_key(p->user_no, bytes));
    kal_condition_index_release(&p->index);
    free(p);
}

static void attach(kal_live_worker *w, live_query *q)
{
    q->is_detached = false;
    q->in = get_table(w, q->table);
    q->partition = get_partition(q->in, q->user_no);
    q->shape = get_shape(w, q);
    q->in->query_count++;
    kal_list_push_back(&q->in->queries, &q->link);
    q->indexed.condition = &q->condition;
    q->has_rest = !q->condition.exact && q->plan.where != NULL;
    kal_condition_index_add(&q->partition->index, &q->indexed);
    kal_map_put(&w->queries, q->share_key, q);
}

void live_query_detach(kal_live_worker *w, live_query *q)
{
    if (q->is_detached)
        return;
    q->is_detached = true;
    kal_condition_index_remove(&q->partition->index, &q->indexed);
    drop_partition_if_unused(q->in, q->partition);
    kal_list_remove(&q->link);
    kal_list_remove(&q->rebind_link);
    q->in->query_count--;
    drop_table_if_unused(w, q->in);
    q->in = NULL;
    q->partition = NULL;
    release_shape(w, q->shape);
    q->shape = NULL;
    if (kal_map_find(&w->queries, q->share_key) == q)
        kal_map_remove(&w->queries, q->share_key);
}

/* ---- making ---- */

typedef struct function_use {
    bool session;  /* CURRENT_USER(), CURRENT_ROLE() */
    bool unstable; /* NOW() and generators: another answer each time */
} function_use;

static void find_functions(const kal_expr *e, function_use *use)
{
    if (e == NULL)
        return;
    if (e->kind == KAL_EXPR_FUNCTION) {
        switch (e->function) {
        case KAL_EXPR_CURRENT_USER:
        case KAL_EXPR_CURRENT_ROLE:
            use->session = true;
            break;
        case KAL_EXPR_NOW:
        case KAL_EXPR_SNOWFLAKE_ID:
        case KAL_EXPR_UUID_V7:
        case KAL_EXPR_ULID:
            use->unstable = true;
            break;
        default:
            break;
        }
    }
    for (uint32_t i = 0; i < e->child_count; i++)
        find_functions(e->children[i], use);
}

static kal_status check_functions(const kal_live_plan *plan, bool *depends_on_session_out,
                                  kal_error *err)
{
    function_use use = {0};

    find_functions(plan->where, &use);
    for (size_t i = 0; i < plan->item_count; i++)
        find_functions(plan->items[i].expr, &use);
    for (size_t i = 0; i < plan->group_count; i++)
        find_functions(plan->group_by[i], &use);
    for (size_t i = 0; i < plan->order_count; i++)
        find_functions(plan->order_by[i].expr, &use);
    *depends_on_session_out = use.session;
    if (!use.unstable)
        return KAL_OK;
    return kal_error_set(err, KAL_UNSUPPORTED,
                         "a live query cannot use NOW() or a function that makes ids: its answer "
                         "would change without a change of a row");
}

static kal_status check_names(const kal_live_plan *plan, kal_error *err)
{
    for (size_t i = 0; i < plan->item_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!kal_bytes_equal(plan->items[i].name, plan->items[k].name))
                continue;
            kal_error_set(err, KAL_SYNTAX, "two columns of the live query are named '%.*s'",
                          KAL_FMT(plan->items[i].name));
            kal_error_hint(err, "give one of them another name with AS");
            return KAL_SYNTAX;
        }
    }
    return KAL_OK;
}

static kal_status check_kind(const kal_table *table, const kal_live_plan *plan, kal_error *err)
{
    const kal_table_definition *def = table->def;
    if (def->table_type == KAL_TABLE_VIEW)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "'%.*s.%.*s' is a view: live queries are of tables",
                             KAL_FMT(def->namespace_id), KAL_FMT(def->table_name));
    if (def->table_type == KAL_TABLE_SYSTEM && live_plan_has_result(plan))
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "a live query of a system table has no aggregates, GROUP BY, ORDER BY "
                             "or LIMIT");
    if (plan->has_limit && plan->is_grouped)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "a live query cannot have both groups and ORDER BY ... LIMIT");
    if (plan->has_limit && plan->limit > LIVE_TOP_ROWS_MAX)
        return kal_error_set(err, KAL_UNSUPPORTED, "LIMIT of a live query is at most %d",
                             LIVE_TOP_ROWS_MAX);
    if (live_plan_has_result(plan) && def->table_type == KAL_TABLE_STREAM)
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "a live query of a STREAM table cannot have groups or LIMIT: its rows "
                             "leave by age, without a change");
    return KAL_OK;
}

/* A client tells groups apart by their columns. */
static kal_status check_groups(live_query *q, kal_error *err)
{
    kal_live_plan *plan = &q->plan;

    for (size_t i = 0; i < plan->group_count; i++) {
        bool is_shown = false;
        for (size_t k = 0; k < plan->item_count; k++)
            is_shown = is_shown || (plan->items[k].fn == KAL_LIVE_NONE &&
                                    kal_expr_equal(plan->items[k].expr, plan->group_by[i]));
        if (!is_shown)
            return kal_error_set(err, KAL_SYNTAX,
                                 "a live query has to show everything that it groups by");
    }
    for (size_t k = 0; plan->is_grouped && k < plan->item_count; k++)
        plan->items[k].is_key = plan->items[k].fn == KAL_LIVE_NONE;
    return KAL_OK;
}

static kal_status fold_all(live_query *q, kal_error *err)
{
    kal_live_plan *plan = &q->plan;

    if (plan->where != NULL)
        KAL_TRY(kal_expr_fold(plan->where, &q->session, &q->arena, &plan->where, err));
    for (size_t i = 0; i < plan->order_count; i++) {
        if (plan->order_by[i].expr != NULL)
            KAL_TRY(kal_expr_fold(plan->order_by[i].expr, &q->session, &q->arena,
                                  &plan->order_by[i].expr, err));
    }
    for (size_t i = 0; i < plan->group_count; i++)
        KAL_TRY(kal_expr_fold(plan->group_by[i], &q->session, &q->arena, &plan->group_by[i], err));
    for (size_t i = 0; i < plan->item_count; i++) {
        if (plan->items[i].expr != NULL)
            KAL_TRY(kal_expr_fold(plan->items[i].expr, &q->session, &q->arena, &plan->items[i].expr,
                                  err));
    }
    return KAL_OK;
}

static bool shows_column(const live_query *q, uint32_t column)
{
    for (size_t i = 0; i < q->plan.item_count; i++) {
        if (q->plan.items[i].column == (int)column)
            return true;
    }
    return false;
}

/* An item of the query may have the name of a column that it is not. */
static bool is_name_taken(const live_query *q, kal_bytes name)
{
    for (size_t i = 0; i < q->plan.item_count; i++) {
        if (kal_bytes_equal(q->plan.items[i].name, name))
            return true;
    }
    return false;
}

static void add_identity(live_query *q, uint32_t column)
{
    if (!shows_column(q, column) && !is_name_taken(q, q->table->def->columns[column].name))
        q->identity[q->identity_count++] = column;
}

/* What every row says of itself besides the items. */
static void collect_identity(live_query *q)
{
    const kal_table_definition *def = q->table->def;

    q->identity = kal_arena_alloc(&q->arena, def->column_count * sizeof *q->identity);
    if (def->table_type == KAL_TABLE_SYSTEM) { /* nothing counts the changes of its rows */
        for (uint32_t i = 0; i < def->column_count; i++) {
            if (kal_system_column_is_key((kal_system_table)def->table_id, i))
                add_identity(q, i);
        }
        return;
    }
    for (uint32_t i = 0; i < def->key_column_count; i++)
        add_identity(q, def->key_columns[i]);
    q->adds_seq = !is_name_taken(q, kal_hidden_name(KAL_HIDDEN_SEQ));
}

static void collect_columns(live_query *q)
{
    const kal_table_definition *def = q->table->def;

    q->is_whole_row = true;
    for (size_t i = 0; i < q->plan.item_count; i++)
        q->is_whole_row = q->is_whole_row && q->plan.items[i].column >= 0;
    q->wanted = kal_column_bits(q->table, &q->arena, false);
    kal_live_plan_columns(&q->plan, q->wanted);
    for (uint32_t i = 0; i < def->key_column_count; i++)
        q->wanted[def->key_columns[i] / 64] |= UINT64_C(1) << (def->key_columns[i] % 64);
}

static void append_share_key(kal_buf *out, const live_query *q, bool is_for_all)
{
    kal_buf_append_be64(out, is_for_all ? 0 : q->principal.user_no);
    kal_buf_append_be64(out, version_number(q->table));
    kal_buf_append_bytes(out, q->sql);
}

static void make_share_key(live_query *q, bool depends_on_session)
{
    kal_buf key; /* owned */

    kal_buf_init(&key, NULL);
    kal_table_type type = q->table->def->table_type;
    bool is_same_for_all = type == KAL_TABLE_SHARED || type == KAL_TABLE_SYSTEM;
    append_share_key(&key, q, is_same_for_all && !depends_on_session);
    q->share_key = kal_arena_copy(&q->arena, kal_buf_bytes(&key));
    kal_buf_release(&key);
}

/* q->table is set. */
static kal_status bind(live_query *q, kal_error *err)
{
    bool depends_on_session = false;

    q->session = (kal_expr_session){
        .user_id = kal_cstr(q->principal.user_id),
        .role = kal_cstr(kal_role_name(q->principal.role)),
    };
    kal_binder binder = {
        .def = q->table->def, .alias = q->parsed.select.alias.text, .arena = &q->arena};
    KAL_TRY(kal_live_bind(&q->parsed, &binder, &q->plan, err));
    KAL_TRY(check_kind(q->table, &q->plan, err));
    q->has_result = live_plan_has_result(&q->plan);
    KAL_TRY(check_names(&q->plan, err));
    KAL_TRY(check_groups(q, err));
    KAL_TRY(check_functions(&q->plan, &depends_on_session, err));
    KAL_TRY(fold_all(q, err));
    KAL_TRY(kal_live_index_of(q->table->def, q->plan.where, &q->arena, &q->condition, err));
    collect_columns(q);
    collect_identity(q);
    make_share_key(q, depends_on_session);
    q->user_no = kal_table_user_no(q->table, q->principal.user_no);
    q->shard = kal_row_shard(q->table, q->principal.user_no);
    return KAL_OK;
}

static void free_query(live_query *q)
{
    kal_table_release(q->table);
    kal_arena_release(&q->arena);
    live_user_release(q->payer);
    free(q);
}

static kal_status parse(live_query *q, kal_bytes sql, kal_error *err)
{
    if (!kal_arena_try_copy(&q->arena, sql, &q->sql))
        return kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up");
    KAL_TRY(kal_sql_parse_live(q->sql, &q->arena, &q->parsed, err));
    if (q->parsed.kind != KAL_SQL_LIVE_SELECT)
        return kal_error_set(err, KAL_UNSUPPORTED, "SUBSCRIBE SCHEMA is not a query of rows");
    if (q->parsed.param_max > 0)
        return kal_error_set(err, KAL_SYNTAX, "a live query has no parameters");
    q->sql = q->parsed.text;
    return KAL_OK;
}

static kal_status find_table(kal_catalog_worker *catalog, const kal_sql_object *name,
                             kal_table **table_out, kal_error *err)
{
    kal_bytes ns =
        kal_sql_name_given(name->namespace_name) ? name->namespace_name.text : KAL_STR("default");
    kal_status status = kal_catalog_get_table(catalog, ns, name->name.text, table_out, err);
    if (status == KAL_NOT_FOUND)
        err->position = name->position;
    return status;
}

/* One that stands for this text already, for everybody or for this user. */
static live_query *find_shared(const kal_live_worker *w, const live_query *parsed)
{
    kal_buf key; /* owned */
    live_query *found = NULL;

    kal_buf_init(&key, NULL);
    for (int own = 0; own < 2 && found == NULL; own++) {
        kal_buf_clear(&key);
        append_share_key(&key, parsed, own == 0);
        found = kal_map_find(&w->queries, kal_buf_bytes(&key));
        /* CURRENT_ROLE() of a user whose role has changed is another one. */
        if (found != NULL && own == 1 && found->principal.role != parsed->principal.role)
            found = NULL;
    }
    kal_buf_release(&key);
    return found;
}

/* *q is parsed and has its table: it is given up for a shared one, or bound. */
static kal_status share_or_bind(kal_live_worker *w, live_query **q, kal_error *err)
{
    live_query *found = find_shared(w, *q);

    if (found != NULL) {
        free_query(*q);
        *q = live_query_retain(found);
        return KAL_OK;
    }
    KAL_TRY(bind(*q, err));
    attach(w, *q);
    return KAL_OK;
}

static live_query *make_query(kal_live *live, const kal_principal *principal)
{
    live_query *q = kal_cache_lines_alloc(sizeof *q, "live queries");

    kal_list_init(&q->link);
    kal_list_init(&q->rebind_link);
    kal_list_init(&q->result.dirty_link);
    kal_list_init(&q->subs);
    q->refs = 1;
    q->is_detached = true; /* until it is attached */
    q->principal = *principal;
    q->payer = live_user_get(live, principal->user_no);
    kal_arena_init(&q->arena, &q->payer->budget);
    return q;
}

/* The text, and the table that it names, which its principal may read. */
static kal_status parse_readable(const kal_live *live, kal_catalog_worker *catalog, live_query *q,
                                 kal_bytes sql, kal_error *err)
{
    kal_table *table = NULL;

    KAL_TRY(parse(q, sql, err));
    KAL_TRY(find_table(catalog, &q->parsed.select.table, &table, err));
    q->table = kal_table_retain(table);
    return live->options.ops->may_read(&q->principal, q->table, err);
}

kal_status live_query_get(kal_live_worker *w, kal_catalog_worker *catalog,
                          const kal_principal *principal, kal_bytes sql, live_query **query_out,
                          kal_sql_live_options *options_out, kal_error *err)
{
    live_query *q = make_query(w->live, principal); /* owned until it is given out */

    kal_status status = parse_readable(w->live, catalog, q, sql, err);
    *options_out = q->parsed.options;
    if (status == KAL_OK)
        status = share_or_bind(w, &q, err);
    if (status == KAL_OK)
        *query_out = q;
    else
        free_query(q);
    return status;
}

live_query *live_query_retain(live_query *q)
{
    q->refs++;
    return q;
}

void live_query_release(kal_live_worker *w, live_query *q)
{
    if (--q->refs > 0)
        return;
    live_query_detach(w, q);
    live_result_release(w, q);
    free_query(q);
}

kal_status live_query_bind_alone(kal_live *live, kal_catalog_worker *catalog,
                                 const kal_principal *principal, kal_bytes sql,
                                 live_query **query_out, kal_error *err)
{
    live_query *q = make_query(live, principal); /* owned until it is given out */

    kal_status status = parse_readable(live, catalog, q, sql, err);
    if (status == KAL_OK)
        status = bind(q, err);
    if (status == KAL_OK)
        *query_out = q;
    else
        free_query(q);
    return status;
}

void live_query_free_alone(live_query *q)
{
    free_query(q);
}

/* ---- altered tables ---- */

static void rebind_later(kal_live_worker *w, live_table *t)
{
    if (atomic_load(&t->table->fate) == KAL_TABLE_CURRENT)
        return;
    KAL_LIST_FOR_EACH (link, &t->queries) {
        live_query *q = KAL_CONTAINER_OF(link, live_query, link);
        kal_list_remove(&q->rebind_link);
        kal_list_push_back(&w->rebinding, &q->rebind_link);
    }
}

void live_rebind_begin(kal_live_worker *w)
{
    size_t at = 0;
    live_table *first;

    while ((first = kal_map_next(&w->tables, &at, NULL)) != NULL) {
        for (live_table *t = first; t != NULL; t = t->next)
            rebind_later(w, t);
    }
}

static void end_subs(live_query *q, const kal_error *err)
{
    kal_list *link;
    while ((link = q->subs.next) != &q->subs)
        live_sub_end(KAL_CONTAINER_OF(link, live_sub, query_link), err);
}

/* The table as it is now, by its number: it may have another name. */
static kal_status find_again(kal_live_worker *w, const live_query *old, kal_table **out,
                             kal_error *err)
{
    const kal_table_definition *def = old->table->def;
    kal_status status = kal_catalog_get_table_by_id(w->catalog, def->table_id, out, err);

    if (status != KAL_NOT_FOUND)
        return status;
    kal_error_set(err, KAL_NOT_FOUND, "table '%.*s.%.*s' was dropped", KAL_FMT(def->namespace_id),
                  KAL_FMT(def->table_name));
    kal_error_code(err, "TABLE_NOT_FOUND");
    return KAL_NOT_FOUND;
}

static kal_status bind_again(kal_live_worker *w, const live_query *old, live_query **query_out,
                             kal_error *err)
{
    kal_table *table = NULL;

    KAL_TRY(find_again(w, old, &table, err));
    live_query *q = make_query(w->live, &old->principal); /* owned until it is given out */
    q->table = kal_table_retain(table);
    kal_status status = parse(q, old->sql, err);
    if (status == KAL_OK)
        status = share_or_bind(w, &q, err);
    if (status == KAL_OK)
        *query_out = q;
    else
        free_query(q);
    return status;
}

static void rebind(kal_live_worker *w, live_query *old)
{
    kal_error err = KAL_ERROR_INIT;
    live_query *next = NULL;
    kal_list *link;

    live_query_retain(old);
    live_query_detach(w, old);
    kal_status status = bind_again(w, old, &next, &err);
    if (status == KAL_OK) {
        bool with_result = live_query_results_alike(old, next) && live_result_move(old, next);
        while ((link = old->subs.next) != &old->subs)
            live_sub_move(KAL_CONTAINER_OF(link, live_sub, query_link), next, with_result);
        live_query_release(w, next);
    } else {
        end_subs(old, &err);
    }
    live_query_release(w, old);
}

bool live_rebind_step(kal_live_worker *w, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        kal_list *link = kal_list_pop_front(&w->rebinding);
        if (link == NULL)
            return false;
        rebind(w, KAL_CONTAINER_OF(link, live_query, rebind_link));
    }
    return !kal_list_empty(&w->rebinding);
}

/* What a client sees of an item. */
static bool is_same_column(const kal_live_item *a, const kal_live_item *b)
{
    return kal_bytes_equal(a->name, b->name) && kal_type_equal(a->type, b->type) &&
           a->is_key == b->is_key && a->is_not_null == b->is_not_null;
}

bool live_query_has_same_schema(const live_query *a, const live_query *b)
{
    bool is_same = a->plan.item_count == b->plan.item_count;
    for (size_t i = 0; is_same && i < a->plan.item_count; i++)
        is_same = is_same_column(&a->plan.items[i], &b->plan.items[i]);
    return is_same;
}

bool live_query_results_alike(const live_query *a, const live_query *b)
{
    if (a->plan.item_count != b->plan.item_count)
        return false;
    for (size_t i = 0; i < a->plan.item_count; i++) {
        const kal_live_item *x = &a->plan.items[i];
        const kal_live_item *y = &b->plan.items[i];
        if (!kal_bytes_equal(x->name, y->name) || !kal_type_equal(x->type, y->type) ||
            (x->expr != NULL && !kal_type_equal(x->expr->type, y->expr->type)))
            return false;
    }
    return true;
}

/* ---- what is told of it ---- */

void live_query_write_schema(const live_query *q, kal_json_writer *w)
{
    kal_json_key(w, "schema");
    kal_json_begin_array(w);
    for (size_t i = 0; i < q->plan.item_count; i++) {
        const kal_live_item *item = &q->plan.items[i];
        kal_result_column_write_json(item->name, item->type, i, item->is_key, item->is_not_null, w);
    }
    kal_json_end_array(w);
}

/* What an item stands for: a column, or nothing that lasts. */
static uint32_t column_id_of(const live_query *q, const kal_live_item *item)
{
    bool is_column = item->column >= 0 && (uint32_t)item->column < q->table->def->column_count;
    return is_column ? q->table->def->columns[item->column].column_id : 0;
}

/* The item of `q` that is the same thing as `item` of `of`; NULL: there is none. */
static const kal_live_item *find_same_item(const live_query *q, const live_query *of,
                                           const kal_live_item *item)
{
    uint32_t column_id = column_id_of(of, item);

    for (size_t i = 0; i < q->plan.item_count; i++) {
        const kal_live_item *other = &q->plan.items[i];
        if (column_id != 0
                ? column_id_of(q, other) == column_id
                : column_id_of(q, other) == 0 && kal_bytes_equal(other->name, item->name))
            return other;
    }
    return NULL;
}

static void begin_change(kal_json_writer *w, const char *change, kal_bytes name)
{
    kal_json_begin_object(w);
    kal_json_key(w, "change");
    kal_json_cstr(w, change);
    kal_json_key(w, "name");
    kal_json_string(w, name);
}

static void write_added(const live_query *q, const kal_live_item *item, kal_json_writer *w)
{
    const kal_value *initial =
        column_id_of(q, item) == 0 ? NULL : q->table->def->columns[item->column].initial_default;

    begin_change(w, "added", item->name);
    kal_json_key(w, "value");
    if (initial == NULL)
        kal_json_null(w);
    else
        kal_value_write_json(initial, w);
    kal_json_end_object(w);
}

static void write_kept(const kal_live_item *before, const kal_live_item *after, kal_json_writer *w)
{
    if (!kal_bytes_equal(before->name, after->name)) {
        begin_change(w, "renamed", after->name);
        kal_json_key(w, "from");
        kal_json_string(w, before->name);
        kal_json_end_object(w);
    }
    if (!kal_type_equal(before->type, after->type)) {
        begin_change(w, "type", after->name);
        kal_json_key(w, "data_type");
        kal_type_write_json(after->type, w);
        kal_json_end_object(w);
    }
}

void live_query_write_changes(const live_query *before, const live_query *after, kal_json_writer *w)
{
    kal_json_key(w, "changes");
    kal_json_begin_array(w);
    for (size_t i = 0; i < before->plan.item_count; i++) {
        const kal_live_item *item = &before->plan.items[i];
        if (find_same_item(after, before, item) == NULL) {
            begin_change(w, "removed", item->name);
            kal_json_end_object(w);
        }
    }
    for (size_t i = 0; i < after->plan.item_count; i++) {
        const kal_live_item *item = &after->plan.items[i];
        const kal_live_item *old = find_same_item(before, after, item);
        if (old == NULL)
            write_added(after, item, w);
        else
            write_kept(old, item, w);
    }
    kal_json_end_array(w);
}
