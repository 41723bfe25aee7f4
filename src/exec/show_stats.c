/*
 * show_stats.c: SHOW STATS FOR TABLE: what there is to say of one table, in rows of name and value.
 *
 * Who may read the table may ask. Of a USER or STREAM table everybody sees the size of his own
 * partition; dba and system see all partitions together, of which the statistic "scope" tells.
 */
#include "base/assert.h"
#include "catalog/system_tables.h"
#include "exec/ddl.h"
#include "types/text.h"

#include <inttypes.h>

/* Counted one by one, about a second; a table with more rows is estimated. */
enum { COUNTED_ROWS_MAX = 1000000 };

typedef struct table_stats {
    kal_run *run;
    kal_table *table;
    bool is_partition; /* the size below is the caller's own partition's */
    kal_table_size size;
    kal_bytes location;             /* of the rows that leave the hot store */
    size_t segment_count;           /* that may hold rows of the scope */
    const kal_segment_info *newest; /* of these; NULL: none */
    kal_status status;              /* of writing rows: after a failure the rest is ignored */
    kal_error *err;
} table_stats;

/* Those that may hold rows that are the caller's to see. */
static kal_status read_segments(table_stats *s, kal_error *err)
{
    kal_segment *const *segments = NULL;
    uint64_t user_no = kal_table_user_no(s->table, s->run->view->user_no);
    size_t count = 0;

    KAL_TRY(kal_view_segments(s->run->view, s->table, &segments, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!kal_segment_may_hold(segments[i], !s->is_partition, user_no, (kal_bytes){0},
                                  (kal_bytes){0}))
            continue;
        if (s->segment_count++ == 0)
            s->newest = &segments[i]->info;
    }
    return KAL_OK;
}

static kal_status read_size(table_stats *s, kal_error *err)
{
    kal_run *run = s->run;
    bool sees_all = run->principal->role >= KAL_ROLE_DBA;
    kal_system_rows rows;

    if (s->table->def->table_type == KAL_TABLE_SYSTEM) {
        KAL_TRY(kal_run_system_rows(run, s->table, &rows, err));
        s->size.row_count = rows.row_count; /* made when read: nothing is stored of them */
        return KAL_OK;
    }
    s->is_partition = s->table->def->table_type != KAL_TABLE_SHARED && !sees_all;
    KAL_TRY(read_segments(s, err));
    return kal_view_size(run->view, s->table, !s->is_partition, COUNTED_ROWS_MAX, kal_run_time_hook,
                         run, &s->size, err);
}

/* ---- rows ---- */

static void add(table_stats *s, const char *statistic, kal_bytes value)
{
    const kal_value row[] = {
        kal_value_text(kal_cstr(statistic)),
        value.ptr == NULL ? kal_value_null(kal_type_of(KAL_TYPE_TEXT)) : kal_value_text(value),
    };
    if (s->status == KAL_OK)
        s->status = kal_result_row(s->run->result, row, KAL_ARRAY_LEN(row), s->err);
}

static void add_count(table_stats *s, const char *statistic, uint64_t count)
{
    add(s, statistic, kal_cstr(kal_arena_printf(s->run->arena, "%" PRIu64, count)));
}

static void add_time(table_stats *s, const char *statistic, int64_t us)
{
    kal_buf text; /* owned */
    kal_value value = kal_value_integer(KAL_TYPE_TIMESTAMP, us);

    kal_buf_init(&text, NULL);
    kal_value_to_text(&value, &text);
    add(s, statistic, kal_buf_bytes(&text));
    kal_buf_release(&text);
}

/* The original's ten. */
static void add_original(table_stats *s)
{
    const kal_table_definition *def = s->table->def;
    bool is_stored = def->table_type != KAL_TABLE_SYSTEM;

    add(s, "table_name", def->table_name);
    add(s, "namespace", def->namespace_id);
    add(s, "table_type", kal_cstr(kal_table_type_name(def->table_type)));
    add_count(s, "schema_version", def->schema_version);
    add(s, kal_system_column_name(KAL_SYSTEM_TABLES, KAL_TABLES_STORAGE_LOCATION), s->location);
    add_time(s, "created_at", def->created_at_us);
    add_count(s, "buffered_rows", is_stored ? s->size.stored_count - s->size.cold_count : 0);
    /* How many rows others had is none of a user's business. */
    add_count(s, "last_flush_rows",
              s->newest == NULL || s->is_partition ? 0 : s->newest->row_count);
    add_count(s, "storage_bytes", s->size.bytes);
    if (s->newest == NULL)
        add(s, "last_flush_timestamp", KAL_STR("never"));
    else
        add_time(s, "last_flush_timestamp", s->newest->created_at_us);
}

/* Those of its newer versions, and what the numbers are of. */
static void add_newer(table_stats *s)
{
    bool is_stream = s->table->def->table_type == KAL_TABLE_STREAM;
    add_count(s, "logical_rows", s->size.row_count);
    add_count(s, "flushed_segments", s->segment_count);
    add_count(s, "active_streams", is_stream ? s->size.partition_count : 0);
    add(s, "scope", s->is_partition ? KAL_STR("own partition") : KAL_STR("table"));
    add(s, "row_count_is", s->size.is_estimate ? KAL_STR("estimate") : KAL_STR("exact"));
}

kal_status kal_run_show_stats(kal_run *run, kal_error *err)
{
    const kal_result_column columns[] = {
        {.name = KAL_STR("statistic"), .type = kal_type_of(KAL_TYPE_TEXT)},
        {.name = KAL_STR("value"), .type = kal_type_of(KAL_TYPE_TEXT)},
    };
    kal_table *table = NULL;

    KAL_TRY(kal_run_table(run, &run->statement->table.table, &table, err));
    KAL_TRY(kal_may_read(run->principal, table, err));
    KAL_TRY(kal_ddl_check_is_table(table, run->statement->table.table.name.position, err));
    table_stats s = {.run = run, .table = table, .err = err};
    KAL_TRY(read_size(&s, err));
    KAL_TRY(kal_table_storage_location(run->exec->catalog, NULL, table->def, run->arena,
                                       &s.location, err));
    kal_result_begin(run->result, columns, KAL_ARRAY_LEN(columns));
    add_original(&s);
    add_newer(&s);
    if (s.status == KAL_OK)
        kal_result_end(run->result);
    else
        kal_result_restart(run->result);
    return s.status;
}
