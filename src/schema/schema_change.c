#include "schema/schema_change.h"
#include "base/assert.h"
#include "schema/table_definition.h"
#include "types/text.h"

/* More than any change can have: columns, two changes each at most in practice, and options. */
enum { CHANGES_MAX = 16 * KAL_COLUMNS_MAX };

static const char *const NAMES[] = {
#define NAME(name, text) text,
    KAL_SCHEMA_CHANGE_LIST(NAME)
#undef NAME
};

const char *kal_schema_change_name(kal_schema_change_kind kind)
{
    KAL_ASSERT(kind < KAL_SCHEMA_CHANGE_KINDS);
    return NAMES[kind];
}

/* ---- the difference of two versions ---- */

typedef struct differ {
    kal_arena *arena; /* without a budget: definitions are bounded */
    kal_schema_changes *out;
} differ;

static void add(differ *d, kal_schema_change change)
{
    bool added = kal_vec_try_push_in(d->arena, d->out, change);
    KAL_ASSERT(added);
}

/* The texts as SQL has them; each leaves the buffer empty. */
static kal_bytes take_text(differ *d, kal_buf *text)
{
    kal_bytes copy = kal_arena_copy(d->arena, kal_buf_bytes(text));
    kal_buf_release(text);
    return copy;
}

static kal_bytes column_sql(differ *d, const kal_column *column)
{
    kal_buf text;
    kal_buf_init(&text, NULL);
    kal_column_to_sql(column, &text);
    return take_text(d, &text);
}

static kal_bytes type_sql(differ *d, const kal_column *column)
{
    char name[KAL_TYPE_NAME_BYTES];
    return kal_arena_copy(d->arena, kal_cstr(kal_type_name(column->type, name)));
}

static kal_bytes default_sql(differ *d, const kal_column *column)
{
    kal_buf text;
    if (!kal_column_has_default(column))
        return (kal_bytes){0};
    kal_buf_init(&text, NULL);
    kal_column_default_to_sql(column->default_value, &text);
    return take_text(d, &text);
}

static kal_bytes comment_sql(differ *d, kal_bytes comment)
{
    kal_value value = kal_value_text(comment);
    kal_buf text;
    if (comment.ptr == NULL)
        return (kal_bytes){0};
    kal_buf_init(&text, NULL);
    kal_value_to_sql(&value, &text);
    return take_text(d, &text);
}

/* NULL and "" differ, so it is not kal_bytes_equal() alone. */
static bool same_text(kal_bytes a, kal_bytes b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && kal_bytes_equal(a, b);
}

/* hint: where it stands when nothing before it was dropped. */
static const kal_column *find_id(const kal_table_definition *def, uint32_t column_id, uint32_t hint)
{
    if (hint < def->column_count && def->columns[hint].column_id == column_id)
        return &def->columns[hint];
    for (uint32_t i = 0; i < def->column_count; i++) {
        if (def->columns[i].column_id == column_id)
            return &def->columns[i];
    }
    return NULL;
}

static void diff_column(differ *d, const kal_column *a, const kal_column *b)
{
    kal_schema_change change = {.column_id = a->column_id, .name = a->name};

    if (!kal_bytes_equal(a->name, b->name)) {
        change.kind = KAL_SCHEMA_RENAME_COLUMN;
        change.before = kal_arena_copy(d->arena, a->name);
        change.after = kal_arena_copy(d->arena, b->name);
        add(d, change);
        change.name = change.after; /* what follows is said of the new name */
    }
    if (!kal_type_equal(a->type, b->type)) {
        change.kind = KAL_SCHEMA_CHANGE_TYPE;
        change.before = type_sql(d, a);
        change.after = type_sql(d, b);
        add(d, change);
    }
    if (a->is_nullable != b->is_nullable) {
        change.kind = b->is_nullable ? KAL_SCHEMA_DROP_NOT_NULL : KAL_SCHEMA_SET_NOT_NULL;
        change.before = a->is_nullable ? KAL_STR("NULL") : KAL_STR("NOT NULL");
        change.after = b->is_nullable ? KAL_STR("NULL") : KAL_STR("NOT NULL");
        add(d, change);
    }
    change.before = default_sql(d, a);
    change.after = default_sql(d, b);
    if (!same_text(change.before, change.after)) {
        change.kind = change.after.ptr == NULL ? KAL_SCHEMA_DROP_DEFAULT : KAL_SCHEMA_SET_DEFAULT;
        add(d, change);
    }
    if (!same_text(a->comment, b->comment)) {
        change.kind = KAL_SCHEMA_COMMENT_COLUMN;
        change.before = comment_sql(d, a->comment);
        change.after = comment_sql(d, b->comment);
        add(d, change);
    }
}

static void diff_columns(differ *d, const kal_table_definition *from,
                         const kal_table_definition *to)
{
    for (uint32_t i = 0; i < from->column_count; i++) {
        const kal_column *a = &from->columns[i];
        if (find_id(to, a->column_id, i) == NULL)
            add(d, (kal_schema_change){.kind = KAL_SCHEMA_DROP_COLUMN,
                                       .column_id = a->column_id,
                                       .name = a->name,
                                       .before = column_sql(d, a)});
    }
    for (uint32_t i = 0; i < from->column_count; i++) {
        const kal_column *b = find_id(to, from->columns[i].column_id, i);
        if (b != NULL)
            diff_column(d, &from->columns[i], b);
    }
    for (uint32_t i = 0; i < to->column_count; i++) {
        const kal_column *b = &to->columns[i];
        if (find_id(from, b->column_id, i) == NULL)
            add(d, (kal_schema_change){.kind = KAL_SCHEMA_ADD_COLUMN,
                                       .column_id = b->column_id,
                                       .name = b->name,
                                       .after = column_sql(d, b)});
    }
}

static void diff_options(differ *d, const kal_table_options *from, const kal_table_options *to)
{
    const char *name = NULL;
    for (size_t i = 0; i < kal_table_options_field_count(); i++) {
        kal_buf before;
        kal_buf after;
        kal_buf_init(&before, NULL);
        kal_buf_init(&after, NULL);
        if (kal_table_options_field_sql(from, i, &name, &before) &&
            kal_table_options_field_sql(to, i, &name, &after) &&
            !kal_bytes_equal(kal_buf_bytes(&before), kal_buf_bytes(&after)))
            add(d, (kal_schema_change){
                       .kind = KAL_SCHEMA_SET_OPTION,
                       .name = kal_cstr(name),
                       .before = kal_arena_copy(d->arena, kal_buf_bytes(&before)),
                       .after = kal_arena_copy(d->arena, kal_buf_bytes(&after)),
                   });
        kal_buf_release(&before);
        kal_buf_release(&after);
    }
}

void kal_schema_diff(const kal_table_definition *from, const kal_table_definition *to,
                     kal_arena *arena, kal_schema_changes *out)
{
    differ d = {arena, out};

    *out = (kal_schema_changes){0};
    if (!kal_bytes_equal(from->table_name, to->table_name))
        add(&d, (kal_schema_change){.kind = KAL_SCHEMA_RENAME_TABLE,
                                    .before = kal_arena_copy(arena, from->table_name),
                                    .after = kal_arena_copy(arena, to->table_name)});
    diff_columns(&d, from, to);
    if (!same_text(from->comment, to->comment))
        add(&d, (kal_schema_change){.kind = KAL_SCHEMA_COMMENT_TABLE,
                                    .before = comment_sql(&d, from->comment),
                                    .after = comment_sql(&d, to->comment)});
    diff_options(&d, &from->options, &to->options);
    if (from->view != NULL && to->view != NULL && !kal_view_query_equal(from->view, to->view))
        add(&d, (kal_schema_change){.kind = KAL_SCHEMA_SET_QUERY,
                                    .before = kal_arena_copy(arena, from->view->text),
                                    .after = kal_arena_copy(arena, to->view->text)});
}

kal_schema_changes kal_schema_changes_of(kal_schema_change_kind kind, kal_arena *arena)
{
    kal_schema_changes changes = {0};
    differ d = {arena, &changes};
    KAL_ASSERT(kind == KAL_SCHEMA_INITIAL || kind == KAL_SCHEMA_UPGRADE);
    add(&d, (kal_schema_change){.kind = kind});
    return changes;
}

/* ---- text ---- */

static void after_or_null(const kal_schema_change *change, kal_buf *out)
{
    if (change->after.ptr == NULL)
        kal_buf_append_cstr(out, "NULL");
    else
        kal_buf_append_bytes(out, change->after);
}

static void on_column(const kal_schema_change *change, const char *what, kal_buf *out)
{
    kal_buf_append_cstr(out, "ALTER COLUMN ");
    kal_identifier_to_sql(change->name, out);
    kal_buf_append_cstr(out, what);
}

void kal_schema_change_to_text(const kal_schema_change *change, kal_buf *out)
{
    switch (change->kind) {
    case KAL_SCHEMA_INITIAL:
        kal_buf_append_cstr(out, "Initial schema");
        return;
    case KAL_SCHEMA_UPGRADE:
        kal_buf_append_cstr(out, "Changed by an upgrade of the server");
        return;
    case KAL_SCHEMA_RENAME_TABLE:
        kal_buf_append_cstr(out, "RENAME TO ");
        kal_identifier_to_sql(change->after, out);
        return;
    case KAL_SCHEMA_ADD_COLUMN:
        kal_buf_append_cstr(out, "ADD COLUMN ");
        kal_buf_append_bytes(out, change->after);
        return;
    case KAL_SCHEMA_DROP_COLUMN:
        kal_buf_append_cstr(out, "DROP COLUMN ");
        kal_identifier_to_sql(change->name, out);
        return;
    case KAL_SCHEMA_RENAME_COLUMN:
        kal_buf_append_cstr(out, "RENAME COLUMN ");
        kal_identifier_to_sql(change->before, out);
        kal_buf_append_cstr(out, " TO ");
        kal_identifier_to_sql(change->after, out);
        return;
    case KAL_SCHEMA_CHANGE_TYPE:
        on_column(change, " TYPE ", out);
        kal_buf_append_bytes(out, change->after);
        return;
    case KAL_SCHEMA_SET_NOT_NULL:
        on_column(change, " SET NOT NULL", out);
        return;
    case KAL_SCHEMA_DROP_NOT_NULL:
        on_column(change, " DROP NOT NULL", out);
        return;
    case KAL_SCHEMA_SET_DEFAULT:
        on_column(change, " SET DEFAULT ", out);
        kal_buf_append_bytes(out, change->after);
        return;
    case KAL_SCHEMA_DROP_DEFAULT:
        on_column(change, " DROP DEFAULT", out);
        return;
    case KAL_SCHEMA_COMMENT_COLUMN:
        kal_buf_append_cstr(out, "COMMENT ON COLUMN ");
        kal_identifier_to_sql(change->name, out);
        kal_buf_append_cstr(out, " IS ");
        after_or_null(change, out);
        return;
    case KAL_SCHEMA_COMMENT_TABLE:
        kal_buf_append_cstr(out, "COMMENT ON TABLE IS ");
        after_or_null(change, out);
        return;
    case KAL_SCHEMA_SET_OPTION:
        kal_buf_append_cstr(out, "SET ");
        kal_buf_append_bytes(out, change->name);
        kal_buf_append_cstr(out, " = ");
        kal_buf_append_bytes(out, change->after);
        return;
    case KAL_SCHEMA_SET_QUERY:
        kal_buf_append_cstr(out, "AS ");
        kal_buf_append_bytes(out, change->after);
        return;
    case KAL_SCHEMA_CHANGE_KINDS:
        break;
    }
    KAL_ASSERT(false);
}

void kal_schema_changes_to_text(const kal_schema_changes *changes, kal_buf *out)
{
    for (size_t i = 0; i < changes->len; i++) {
        if (i > 0)
            kal_buf_append_cstr(out, "; ");
        kal_schema_change_to_text(&changes->items[i], out);
    }
}

/* ---- validation ---- */

static bool takes_column(kal_schema_change_kind kind)
{
    return kind >= KAL_SCHEMA_ADD_COLUMN && kind <= KAL_SCHEMA_COMMENT_COLUMN;
}

static bool needs_after(kal_schema_change_kind kind)
{
    return kind == KAL_SCHEMA_RENAME_TABLE || kind == KAL_SCHEMA_ADD_COLUMN ||
           kind == KAL_SCHEMA_RENAME_COLUMN || kind == KAL_SCHEMA_CHANGE_TYPE ||
           kind == KAL_SCHEMA_SET_DEFAULT || kind == KAL_SCHEMA_SET_OPTION ||
           kind == KAL_SCHEMA_SET_QUERY;
}

static bool is_valid(const kal_schema_change *change)
{
    kal_schema_change_kind kind = change->kind;
    return kind < KAL_SCHEMA_CHANGE_KINDS && (change->column_id != 0) == takes_column(kind) &&
           (change->name.ptr != NULL) == (takes_column(kind) || kind == KAL_SCHEMA_SET_OPTION) &&
           (!needs_after(kind) || change->after.ptr != NULL) &&
           (kind != KAL_SCHEMA_RENAME_COLUMN || change->before.ptr != NULL) &&
           kal_utf8_valid(change->name) && kal_utf8_valid(change->before) &&
           kal_utf8_valid(change->after);
}

kal_status kal_schema_changes_validate(const kal_schema_changes *changes, kal_error *err)
{
    for (size_t i = 0; i < changes->len; i++) {
        if (!is_valid(&changes->items[i]))
            return kal_error_set(err, KAL_INVALID, "change %zu of a schema version is not valid",
                                 i + 1);
    }
    return KAL_OK;
}

/* ---- JSON ---- */

static void write_text(const char *key, kal_bytes text, kal_json_writer *w)
{
    kal_json_key(w, key);
    if (text.ptr == NULL)
        kal_json_null(w);
    else
        kal_json_string(w, text);
}

void kal_schema_changes_write_json(const kal_schema_changes *changes, kal_json_writer *w)
{
    kal_json_begin_array(w);
    for (size_t i = 0; i < changes->len; i++) {
        const kal_schema_change *change = &changes->items[i];
        kal_json_begin_object(w);
        kal_json_key(w, "kind");
        kal_json_cstr(w, kal_schema_change_name(change->kind));
        kal_json_key(w, "column_id");
        kal_json_u64(w, change->column_id);
        write_text("name", change->name, w);
        write_text("before", change->before, w);
        write_text("after", change->after, w);
        kal_json_end_object(w);
    }
    kal_json_end_array(w);
}

static bool text_from_json(const kal_json *object, const char *key, kal_arena *arena,
                           kal_bytes *out)
{
    const kal_json *json = kal_json_find(object, key);
    *out = (kal_bytes){0};
    if (json == NULL || json->kind == KAL_JSON_NULL)
        return true;
    if (json->kind != KAL_JSON_STRING)
        return false;
    *out = kal_arena_copy(arena, json->text);
    return true;
}

static bool kind_from_json(const kal_json *json, kal_schema_change_kind *out)
{
    if (json == NULL || json->kind != KAL_JSON_STRING)
        return false;
    for (size_t i = 0; i < KAL_ARRAY_LEN(NAMES); i++) {
        if (kal_bytes_equal(json->text, kal_cstr(NAMES[i]))) {
            *out = (kal_schema_change_kind)i;
            return true;
        }
    }
    return false;
}

static bool change_from_json(const kal_json *json, kal_arena *arena, kal_schema_change *out)
{
    const kal_json *id = kal_json_find(json, "column_id");
    int64_t column_id = 0;

    *out = (kal_schema_change){0};
    if (json->kind != KAL_JSON_OBJECT || id == NULL || id->kind != KAL_JSON_NUMBER ||
        !kal_parse_i64(id->text, &column_id) || column_id < 0 || column_id > UINT32_MAX ||
        !kind_from_json(kal_json_find(json, "kind"), &out->kind))
        return false;
    out->column_id = (uint32_t)column_id;
    return text_from_json(json, "name", arena, &out->name) &&
           text_from_json(json, "before", arena, &out->before) &&
           text_from_json(json, "after", arena, &out->after);
}

kal_status kal_schema_changes_from_json(const kal_json *json, kal_arena *arena,
                                        kal_schema_changes *out, kal_error *err)
{
    *out = (kal_schema_changes){0};
    if (json == NULL || json->kind != KAL_JSON_ARRAY || json->len > CHANGES_MAX)
        return kal_error_set(err, KAL_INVALID, "the changes of a schema version must be an array");
    for (size_t i = 0; i < json->len; i++) {
        kal_schema_change change;
        if (!change_from_json(&json->items[i], arena, &change))
            return kal_error_set(err, KAL_INVALID, "change %zu of a schema version is not valid",
                                 i + 1);
        if (!kal_vec_try_push_in(arena, out, change))
            return kal_error_set(err, KAL_LIMIT, "the changes exceed the memory limit");
    }
    return kal_schema_changes_validate(out, err);
}

/* ---- binary: u32 count, then u8 kind, u32 column_id, three texts (u8 0 or 1 before each) ---- */

static void put_text(kal_buf *out, kal_bytes text)
{
    kal_buf_append_byte(out, text.ptr != NULL);
    if (text.ptr == NULL)
        return;
    kal_buf_append_le32(out, (uint32_t)text.len);
    kal_buf_append_bytes(out, text);
}

void kal_schema_changes_encode(const kal_schema_changes *changes, kal_buf *out)
{
    kal_buf_append_le32(out, (uint32_t)changes->len);
    for (size_t i = 0; i < changes->len; i++) {
        const kal_schema_change *change = &changes->items[i];
        kal_buf_append_byte(out, (uint8_t)change->kind);
        kal_buf_append_le32(out, change->column_id);
        put_text(out, change->name);
        put_text(out, change->before);
        put_text(out, change->after);
    }
}

static bool get_text(kal_bytes *input, kal_arena *arena, kal_bytes *out)
{
    uint8_t present = 0;
    kal_bytes text;

    *out = (kal_bytes){0};
    if (!kal_bytes_take_u8(input, &present) || present > 1)
        return false;
    if (present == 0)
        return true;
    if (!kal_bytes_take_text(input, &text))
        return false;
    *out = kal_arena_copy(arena, text);
    return true;
}

static bool get_change(kal_bytes *input, kal_arena *arena, kal_schema_change *out)
{
    uint8_t kind = 0;

    *out = (kal_schema_change){0};
    if (!kal_bytes_take_u8(input, &kind) || kind >= KAL_SCHEMA_CHANGE_KINDS ||
        !kal_bytes_take_le32(input, &out->column_id))
        return false;
    out->kind = (kal_schema_change_kind)kind;
    return get_text(input, arena, &out->name) && get_text(input, arena, &out->before) &&
           get_text(input, arena, &out->after) && is_valid(out);
}

kal_status kal_schema_changes_decode(kal_bytes *input, kal_arena *arena, kal_schema_changes *out,
                                     kal_error *err)
{
    uint32_t count = 0;

    *out = (kal_schema_changes){0};
    if (!kal_bytes_take_le32(input, &count) || count > CHANGES_MAX)
        return kal_error_set(err, KAL_CORRUPT, "stored changes of a schema version are damaged");
    for (uint32_t i = 0; i < count; i++) {
        kal_schema_change change;
        if (!get_change(input, arena, &change))
            return kal_error_set(err, KAL_CORRUPT,
                                 "stored changes of a schema version are damaged");
        if (!kal_vec_try_push_in(arena, out, change))
            return kal_error_set(err, KAL_LIMIT, "the changes exceed the memory limit");
    }
    return KAL_OK;
}
