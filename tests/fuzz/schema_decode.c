/*
 * schema_decode.c: any bytes as a stored table definition. They are refused as damaged or too new,
 * or the definition keeps all rules, encodes to something that decodes to the same, and its JSON
 * form reads back as it too.
 */
#include "base/assert.h"
#include "schema/table_definition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const kal_table_definition *def, kal_buf *out)
{
    kal_buf_clear(out);
    kal_table_definition_encode(def, out);
    KAL_ASSERT(!kal_buf_failed(out));
}

static kal_table_definition *through_json(const kal_table_definition *def, kal_buf *text,
                                          kal_arena *arena)
{
    kal_json_writer w;
    kal_json *json = NULL;
    kal_table_definition *back = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_buf_clear(text);
    kal_json_writer_init(&w, text);
    kal_table_definition_write_json(def, &w);
    kal_status status = kal_json_parse(kal_buf_bytes(text), arena, &json, &err);
    if (status == KAL_OK)
        status = kal_table_definition_from_json(json, arena, &back, &err);
    if (status != KAL_OK)
        kal_die("own JSON does not read back: %s", err.message);
    return back;
}

static void check_definition(kal_table_definition *def, kal_arena *arena)
{
    kal_buf first;  /* owned */
    kal_buf second; /* owned */
    kal_table_definition *back = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_buf_init(&first, NULL);
    kal_buf_init(&second, NULL);
    KAL_ASSERT(kal_table_definition_validate(def, &err) == KAL_OK);
    kal_table_definition_to_sql(def, &first);
    encode(def, &first);
    KAL_ASSERT(kal_table_definition_decode(kal_buf_bytes(&first), arena, &back, &err) == KAL_OK);
    encode(back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));
    /* JSON has one NaN and FILE literals become compact in it, so it must be stable from there on.
     */
    back = through_json(def, &second, arena);
    encode(back, &first);
    back = through_json(back, &second, arena);
    encode(back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));
    kal_buf_release(&first);
    kal_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_arena arena; /* owned */
    kal_table_definition *def = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    kal_status status = kal_table_definition_decode(kal_bytes_of(data, size), &arena, &def, &err);
    if (status == KAL_OK) {
        check_definition(def, &arena);
    } else {
        KAL_ASSERT(status == KAL_CORRUPT || status == KAL_UNSUPPORTED);
        KAL_ASSERT(err.message[0] != '\0');
        KAL_ASSERT(def == NULL);
    }
    kal_arena_release(&arena);
    return 0;
}
