/*
 * path_template.c: checking templates part by part, and filling them in.
 */
#include "storage/path_template.h"
#include "base/assert.h"

enum { VALUE_PART_BYTES = 200, AROUND_BYTES_MAX = 50 }; /* their sum and a % stay below 255 */

typedef enum placeholder {
    NO_PLACEHOLDER,
    NAMESPACE,
    TABLE_NAME,
    USER_ID,
    SHARD,
    PLACEHOLDER_END
} placeholder;

static const char *const NAMES[PLACEHOLDER_END] = {
    [NO_PLACEHOLDER] = "",  [NAMESPACE] = "{namespace}", [TABLE_NAME] = "{tableName}",
    [USER_ID] = "{userId}", [SHARD] = "{shard}",
};
static const char ORDER[] = "{namespace}, {tableName}, {userId}, {shard}";

static const char *kind_name(kal_path_template_kind kind)
{
    return kind == KAL_PATH_TEMPLATE_USER ? "USER" : "SHARED";
}

/* ---- parts ---- */

/* One part: a text, or a placeholder between two texts. */
typedef struct part {
    kal_bytes before;
    placeholder what;
    kal_bytes after;
} part;

/* Takes the next part off the front of *rest; false at the end. */
static bool next_part(kal_bytes *rest, kal_bytes *part_out)
{
    if (rest->ptr == NULL)
        return false;
    const uint8_t *slash = rest->len == 0 ? NULL : memchr(rest->ptr, '/', rest->len);
    size_t len = slash == NULL ? rest->len : (size_t)(slash - rest->ptr);
    *part_out = kal_bytes_of(rest->ptr, len);
    *rest = slash == NULL ? (kal_bytes){0} : kal_bytes_of(slash + 1, rest->len - len - 1);
    return true;
}

/* One '/' at the end says nothing. */
static kal_bytes without_last_slash(kal_bytes text)
{
    if (text.len > 1 && text.ptr[text.len - 1] == '/')
        text.len--;
    return text;
}

static kal_status wrong(kal_path_template_kind kind, kal_error *err, const char *what,
                        kal_bytes value)
{
    size_t shown = value.len < 64 ? value.len : 64;
    kal_error_set(err, KAL_INVALID, "the template of %s tables %s '%.*s'", kind_name(kind), what,
                  (int)shown, (const char *)value.ptr);
    kal_error_hint(err, "placeholders, in this order: %s", ORDER);
    return KAL_INVALID;
}

static placeholder find_placeholder(kal_bytes name)
{
    for (placeholder p = NAMESPACE; p < PLACEHOLDER_END; p++) {
        if (kal_bytes_equal(name, kal_cstr(NAMES[p])))
            return p;
    }
    return NO_PLACEHOLDER;
}

static kal_status split_part(kal_bytes text, kal_path_template_kind kind, part *out, kal_error *err)
{
    const uint8_t *open = text.len == 0 ? NULL : memchr(text.ptr, '{', text.len);

    *out = (part){.before = text};
    if (open == NULL)
        return KAL_OK;
    size_t start = (size_t)(open - text.ptr);
    const uint8_t *close = memchr(open, '}', text.len - start);
    if (close == NULL)
        return wrong(kind, err, "has a '{' without '}' in", text);
    size_t end = (size_t)(close - text.ptr) + 1;
    kal_bytes name = kal_bytes_of(open, end - start);
    out->before.len = start;
    out->after = kal_bytes_of(text.ptr + end, text.len - end);
    out->what = find_placeholder(name);
    return out->what == NO_PLACEHOLDER ? wrong(kind, err, "has the unknown placeholder", name)
                                       : KAL_OK;
}

/* ---- checking ---- */

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '=' || c == '.';
}

static kal_status check_plain(kal_bytes text, kal_bytes whole, kal_path_template_kind kind,
                              kal_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '{')
            return wrong(kind, err, "has two placeholders in one part:", whole);
        if (text.ptr[i] == 0)
            return wrong(kind, err, "has a NUL byte in", kal_bytes_of(whole.ptr, 0));
        if (!is_plain(text.ptr[i]))
            return wrong(kind, err, "may hold letters, digits and _-=. beside placeholders, not",
                         whole);
    }
    return KAL_OK;
}

static kal_status check_part(kal_bytes text, kal_path_template_kind kind, part *out, kal_error *err)
{
    if (kal_bytes_equal(text, KAL_STR("..")) || kal_bytes_equal(text, KAL_STR(".")))
        return wrong(kind, err, "may not leave its directory by", text);
    if (kal_bytes_starts_with(text, KAL_STR(".tmp-")))
        return wrong(kind, err, "has a part that begins as the server's temporary files do:", text);
    KAL_TRY(split_part(text, kind, out, err));
    KAL_TRY(check_plain(out->before, text, kind, err));
    KAL_TRY(check_plain(out->after, text, kind, err));
    if (out->before.len + out->after.len > AROUND_BYTES_MAX)
        return wrong(kind, err, "has a part with too much text (limit 50 bytes):", text);
    return KAL_OK;
}

static kal_status check_needed(const bool *seen, kal_path_template_kind kind, kal_error *err)
{
    placeholder last = kind == KAL_PATH_TEMPLATE_USER ? USER_ID : TABLE_NAME;
    for (placeholder p = NAMESPACE; p <= last; p++) {
        if (!seen[p])
            return wrong(kind, err, "lacks", kal_cstr(NAMES[p]));
    }
    if (kind == KAL_PATH_TEMPLATE_SHARED && seen[USER_ID])
        return wrong(kind, err, "cannot have", kal_cstr(NAMES[USER_ID]));
    return KAL_OK;
}

kal_status kal_path_template_check(kal_bytes text, kal_path_template_kind kind, kal_error *err)
{
    bool seen[PLACEHOLDER_END] = {false};
    placeholder last = NO_PLACEHOLDER;
    kal_bytes rest = without_last_slash(text);
    kal_bytes piece;

    if (text.len > KAL_PATH_TEMPLATE_BYTES_MAX)
        return kal_error_set(err, KAL_INVALID,
                             "the template of %s tables has %zu bytes, the limit is %u",
                             kind_name(kind), text.len, KAL_PATH_TEMPLATE_BYTES_MAX);
    if (text.len == 0)
        return kal_error_set(err, KAL_INVALID, "the template of %s tables is empty",
                             kind_name(kind));
    while (next_part(&rest, &piece)) {
        part p;
        if (piece.len == 0)
            return wrong(kind, err, "begins with '/' or has an empty part:", text);
        KAL_TRY(check_part(piece, kind, &p, err));
        if (p.what == NO_PLACEHOLDER)
            continue;
        if (seen[p.what])
            return wrong(kind, err, "has twice", kal_cstr(NAMES[p.what]));
        if (p.what < last)
            return wrong(kind, err, "has out of order", kal_cstr(NAMES[p.what]));
        seen[p.what] = true;
        last = p.what;
    }
    return check_needed(seen, kind, err);
}

/* The template up to the end of the part with {tableName}. */
static kal_bytes table_part(kal_bytes text)
{
    kal_bytes rest = text;
    kal_bytes piece = {0};
    while (next_part(&rest, &piece)) {
        part p;
        if (split_part(piece, KAL_PATH_TEMPLATE_SHARED, &p, NULL) == KAL_OK && p.what == TABLE_NAME)
            break;
    }
    return kal_bytes_of(text.ptr, (size_t)(piece.ptr + piece.len - text.ptr));
}

kal_status kal_path_templates_check(kal_bytes shared, kal_bytes user, kal_error *err)
{
    kal_bytes first_shared = {0};
    kal_bytes first_user = {0};
    kal_bytes rest = shared;

    if (kal_bytes_equal(table_part(shared), table_part(user)))
        return KAL_OK;
    KAL_ASSERT(next_part(&rest, &first_shared));
    rest = user;
    KAL_ASSERT(next_part(&rest, &first_user));
    bool texts = memchr(first_shared.ptr, '{', first_shared.len) == NULL &&
                 memchr(first_user.ptr, '{', first_user.len) == NULL;
    if (texts && !kal_bytes_equal_nocase(first_shared, first_user))
        return KAL_OK;
    kal_error_set(err, KAL_INVALID, "a SHARED and a USER table could get the same path");
    kal_error_hint(err, "let both templates be the same up to {tableName}, or let them begin with "
                        "different texts: shared/..., users/...");
    return KAL_INVALID;
}

/* ---- rendering ---- */

static void render_value(kal_bytes value, kal_buf *out)
{
    size_t used = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        bool safe = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        size_t needs = safe ? 1 : 3;
        if (used + needs > VALUE_PART_BYTES) {
            kal_buf_append_cstr(out, "%/");
            used = 0;
        }
        if (safe)
            kal_buf_append_byte(out, c);
        else
            kal_buf_printf(out, "%%%02x", c);
        used += needs;
    }
    if (value.len == 0)
        kal_buf_append_cstr(out, "%e"); /* no escape, so no other value's */
}

static bool has_value(placeholder what, const kal_path_values *values)
{
    if (what == USER_ID)
        return values->user_id.ptr != NULL;
    return what != SHARD || values->has_shard;
}

static void render_placeholder(placeholder what, const kal_path_values *values, kal_buf *out)
{
    switch (what) {
    case NAMESPACE:
        render_value(values->namespace_id, out);
        return;
    case TABLE_NAME:
        render_value(values->table_name, out);
        return;
    case USER_ID:
        render_value(values->user_id, out);
        return;
    case SHARD:
        kal_buf_append_u64_text(out, values->shard);
        return;
    case NO_PLACEHOLDER:
    case PLACEHOLDER_END:
        return;
    }
}

void kal_path_template_render(kal_bytes text, const kal_path_values *values, kal_buf *out)
{
    kal_bytes rest = without_last_slash(text);
    kal_bytes piece;
    bool first = true;

    while (next_part(&rest, &piece)) {
        part p;
        if (split_part(piece, KAL_PATH_TEMPLATE_USER, &p, NULL) != KAL_OK ||
            !has_value(p.what, values))
            return;
        if (!first)
            kal_buf_append_byte(out, '/');
        kal_buf_append_bytes(out, p.before);
        render_placeholder(p.what, values, out);
        kal_buf_append_bytes(out, p.after);
        first = false;
    }
}
