#include "base/bytes.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Goal: every status has the name, code and HTTP status of the list. Method: spot checks of the
 * ends and the middle, and no gap anywhere. */
static void test_status_tables(void **state)
{
    (void)state;
    assert_string_equal(kal_status_name(KAL_OK), "OK");
    assert_string_equal(kal_status_code(KAL_EXISTS), "ALREADY_EXISTS");
    assert_int_equal(kal_status_http(KAL_LIMIT), 413);
    assert_string_equal(kal_status_name(KAL_INTERNAL), "INTERNAL");
    for (int status = KAL_OK; status <= KAL_INTERNAL; status++) {
        assert_true(kal_status_name((kal_status)status)[0] != '\0');
        assert_in_range(kal_status_http((kal_status)status), 200, 500);
    }
}

/* Goal: setting fills everything and forgets what an earlier error left. Method: set twice. */
static void test_set_resets(void **state)
{
    kal_error err = KAL_ERROR_INIT;
    (void)state;
    assert_int_equal(kal_error_set(&err, KAL_INVALID, "column '%s' is not known", "a"),
                     KAL_INVALID);
    kal_error_code(&err, "COLUMN_NOT_FOUND");
    kal_error_hint(&err, "did you mean '%s'?", "b");
    kal_error_at(&err, 7);
    kal_error_at(&err, 9);
    assert_string_equal(err.message, "column 'a' is not known");
    assert_string_equal(err.code, "COLUMN_NOT_FOUND");
    assert_string_equal(err.hint, "did you mean 'b'?");
    assert_int_equal(err.position, 7); /* the first place stays */

    assert_int_equal(kal_error_set(&err, KAL_IO, "disk"), KAL_IO);
    assert_int_equal(err.status, KAL_IO);
    assert_string_equal(err.code, "IO_ERROR");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.position, -1);
}

/* Goal: a caller that wants no text passes NULL everywhere. */
static void test_null_error(void **state)
{
    (void)state;
    assert_int_equal(kal_error_set(NULL, KAL_BUSY, "%d", 1), KAL_BUSY);
    kal_error_code(NULL, "X");
    kal_error_hint(NULL, "x");
    kal_error_at(NULL, 1);
}

/* Goal: a message that is too long is cut between characters. Method: characters of two, three and
 * four bytes, shifted so that the cut falls on each of their bytes. */
static void test_cut_between_characters(void **state)
{
    static const char *const CHARACTERS[] = {"\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80"};
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[1024] = "";
            size_t len = shift;
            memset(text, 'x', shift);
            while (len + 4 < sizeof text) {
                memcpy(text + len, CHARACTERS[c], strlen(CHARACTERS[c]));
                len += strlen(CHARACTERS[c]);
            }
            kal_error err = KAL_ERROR_INIT;
            kal_error_set(&err, KAL_INVALID, "%s", text);
            size_t kept = strlen(err.message);
            assert_true(kal_utf8_valid(kal_cstr(err.message)));
            assert_in_range(kept, KAL_ERROR_MESSAGE_BYTES - 4, KAL_ERROR_MESSAGE_BYTES - 1);
            assert_memory_equal(err.message, text, kept);
            kal_error_hint(&err, "%s", text);
            assert_true(kal_utf8_valid(kal_cstr(err.hint)));
        }
    }
}

static kal_status passes_on(kal_status status, bool *went_on)
{
    *went_on = false;
    KAL_TRY(status);
    *went_on = true;
    return KAL_END;
}

/* Goal: KAL_TRY returns early on everything but KAL_OK. */
static void test_try(void **state)
{
    bool went_on = false;
    (void)state;
    assert_int_equal(passes_on(KAL_OK, &went_on), KAL_END);
    assert_true(went_on);
    assert_int_equal(passes_on(KAL_LIMIT, &went_on), KAL_LIMIT);
    assert_false(went_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_tables), cmocka_unit_test(test_set_resets),
        cmocka_unit_test(test_null_error),    cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
