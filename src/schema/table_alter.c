#include "schema/table_alter.h"
#include "base/assert.h"
#include "types/text.h"
#include "types/widen.h"

typedef struct altering {
    const kal_table_definition *from;
    kal_table_definition *def; /* being changed; has room for every column that is added */
    kal_arena *arena;
    kal_altered *out;
} altering;

/* ---- columns by name ---- */

static kal_status no_such_column(const altering *a, kal_bytes name, kal_error *err)
{
    kal_bytes near = kal_table_definition_near(a->def, name);

    kal_error_set(err, KAL_NOT_FOUND, "column '%.*s' does not exist", KAL_FMT(name));
    kal_error_code(err, "COLUMN_NOT_FOUND");
    if (near.len > 0)
        kal_error_hint(err, "did you mean '%.*s'?", KAL_FMT(near));
    return KAL_NOT_FOUND;
}

/* Column names are unique whatever their case. */
static const kal_column *find_any_case(const kal_table_definition *def, kal_bytes name)
{
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (kal_bytes_equal_nocase(def->columns[i].name, name))
            return &def->columns[i];
    }
    return NULL;
}

static kal_status column_exists(kal_bytes name, kal_error *err)
{
    kal_error_set(err, KAL_EXISTS, "column '%.*s' already exists", KAL_FMT(name));
    kal_error_code(err, "COLUMN_EXISTS");
    return KAL_EXISTS;
}

/* *column_out is NULL, and all is well, when it is missing and may be. */
static kal_status find_column(altering *a, const kal_alter *step, kal_column **column_out,
                              kal_error *err)
{
    int at = kal_table_definition_find(a->def, step->column);

    *column_out = at < 0 ? NULL : &a->def->columns[at];
    if (at >= 0 || step->if_exists)
        return KAL_OK;
    return no_such_column(a, step->column, err);
}

/* Its number in the version that we come from; NULL: added in this statement. */
static const kal_column *before(const altering *a, const kal_column *column)
{
    for (uint32_t i = 0; i < a->from->column_count; i++) {
        if (a->from->columns[i].column_id == column->column_id)
            return &a->from->columns[i];
    }
    return NULL;
}

/* ---- adding and dropping ---- */

static kal_status check_added(const altering *a, const kal_column *column, kal_error *err)
{
    uint32_t ordinal = column->ordinal_position;

    if (a->def->column_count >= KAL_COLUMNS_MAX)
        return kal_error_set(err, KAL_INVALID, "table '%.*s' already has %d columns",
                             KAL_FMT(a->def->table_name), KAL_COLUMNS_MAX);
    if (a->def->ordinal_max == UINT32_MAX || a->def->column_id_max == UINT32_MAX)
        return kal_error_set(err, KAL_LIMIT, "table '%.*s' has no column numbers left",
                             KAL_FMT(a->def->table_name));
    if (ordinal != 0 && ordinal != a->def->ordinal_max + 1)
        return kal_error_set(err, KAL_INVALID,
                             "column '%.*s' must take ordinal position %u, got %u",
                             KAL_FMT(column->name), a->def->ordinal_max + 1, ordinal);
    if (column->is_primary_key)
        return kal_error_set(err, KAL_INVALID,
                             "column '%.*s' cannot join the primary key of an existing table",
                             KAL_FMT(column->name));
    return KAL_OK;
}

static kal_status add_column(altering *a, const kal_alter *step, kal_error *err)
{
    kal_table_definition *def = a->def;
    kal_column *added = &def->columns[def->column_count];

    if (find_any_case(def, step->added.name) != NULL)
        return step->if_exists ? KAL_OK : column_exists(step->added.name, err);
    KAL_TRY(check_added(a, &step->added, err));
    KAL_TRY(kal_column_copy(&step->added, a->arena, added, err));
    added->name = kal_arena_copy(a->arena, step->added.name);
    added->ordinal_position = ++def->ordinal_max;
    added->column_id = ++def->column_id_max;
    def->column_count++;
    return KAL_OK;
}

static kal_status drop_column(altering *a, const kal_alter *step, kal_error *err)
{
    kal_table_definition *def = a->def;
    kal_column *column = NULL;

    KAL_TRY(find_column(a, step, &column, err));
    if (column == NULL)
        return KAL_OK;
    if (column->is_primary_key)
        return kal_error_set(err, KAL_INVALID, "key column '%.*s' cannot be dropped",
                             KAL_FMT(step->column));
    if (def->column_count == 1)
        return kal_error_set(err, KAL_INVALID, "the last column '%.*s' cannot be dropped",
                             KAL_FMT(step->column));
    uint32_t dropped = (uint32_t)(column - def->columns);
    def->column_count--;
    memmove(column, column + 1, (def->column_count - dropped) * sizeof *column);
    for (uint32_t k = 0; k < def->key_column_count; k++)
        def->key_columns[k] -= def->key_columns[k] > dropped;
    return KAL_OK;
}

/* ---- changing ---- */

static kal_status rename_column(altering *a, const kal_alter *step, kal_error *err)
{
    kal_column *column = NULL;

    KAL_TRY(find_column(a, step, &column, err));
    if (column == NULL)
        return KAL_OK;
    const kal_column *other = find_any_case(a->def, step->new_name);
    if (other != NULL && other != column)
        return column_exists(step->new_name, err);
    column->name = kal_arena_copy(a->arena, step->new_name);
    return KAL_OK;
}

static kal_status not_widening(const kal_column *column, kal_type to, kal_error *err)
{
    char old_name[KAL_TYPE_NAME_BYTES];
    char new_name[KAL_TYPE_NAME_BYTES];

    kal_error_set(err, KAL_INVALID, "column '%.*s' cannot change from %s to %s: %s",
                  KAL_FMT(column->name), kal_type_name(column->type, old_name),
                  kal_type_name(to, new_name),
                  kal_type_widens(to, column->type) ? "values could be lost"
                                                    : "the types do not widen to one another");
    kal_error_code(err, "LOSSY_TYPE_CHANGE");
    kal_error_hint(err, "possible are %s to %s to %s, %s to %s, %s to %s, more digits of a %s",
                   kal_type_base_name(KAL_TYPE_SMALLINT), kal_type_base_name(KAL_TYPE_INT),
                   kal_type_base_name(KAL_TYPE_BIGINT), kal_type_base_name(KAL_TYPE_FLOAT),
                   kal_type_base_name(KAL_TYPE_DOUBLE), kal_type_base_name(KAL_TYPE_DATE),
                   kal_type_base_name(KAL_TYPE_TIMESTAMP), kal_type_base_name(KAL_TYPE_DECIMAL));
    return KAL_INVALID;
}

static void set_default_of(altering *a, kal_column *column, const kal_column_default *def)
{
    kal_column_default *kept = KAL_NEW(a->arena, kal_column_default);
    *kept = *def;
    column->default_value = def->kind == KAL_DEFAULT_NONE ? NULL : kept;
}

static kal_status set_type(altering *a, const kal_alter *step, kal_error *err)
{
    kal_column *column = NULL;

    KAL_TRY(find_column(a, step, &column, err));
    if (column == NULL || kal_type_equal(column->type, step->type))
        return KAL_OK;
    if (!kal_type_widens(column->type, step->type))
        return not_widening(column, step->type, err);
    if (column->is_primary_key)
        return kal_error_set(err, KAL_INVALID,
                             "the type of key column '%.*s' cannot change: rows are stored under "
                             "their keys",
                             KAL_FMT(column->name));
    column->type = step->type;
    kal_column_default def = *kal_column_default_of(column);
    if (def.kind == KAL_DEFAULT_LITERAL) {
        kal_value_widen(&def.literal, step->type, &def.literal);
        set_default_of(a, column, &def);
    }
    if (column->initial_default != NULL) {
        kal_value *initial = KAL_NEW(a->arena, kal_value);
        kal_value_widen(column->initial_default, step->type, initial);
        column->initial_default = initial;
    }
    return KAL_OK;
}

static kal_status set_nullable(altering *a, const kal_alter *step, kal_error *err)
{
    bool nullable = step->kind == KAL_ALTER_DROP_NOT_NULL;
    kal_column *column = NULL;

    KAL_TRY(find_column(a, step, &column, err));
    if (column == NULL)
        return KAL_OK;
    if (nullable && column->is_primary_key)
        return kal_error_set(err, KAL_INVALID, "key column '%.*s' cannot be nullable",
                             KAL_FMT(column->name));
    column->is_nullable = nullable;
    return KAL_OK;
}

static kal_status set_default(altering *a, const kal_alter *step, kal_error *err)
{
    kal_error inner = KAL_ERROR_INIT;
    kal_column *column = NULL;
    kal_column_default def = step->default_value;

    KAL_TRY(find_column(a, step, &column, err));
    if (column == NULL)
        return KAL_OK;
    if (def.kind == KAL_DEFAULT_LITERAL) {
        kal_value cast;
        kal_status status = kal_value_assign(&def.literal, column->type, a->arena, &cast, &inner);
        if (status != KAL_OK)
            return kal_error_set(err, status, "DEFAULT of column '%.*s': %s", KAL_FMT(column->name),
                                 inner.message);
        if (!kal_value_copy(&cast, a->arena, &def.literal))
            return kal_error_set(err, KAL_LIMIT, "DEFAULT of column '%.*s' is too large",
                                 KAL_FMT(column->name));
    }
    set_default_of(a, column, &def);
    return KAL_OK;
}

static kal_status comment_column(altering *a, const kal_alter *step, kal_error *err)
{
    kal_column *column = NULL;

    KAL_TRY(find_column(a, step, &column, err));
    if (column != NULL)
        column->comment =
            step->comment.ptr == NULL ? (kal_bytes){0} : kal_arena_copy(a->arena, step->comment);
    return KAL_OK;
}

static kal_status take_step(altering *a, const kal_alter *step, kal_error *err)
{
    switch (step->kind) {
    case KAL_ALTER_ADD_COLUMN:
        return add_column(a, step, err);
    case KAL_ALTER_DROP_COLUMN:
        return drop_column(a, step, err);
    case KAL_ALTER_RENAME_COLUMN:
        return rename_column(a, step, err);
    case KAL_ALTER_SET_TYPE:
        return set_type(a, step, err);
    case KAL_ALTER_SET_NOT_NULL:
    case KAL_ALTER_DROP_NOT_NULL:
        return set_nullable(a, step, err);
    case KAL_ALTER_SET_DEFAULT:
        return set_default(a, step, err);
    case KAL_ALTER_COMMENT_COLUMN:
        return comment_column(a, step, err);
    case KAL_ALTER_COMMENT_TABLE:
        a->def->comment =
            step->comment.ptr == NULL ? (kal_bytes){0} : kal_arena_copy(a->arena, step->comment);
        return KAL_OK;
    case KAL_ALTER_RENAME_TABLE:
        a->def->table_name = kal_arena_copy(a->arena, step->new_name);
        return KAL_OK;
    case KAL_ALTER_SET_OPTION:
        return kal_table_options_set(&a->def->options, step->option, &step->option_value, err);
    }
    return kal_error_set(err, KAL_INTERNAL, "unknown kind %d of a schema change", (int)step->kind);
}

/* ---- what rows must fulfil ---- */

static void collect_conditions(altering *a)
{
    kal_altered *out = a->out;
    out->not_null_ids =
        kal_arena_alloc(a->arena, (a->def->column_count + 1) * sizeof *out->not_null_ids);
    for (uint32_t i = 0; i < a->def->column_count; i++) {
        const kal_column *column = &a->def->columns[i];
        const kal_column *old = before(a, column);
        if (column->is_nullable)
            continue;
        if (old == NULL)
            out->needs_empty = out->needs_empty || column->initial_default == NULL;
        else if (old->is_nullable)
            out->not_null_ids[out->not_null_count++] = column->column_id;
    }
}

static size_t count_added(const kal_alter *steps, size_t count)
{
    size_t added = 0;
    for (size_t i = 0; i < count; i++)
        added += steps[i].kind == KAL_ALTER_ADD_COLUMN;
    return added;
}

kal_status kal_table_alter(const kal_table_definition *def, const kal_alter *steps, size_t count,
                           int64_t now_us, kal_arena *arena, kal_altered *out, size_t *failed_out,
                           kal_error *err)
{
    altering a = {.from = def, .arena = arena, .out = out};

    *out = (kal_altered){0};
    a.def = kal_table_definition_copy(def, count_added(steps, count), arena);
    for (size_t i = 0; i < count; i++) {
        *failed_out = i;
        KAL_TRY(take_step(&a, &steps[i], err));
    }
    *failed_out = count;
    kal_schema_diff(def, a.def, arena, &out->changes);
    out->def = a.def;
    if (out->changes.len == 0)
        return KAL_OK;
    if (def->schema_version == UINT32_MAX)
        return kal_error_set(err, KAL_LIMIT, "table '%.*s' has no schema versions left",
                             KAL_FMT(def->table_name));
    a.def->schema_version++;
    a.def->updated_at_us = now_us;
    KAL_TRY(kal_table_definition_validate(a.def, err));
    collect_conditions(&a);
    return KAL_OK;
}

/* ---- one step ---- */

static kal_status alter_once(const kal_table_definition *def, const kal_alter *step, int64_t now_us,
                             kal_arena *arena, kal_table_definition **out, kal_error *err)
{
    kal_altered altered;
    size_t failed = 0;

    *out = NULL;
    KAL_TRY(kal_table_alter(def, step, 1, now_us, arena, &altered, &failed, err));
    *out = altered.def;
    return KAL_OK;
}

kal_status kal_table_definition_add_column(const kal_table_definition *def,
                                           const kal_column *column, int64_t now_us,
                                           kal_arena *arena, kal_table_definition **out,
                                           kal_error *err)
{
    kal_alter step = {.kind = KAL_ALTER_ADD_COLUMN, .added = *column};
    return alter_once(def, &step, now_us, arena, out, err);
}

kal_status kal_table_definition_drop_column(const kal_table_definition *def, kal_bytes name,
                                            int64_t now_us, kal_arena *arena,
                                            kal_table_definition **out, kal_error *err)
{
    kal_alter step = {.kind = KAL_ALTER_DROP_COLUMN, .column = name};
    return alter_once(def, &step, now_us, arena, out, err);
}
