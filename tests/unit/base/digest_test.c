#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Goal: SHA-256 as everybody's, however the bytes are cut. Method: the standard's vectors, whole
 * and byte by byte. */
static void test_vectors(void **state)
{
    static const char *const VECTORS[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
            kal_digest digest;
            char hex[KAL_DIGEST_HEX_LEN + 1];
            size_t len = strlen(VECTORS[i][0]);
            kal_digest_init(&digest);
            if (in_pieces == 0)
                kal_digest_add(&digest, kal_cstr(VECTORS[i][0]));
            for (size_t k = 0; in_pieces == 1 && k < len; k++)
                kal_digest_add(&digest, kal_bytes_of(VECTORS[i][0] + k, 1));
            kal_digest_hex(&digest, hex);
            assert_string_equal(hex, VECTORS[i][1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
