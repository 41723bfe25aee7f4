/*
 * schema_json.c: any text as the JSON form of a table definition. What is JSON is refused with a
 * message, or the definition keeps all rules and its own JSON reads back as itself.
 */
#include "base/assert.h"
#include "schema/table_definition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const kal_table_definition *def, kal_buf *out)
{
    kal_json_writer w;
    kal_buf_clear(out);
    kal_json_writer_init(&w, out);
    kal_table_definition_write_json(def, &w);
    KAL_ASSERT(!kal_buf_failed(out));
}

static void check_definition(const kal_table_definition *def, kal_arena *arena)
{
    kal_buf first;  /* owned */
    kal_buf second; /* owned */
    kal_json *json = NULL;
    kal_table_definition *back = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_buf_init(&first, NULL);
    kal_buf_init(&second, NULL);
    KAL_ASSERT(kal_table_definition_validate(def, &err) == KAL_OK);
    show(def, &first);
    kal_status status = kal_json_parse(kal_buf_bytes(&first), arena, &json, &err);
    if (status == KAL_OK)
        status = kal_table_definition_from_json(json, arena, &back, &err);
    if (status != KAL_OK)
        kal_die("own JSON does not read back: %s", err.message);
    show(back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));

    kal_buf_clear(&second);
    kal_table_definition_encode(def, &second);
    KAL_ASSERT(kal_table_definition_decode(kal_buf_bytes(&second), arena, &back, &err) == KAL_OK);
    show(back, &second);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&first), kal_buf_bytes(&second)));
    kal_buf_release(&first);
    kal_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kal_arena arena; /* owned */
    kal_json *json = NULL;
    kal_table_definition *def = NULL;
    kal_error err = KAL_ERROR_INIT;

    kal_arena_init(&arena, NULL);
    if (kal_json_parse(kal_bytes_of(data, size), &arena, &json, NULL) == KAL_OK) {
        kal_status status = kal_table_definition_from_json(json, &arena, &def, &err);
        if (status == KAL_OK)
            check_definition(def, &arena);
        else
            KAL_ASSERT(err.status == status && err.message[0] != '\0' && def == NULL);
    }
    kal_arena_release(&arena);
    return 0;
}
