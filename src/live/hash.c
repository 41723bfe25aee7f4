#include "live/hash.h"
#include "base/digest.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#include <stdio.h>

void live_hash_add(live_hash *sum, live_hash row)
{
    sum->high += row.high + __builtin_add_overflow(sum->low, row.low, &sum->low);
}

void live_hash_remove(live_hash *sum, live_hash row)
{
    sum->high -= row.high + __builtin_sub_overflow(sum->low, row.low, &sum->low);
}

void live_hash_hex(live_hash hash, char out[LIVE_HASH_HEX_LEN + 1])
{
    snprintf(out, LIVE_HASH_HEX_LEN + 1, "%016llx%016llx", (unsigned long long)hash.high,
             (unsigned long long)hash.low);
}

static void append_text(kal_buf *out, kal_bytes text)
{
    kal_buf_append_le32(out, (uint32_t)text.len);
    kal_buf_append_bytes(out, text);
}

static void append_number(kal_buf *out, kal_bytes text)
{
    double d = 0;
    uint64_t bits = 0;

    if (!kal_parse_double(text, &d))
        d = 0; /* our own writer wrote it */
    memcpy(&bits, &d, sizeof bits);
    kal_buf_append_byte(out, 3);
    kal_buf_append_le64(out, bits);
}

/* As deep as the reader allows. */
static void append_cell(kal_buf *out, const kal_json *cell)
{
    switch (cell->kind) {
    case KAL_JSON_NULL:
        kal_buf_append_byte(out, 0);
        return;
    case KAL_JSON_BOOL:
        kal_buf_append_byte(out, cell->boolean ? 2 : 1);
        return;
    case KAL_JSON_NUMBER:
        append_number(out, cell->text);
        return;
    case KAL_JSON_STRING:
        kal_buf_append_byte(out, 4);
        append_text(out, cell->text);
        return;
    case KAL_JSON_ARRAY:
    case KAL_JSON_OBJECT:
        break;
    }
    kal_buf_append_byte(out, cell->kind == KAL_JSON_ARRAY ? 5 : 6);
    kal_buf_append_le32(out, (uint32_t)cell->len);
    for (size_t i = 0; i < cell->len; i++) {
        if (cell->kind == KAL_JSON_OBJECT)
            append_text(out, cell->keys[i]);
        append_cell(out, &cell->items[i]);
    }
}

/* Items come first in a row, in the order of the schema. */
static kal_status append_cells(const kal_live_plan *plan, kal_bytes object, kal_arena *arena,
                               kal_buf *out, kal_error *err)
{
    kal_json *row = NULL;

    KAL_TRY(kal_json_parse(object, arena, &row, err));
    if (row->kind != KAL_JSON_OBJECT || row->len < plan->item_count)
        return kal_error_set(err, KAL_CORRUPT, "a row of a live query is damaged");
    for (size_t i = 0; i < plan->item_count; i++)
        append_cell(out, &row->items[i]);
    return kal_buf_failed(out)
               ? kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up")
               : KAL_OK;
}

kal_status live_hash_row(const kal_live_plan *plan, kal_bytes members, kal_budget *budget,
                         live_hash *out, kal_error *err)
{
    uint8_t digest[KAL_DIGEST_BYTES];
    kal_arena arena; /* owned, as the next two */
    kal_buf object;
    kal_buf cells;

    kal_arena_init(&arena, budget);
    kal_buf_init(&object, budget);
    kal_buf_init(&cells, budget);
    kal_buf_append_byte(&object, '{');
    kal_buf_append_bytes(&object, members);
    kal_buf_append_byte(&object, '}');
    kal_status status = kal_buf_failed(&object)
                            ? kal_error_set(err, KAL_LIMIT, "the memory of live queries is used up")
                            : append_cells(plan, kal_buf_bytes(&object), &arena, &cells, err);
    if (status == KAL_OK) {
        kal_digest_of(kal_buf_bytes(&cells), digest);
        *out = (live_hash){kal_load_le64(digest), kal_load_le64(digest + 8)};
    }
    kal_buf_release(&cells);
    kal_buf_release(&object);
    kal_arena_release(&arena);
    return status;
}
