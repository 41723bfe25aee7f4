#include "unit/engine/plain_duckdb.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void plain_open(plain *p)
{
    const kal_duckdb_options options = {(size_t)500 * 1000 * 1000, 1};
    *p = (plain){0};
    assert_int_equal(kal_duckdb_load(KAL_TEST_DUCKDB, &p->api, NULL), KAL_OK);
    assert_int_equal(kal_duckdb_open(&p->api, &options, &p->database, NULL), KAL_OK);
    assert_int_equal(p->api.connect(p->database, &p->connection), DuckDBSuccess);
}

void plain_close(plain *p)
{
    p->api.disconnect(&p->connection);
    p->api.close(&p->database);
}

void plain_expect(plain *p, const char *sql, const char *expected)
{
    duckdb_result result;
    duckdb_data_chunk chunk;
    kal_buf lines;

    kal_buf_init(&lines, NULL);
    if (p->api.query(p->connection, sql, &result) != DuckDBSuccess)
        fail_msg("%s", p->api.result_error(&result));
    while ((chunk = p->api.fetch_chunk(result)) != NULL) {
        const duckdb_string_t *texts =
            p->api.vector_get_data(p->api.data_chunk_get_vector(chunk, 0));
        for (idx_t i = 0; i < p->api.data_chunk_get_size(chunk); i++) {
            uint32_t len = texts[i].value.inlined.length;
            kal_buf_append(&lines,
                           len <= 12 ? texts[i].value.inlined.inlined : texts[i].value.pointer.ptr,
                           len);
            kal_buf_append_byte(&lines, '\n');
        }
        p->api.destroy_data_chunk(&chunk);
    }
    kal_buf_append_byte(&lines, '\0');
    assert_string_equal((const char *)lines.ptr, expected);
    p->api.destroy_result(&result);
    kal_buf_release(&lines);
}
