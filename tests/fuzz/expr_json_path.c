/*
 * expr_json_path.c: a path up to the first newline, then a document. What is found is written as
 * JSON that reads back and is written the same again.
 */
#include "base/assert.h"
#include "expr/json_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const kal_json *found, kal_arena *arena)
{
    kal_json *again = NULL;
    kal_buf text;       /* owned */
    kal_buf text_again; /* owned */
    kal_buf_init(&text, NULL);
    kal_buf_init(&text_again, NULL);
    kal_json_text_append(found, &text);
    kal_status status = kal_json_parse(kal_buf_bytes(&text), arena, &again, NULL);
    KAL_ASSERT(status == KAL_OK);
    kal_json_text_append(again, &text_again);
    KAL_ASSERT(kal_bytes_equal(kal_buf_bytes(&text), kal_buf_bytes(&text_again)));
    kal_buf_release(&text);
    kal_buf_release(&text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
    size_t path_len = newline == NULL ? size : (size_t)(newline - data);
    size_t document = newline == NULL ? size : path_len + 1;
    kal_json_path path;
    kal_json *json = NULL;
    kal_arena arena;

    kal_arena_init(&arena, NULL);
    if (kal_json_parse(kal_bytes_of(data + document, size - document), &arena, &json, NULL) ==
        KAL_OK) {
        check_text(json, &arena);
        if (kal_json_path_parse(kal_bytes_of(data, path_len), &arena, &path)) {
            KAL_ASSERT(kal_json_path_equal(&path, &path));
            const kal_json *found = kal_json_path_find(&path, json);
            if (found != NULL)
                check_text(found, &arena);
        }
    }
    kal_arena_release(&arena);
    return 0;
}
