/*
 * parser_live.c: live queries: SUBSCRIBE TO, SUBSCRIBE SCHEMA, EXPLAIN LIVE, and the text of a
 * query that a client subscribes to.
 *
 * A live query is a SELECT of one table, read by the SELECT's own grammar. Nothing falls back to
 * DuckDB here, so what a SELECT could have and a live query cannot is told by its name: when the
 * grammar stops, the token at which it stopped says which clause it is.
 */
#include "base/assert.h"
#include "sql/parser_internal.h"

kal_bytes kal_sql_live_source(const kal_sql_live *live, const kal_sql_expr *expr)
{
    KAL_ASSERT(expr->start >= live->source_position);
    KAL_ASSERT(expr->end >= expr->start);
    KAL_ASSERT(expr->end - live->source_position <= live->source.len);
    return kal_bytes_of(live->source.ptr + (expr->start - live->source_position),
                        expr->end - expr->start);
}

/* --- what a live query cannot have --- */

static bool refuse(kal_parser *p, uint32_t position, const char *clause)
{
    kal_parser_fail(p, KAL_SYNTAX, position, "a live query cannot have %s", clause);
    kal_error_hint(&p->error, "it is SELECT items FROM table [WHERE ...] [GROUP BY ...] "
                              "[ORDER BY ... LIMIT n] [OPTIONS (...)]");
    return false;
}

/* The clause that begins with the current token; NULL: none that a SELECT has. */
static const char *clause_here(const kal_parser *p)
{
    static const struct {
        kal_sql_keyword keyword;
        const char *clause;
    } CLAUSES[] = {
        {KAL_KW_JOIN, "a JOIN"},          {KAL_KW_INNER, "a JOIN"},
        {KAL_KW_LEFT, "a JOIN"},          {KAL_KW_RIGHT, "a JOIN"},
        {KAL_KW_FULL, "a JOIN"},          {KAL_KW_CROSS, "a JOIN"},
        {KAL_KW_NATURAL, "a JOIN"},       {KAL_KW_ASOF, "a JOIN"},
        {KAL_KW_POSITIONAL, "a JOIN"},    {KAL_KW_SEMI, "a JOIN"},
        {KAL_KW_ANTI, "a JOIN"},          {KAL_KW_LATERAL, "a JOIN"},
        {KAL_KW_HAVING, "a HAVING"},      {KAL_KW_QUALIFY, "a QUALIFY"},
        {KAL_KW_WINDOW, "a WINDOW"},      {KAL_KW_OVER, "a window function"},
        {KAL_KW_FILTER, "a FILTER"},      {KAL_KW_WITHIN, "a WITHIN GROUP"},
        {KAL_KW_UNION, "a UNION"},        {KAL_KW_INTERSECT, "an INTERSECT"},
        {KAL_KW_EXCEPT, "an EXCEPT"},     {KAL_KW_OFFSET, "an OFFSET"},
        {KAL_KW_FETCH, "a FETCH"},        {KAL_KW_FOR, "a FOR"},
        {KAL_KW_INTO, "an INTO"},         {KAL_KW_USING, "a USING"},
        {KAL_KW_TABLESAMPLE, "a sample"}, {KAL_KW_SELECT, "a sub-select"},
        {KAL_KW_VALUES, "VALUES"},        {KAL_KW_PIVOT, "a PIVOT"},
        {KAL_KW_UNPIVOT, "an UNPIVOT"},   {KAL_KW_DISTINCT, "a DISTINCT"},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(CLAUSES); i++)
        if (kal_parser_at_keyword(p, CLAUSES[i].keyword))
            return CLAUSES[i].clause;
    if (kal_parser_at(p, KAL_TOKEN_LEFT) && p->next.keyword == KAL_KW_SELECT)
        return "a sub-select";
    return NULL;
}

/* Gives a failure of the SELECT's grammar the name of the clause at which it stopped. */
static bool explain(kal_parser *p)
{
    const char *clause = clause_here(p);
    if (!kal_parser_failed_soft(p))
        return false;
    if (clause == NULL) {
        if (p->error.hint[0] == '\0')
            kal_error_hint(&p->error, "a live query is SELECT items FROM table [WHERE ...] "
                                      "[GROUP BY ...] [ORDER BY ... LIMIT n] [OPTIONS (...)]");
        return false;
    }
    p->status = KAL_OK;
    p->error = KAL_ERROR_INIT;
    uint32_t position = kal_parser_position(p, p->token.start);
    if (kal_parser_at_keyword(p, KAL_KW_DISTINCT))
        return kal_parser_fail(p, KAL_UNSUPPORTED, position,
                               "a live query cannot have an aggregate of DISTINCT values");
    return refuse(p, position, clause);
}

/* --- options --- */

static bool read_count(kal_parser *p, const kal_sql_option *o, uint64_t least, uint64_t most,
                       uint64_t *out)
{
    if (o->kind == KAL_SQL_OPTION_INTEGER && o->integer >= 0 && (uint64_t)o->integer >= least &&
        (uint64_t)o->integer <= most) {
        *out = (uint64_t)o->integer;
        return true;
    }
    return kal_parser_fail(
        p, KAL_SYNTAX, o->value_position, "option %.*s takes a whole number from %llu to %llu",
        KAL_PARSER_SHOWN(o->name), (unsigned long long)least, (unsigned long long)most);
}

static bool read_on_slow(kal_parser *p, const kal_sql_option *o, kal_sql_live_options *out)
{
    static const char *const WORDS[] = {[KAL_SQL_ON_SLOW_PAUSE] = "pause",
                                        [KAL_SQL_ON_SLOW_COALESCE] = "coalesce",
                                        [KAL_SQL_ON_SLOW_CLOSE] = "close"};
    bool is_text = o->kind == KAL_SQL_OPTION_STRING || o->kind == KAL_SQL_OPTION_WORD;
    for (size_t i = 1; i < KAL_ARRAY_LEN(WORDS) && is_text; i++) {
        if (kal_bytes_equal_nocase(o->text, kal_cstr(WORDS[i]))) {
            out->on_slow = (kal_sql_on_slow)i;
            return true;
        }
    }
    return kal_parser_fail(p, KAL_SYNTAX, o->value_position,
                           "option on_slow is 'pause', 'coalesce' or 'close'");
}

static bool read_option(kal_parser *p, const kal_sql_option *o, kal_sql_live_options *out)
{
    static const char *const NAMES[] = {"last_rows", "batch_size", "from", "on_slow", "hash", NULL};
    if (kal_bytes_equal(o->name, KAL_STR("last_rows"))) {
        out->has_last_rows = true;
        return read_count(p, o, 0, UINT32_MAX, &out->last_rows);
    }
    if (kal_bytes_equal(o->name, KAL_STR("batch_size"))) {
        out->has_batch_size = true;
        return read_count(p, o, 1, UINT32_MAX, &out->batch_size);
    }
    if (kal_bytes_equal(o->name, KAL_STR("from")) ||
        kal_bytes_equal(o->name, KAL_STR("from_seq_id"))) {
        if (out->has_from)
            return kal_parser_fail(p, KAL_SYNTAX, o->position, "option 'from' is given twice");
        out->has_from = true;
        return read_count(p, o, 0, UINT64_C(1) << 53, &out->from);
    }
    if (kal_bytes_equal(o->name, KAL_STR("on_slow")))
        return read_on_slow(p, o, out);
    if (!kal_bytes_equal(o->name, KAL_STR("hash"))) {
        kal_parser_fail(p, KAL_SYNTAX, o->position, "unknown option '%.*s' of a live query",
                        KAL_PARSER_SHOWN(o->name));
        kal_parser_hint_near(p, o->name, NAMES);
        return false;
    }
    out->hash = o->boolean;
    return o->kind == KAL_SQL_OPTION_BOOLEAN ||
           kal_parser_fail(p, KAL_SYNTAX, o->value_position, "option hash is TRUE or FALSE");
}

/* [OPTIONS (...) | WITH (...)], then the end. */
static bool parse_options(kal_parser *p, kal_sql_live *live)
{
    kal_sql_option *options = NULL;
    size_t count = 0;
    bool given = kal_parser_at_keyword(p, KAL_KW_WITH) || kal_parser_at_word(p, "OPTIONS");
    if (given) {
        live->options.position = kal_parser_position(p, p->token.start);
        kal_parser_advance(p);
        if (!kal_parse_options(p, &options, &count))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!read_option(p, &options[i], &live->options))
            return false;
    return kal_parser_expect_end(p, NULL) || explain(p);
}

/* --- SELECT --- */

static bool parse_group_by(kal_parser *p, kal_sql_live *live)
{
    size_t begin = kal_parser_list_begin(p);
    void **items = NULL;
    if (!kal_parser_accept_keyword(p, KAL_KW_GROUP))
        return p->status == KAL_OK;
    if (!kal_parser_expect_keyword(p, KAL_KW_BY, "after GROUP"))
        return false;
    if (kal_parser_at_keyword(p, KAL_KW_ALL))
        return refuse(p, kal_parser_position(p, p->token.start), "a GROUP BY ALL");
    do {
        if (!kal_parser_list_push(p, kal_parse_expr(p)))
            return false;
    } while (kal_parser_accept(p, KAL_TOKEN_COMMA));
    if (p->status != KAL_OK || !kal_parser_list_end(p, begin, &items, &live->group_by.count))
        return false;
    live->group_by.items = (kal_sql_expr **)items;
    return true;
}

/* Which rows a LIMIT keeps has to be said, and an order is kept up only for few rows. */
static bool check_order(kal_parser *p, const kal_sql_select *select)
{
    if (select->offset != NULL)
        return refuse(p, select->offset->position, "an OFFSET");
    if (select->order_by_count > 0 && select->limit == NULL)
        return refuse(p, select->order_by[0].expr->position, "an ORDER BY without a LIMIT");
    if (select->order_by_count == 0 && select->limit != NULL)
        return refuse(p, select->limit->position, "a LIMIT without an ORDER BY");
    return true;
}

static bool parse_select_clauses(kal_parser *p, kal_sql_live *live)
{
    if (!kal_parse_select_rows(p, &live->select))
        return false;
    if (!live->select.has_from)
        return kal_parser_expected(p, "FROM after the items");
    if (kal_parser_at(p, KAL_TOKEN_COMMA) && live->select.where == NULL)
        return refuse(p, kal_parser_position(p, p->token.start), "a JOIN");
    return parse_group_by(p, live) && kal_parse_select_order(p, &live->select) &&
           check_order(p, &live->select);
}

/* From SELECT on. */
static bool parse_live_select(kal_parser *p, kal_sql_live *live)
{
    uint32_t start = p->token.start;
    live->kind = KAL_SQL_LIVE_SELECT;
    live->select.is_simple = true;
    if (kal_parser_at_keyword(p, KAL_KW_WITH))
        return refuse(p, kal_parser_position(p, start), "a WITH");
    if (kal_parser_at_keyword(p, KAL_KW_SELECT) && p->next.keyword == KAL_KW_DISTINCT)
        return refuse(p, kal_parser_position(p, p->next.start), "a DISTINCT");
    if (!parse_select_clauses(p, live))
        return explain(p);
    live->text = kal_bytes_of(p->lexer.text + start, p->last_end - start);
    live->select.text = live->text;
    live->select.position = kal_parser_position(p, start);
    return parse_options(p, live);
}

/* --- SUBSCRIBE --- */

/* The * that SUBSCRIBE TO t means; its source is the table's name. */
static bool add_star(kal_parser *p, kal_sql_live *live, uint32_t start)
{
    kal_sql_expr *star = kal_parser_new_expr(p, KAL_SQL_EXPR_STAR, kal_parser_position(p, start));
    kal_sql_item *item = star == NULL ? NULL : kal_arena_try_alloc(p->arena, sizeof *item);
    if (item == NULL)
        return kal_parser_fail_memory(p);
    item->expr = star;
    live->select.items = (kal_sql_items){item, 1};
    return true;
}

/* "SELECT * FROM " and the source from the table's name on. */
static bool write_select(kal_parser *p, kal_sql_live *live, uint32_t start)
{
    static const char HEAD[] = "SELECT * FROM ";
    size_t head = sizeof HEAD - 1;
    size_t len = p->last_end - start;
    uint8_t *text = kal_arena_try_alloc(p->arena, head + len);
    if (text == NULL)
        return kal_parser_fail_memory(p);
    memcpy(text, HEAD, head);
    memcpy(text + head, p->lexer.text + start, len);
    live->text = kal_bytes_of(text, head + len);
    live->select.text = live->text;
    live->select.position = kal_parser_position(p, start);
    return true;
}

/* table [alias] [WHERE ...] */
static bool parse_table(kal_parser *p, kal_sql_live *live)
{
    uint32_t start = p->token.start;
    live->kind = KAL_SQL_LIVE_SELECT;
    live->select.is_simple = true;
    if (!kal_parse_select_table(p, &live->select) || !add_star(p, live, start) ||
        !kal_parse_select_where(p, &live->select))
        return explain(p);
    return write_select(p, live, start) && parse_options(p, live);
}

/* * | ns | ns.t; text_start: of SUBSCRIBE */
static bool parse_schema(kal_parser *p, kal_sql_live *live, uint32_t text_start)
{
    if (kal_parser_accept(p, KAL_TOKEN_STAR)) {
        live->kind = KAL_SQL_LIVE_SCHEMA_ALL;
    } else {
        if (!kal_parser_object(p, "a table, a namespace or * after SUBSCRIBE SCHEMA",
                               &live->target))
            return false;
        live->kind = kal_sql_name_given(live->target.namespace_name)
                         ? KAL_SQL_LIVE_SCHEMA_TABLE
                         : KAL_SQL_LIVE_SCHEMA_NAMESPACE;
    }
    live->text = kal_bytes_of(p->lexer.text + text_start, p->last_end - text_start);
    return parse_options(p, live);
}

/* From SUBSCRIBE on. */
static bool parse_subscribe(kal_parser *p, kal_sql_live *live)
{
    static const char *const WORDS[] = {"TO", "SCHEMA", NULL};
    uint32_t start = p->token.start;
    kal_parser_advance(p);
    if (kal_parser_at_word(p, "SCHEMA")) {
        kal_parser_advance(p);
        return parse_schema(p, live, start);
    }
    if (!kal_parser_accept_keyword(p, KAL_KW_TO))
        return kal_parser_expected_words(p, "TO or SCHEMA after SUBSCRIBE", WORDS);
    if (kal_parser_at_keyword(p, KAL_KW_SELECT) || kal_parser_at_keyword(p, KAL_KW_WITH))
        return parse_live_select(p, live);
    return parse_table(p, live);
}

/* --- entry points --- */

static void begin(const kal_parser *p, kal_sql_live *live)
{
    *live = (kal_sql_live){.source = kal_bytes_of(p->lexer.text, p->lexer.len),
                           .source_position = p->base};
}

bool kal_parse_subscribe(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_SUBSCRIBE;
    begin(p, &statement->live);
    if (!parse_subscribe(p, &statement->live))
        return false;
    statement->live.param_max = p->param_max;
    return true;
}

bool kal_parse_explain_live(kal_parser *p, kal_sql_statement *statement)
{
    statement->kind = KAL_STMT_EXPLAIN_LIVE;
    begin(p, &statement->live);
    if (!parse_live_select(p, &statement->live))
        return false;
    statement->live.param_max = p->param_max;
    return true;
}

/* The only statement of the text. */
static kal_status only_piece(kal_bytes text, kal_arena *arena, kal_sql_piece *piece_out,
                             kal_error *err)
{
    kal_sql_pieces pieces;
    KAL_TRY(kal_sql_split(text, arena, &pieces, err));
    if (pieces.count == 1) {
        *piece_out = pieces.items[0];
        return KAL_OK;
    }
    kal_error_set(err, KAL_SYNTAX, "a live query is one statement, the text has %zu", pieces.count);
    kal_error_at(err, pieces.count == 0 ? 0 : pieces.items[1].position);
    return KAL_SYNTAX;
}

kal_status kal_sql_parse_live(kal_bytes text, kal_arena *arena, kal_sql_live *live_out,
                              kal_error *err)
{
    kal_parser p;
    kal_sql_piece piece;
    *live_out = (kal_sql_live){0};
    KAL_TRY(only_piece(text, arena, &piece, err));
    kal_parser_init(&p, piece.text, piece.position, arena);
    begin(&p, live_out);
    bool is_subscribe = kal_parser_at_word(&p, "SUBSCRIBE");
    if (p.status == KAL_OK &&
        (is_subscribe ? parse_subscribe(&p, live_out) : parse_live_select(&p, live_out)) &&
        p.status == KAL_OK) {
        KAL_ASSERT(kal_parser_at(&p, KAL_TOKEN_END));
        KAL_ASSERT(p.nesting == 0);
        live_out->param_max = p.param_max;
        return KAL_OK;
    }
    KAL_ASSERT(p.status != KAL_OK);
    *live_out = (kal_sql_live){0};
    if (err != NULL)
        *err = p.error;
    return p.status;
}
