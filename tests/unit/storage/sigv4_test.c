/*
 * Signature V4: the examples of the S3 API reference and of the published test suite, the
 * derivation of the key, and the encoding of every byte.
 */
#include "storage/sigv4.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        KAL_STR(name), KAL_STR(value)                                                              \
    }

typedef struct example {
    kal_sigv4_request request;
    kal_sigv4_field query[3];
    kal_sigv4_field headers[6];
    const char *secret;
    const char *access_key_id;
    const char *signature;
} example;

#define S3_SECRET    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

#define S3_REQUEST(method_, path_, hash)                                                           \
    {                                                                                              \
        .method = method_, .path = KAL_STR(path_), .payload_sha256 = hash,                         \
        .time = "20130524T000000Z", .region = KAL_STR("us-east-1"), .service = KAL_STR("s3"),      \
    }
#define SUITE_REQUEST(method_, path_)                                                              \
    {                                                                                              \
        .method = method_, .path = KAL_STR(path_), .payload_sha256 = KAL_SIGV4_EMPTY_SHA256,       \
        .time = "20150830T123600Z", .region = KAL_STR("us-east-1"), .service = KAL_STR("service"), \
    }
#define S3_HOST    FIELD("host", "examplebucket.s3.amazonaws.com")
#define S3_DATE    FIELD("x-amz-date", "20130524T000000Z")
#define S3_NOTHING FIELD("x-amz-content-sha256", KAL_SIGV4_EMPTY_SHA256)
#define SUITE_HOST FIELD("host", "example.amazonaws.com")
#define SUITE_DATE FIELD("x-amz-date", "20150830T123600Z")

#define WELCOME_SHA256 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define SUITE_TOKEN                                                                                \
    "AQoDYXdzEPT//////////"                                                                        \
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"                    \
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"                                                          \
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ"                                   \
    "0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"           \
    "scqKmlzm8FD"                                                                                  \
    "rypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const example EXAMPLES[] = {
    {.request = S3_REQUEST("GET", "/test.txt", KAL_SIGV4_EMPTY_SHA256),
     .headers = {S3_HOST, FIELD("range", "bytes=0-9"), S3_NOTHING, S3_DATE},
     .secret = S3_SECRET,
     .access_key_id = "AKIAIOSFODNN7EXAMPLE",
     .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {.request = S3_REQUEST("PUT", "/test$file.text", WELCOME_SHA256),
     .headers = {FIELD("date", "Fri, 24 May 2013 00:00:00 GMT"), S3_HOST, S3_DATE,
                 FIELD("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                 FIELD("x-amz-content-sha256", WELCOME_SHA256)},
     .secret = S3_SECRET,
     .access_key_id = "AKIAIOSFODNN7EXAMPLE",
     .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {.request = S3_REQUEST("GET", "/", KAL_SIGV4_EMPTY_SHA256),
     .query = {FIELD("lifecycle", "")},
     .headers = {S3_HOST, S3_DATE, S3_NOTHING},
     .secret = S3_SECRET,
     .access_key_id = "AKIAIOSFODNN7EXAMPLE",
     .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {.request = S3_REQUEST("GET", "/", KAL_SIGV4_EMPTY_SHA256),
     .query = {FIELD("prefix", "J"), FIELD("max-keys", "2")},
     .headers = {S3_DATE, S3_NOTHING, S3_HOST},
     .secret = S3_SECRET,
     .access_key_id = "AKIAIOSFODNN7EXAMPLE",
     .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    /* get-vanilla */
    {.request = SUITE_REQUEST("GET", "/"),
     .headers = {SUITE_HOST, SUITE_DATE},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    /* get-vanilla-query-order-key-case */
    {.request = SUITE_REQUEST("GET", "/"),
     .query = {FIELD("Param2", "value2"), FIELD("Param1", "value1")},
     .headers = {SUITE_HOST, SUITE_DATE},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    /* get-header-value-trim */
    {.request = SUITE_REQUEST("GET", "/"),
     .headers = {SUITE_HOST, FIELD("my-header1", " value1"), FIELD("my-header2", " \"a   b   c\""),
                 SUITE_DATE},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    /* get-utf8 */
    {.request = SUITE_REQUEST("GET", "/\xE1\x88\xB4"),
     .headers = {SUITE_HOST, SUITE_DATE},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    /* post-vanilla */
    {.request = SUITE_REQUEST("POST", "/"),
     .headers = {SUITE_HOST, SUITE_DATE},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    /* post-sts-header-before */
    {.request = SUITE_REQUEST("POST", "/"),
     .headers = {SUITE_HOST, SUITE_DATE, FIELD("x-amz-security-token", SUITE_TOKEN)},
     .secret = SUITE_SECRET,
     .access_key_id = "AKIDEXAMPLE",
     .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static size_t count_fields(const kal_sigv4_field *fields, size_t max)
{
    size_t count = 0;
    while (count < max && fields[count].name.ptr != NULL)
        count++;
    return count;
}

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < KAL_ARRAY_LEN(EXAMPLES); i++) {
        const example *e = &EXAMPLES[i];
        kal_sigv4_request request = e->request;
        const kal_sigv4_credentials credentials = {.access_key_id = kal_cstr(e->access_key_id),
                                                   .secret_access_key = kal_cstr(e->secret)};
        kal_buf out; /* owned */
        kal_buf_init(&out, NULL);
        request.query = e->query;
        request.query_count = count_fields(e->query, KAL_ARRAY_LEN(e->query));
        request.headers = e->headers;
        request.header_count = count_fields(e->headers, KAL_ARRAY_LEN(e->headers));
        kal_sigv4_authorization(&request, &credentials, &out);
        kal_buf_append_byte(&out, '\0');
        const char *signature = strstr((const char *)out.ptr, "Signature=");
        assert_non_null(signature);
        assert_string_equal(signature + strlen("Signature="), e->signature);
        assert_null(strstr((const char *)out.ptr, "wJalr"));
        kal_buf_release(&out);
    }
}

/* The whole header, as the reference shows it. */
static void test_authorization(void **state)
{
    (void)state;
    const kal_sigv4_field headers[] = {S3_HOST, FIELD("range", "bytes=0-9"), S3_NOTHING, S3_DATE};
    kal_sigv4_request request = S3_REQUEST("GET", "/test.txt", KAL_SIGV4_EMPTY_SHA256);
    const kal_sigv4_credentials credentials = {.access_key_id = KAL_STR("AKIAIOSFODNN7EXAMPLE"),
                                               .secret_access_key = KAL_STR(S3_SECRET)};
    kal_buf out; /* owned */

    kal_buf_init(&out, NULL);
    request.headers = headers;
    request.header_count = KAL_ARRAY_LEN(headers);
    kal_sigv4_authorization(&request, &credentials, &out);
    kal_buf_append_byte(&out, '\0');
    assert_string_equal(
        (const char *)out.ptr,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    kal_buf_clear(&out);
    kal_sigv4_canonical_request(&request, &out);
    kal_buf_append_byte(&out, '\0');
    assert_string_equal((const char *)out.ptr,
                        "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
                        "x-amz-content-sha256:" KAL_SIGV4_EMPTY_SHA256
                        "\nx-amz-date:20130524T000000Z\n\n"
                        "host;range;x-amz-content-sha256;x-amz-date\n" KAL_SIGV4_EMPTY_SHA256);
    kal_buf_release(&out);
}

/* "Examples of how to derive a signing key" */
static void test_key(void **state)
{
    static const char *const WANTED =
        "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d";
    uint8_t key[KAL_DIGEST_BYTES];
    char hex[KAL_DIGEST_HEX_LEN + 1];
    (void)state;
    kal_sigv4_signing_key(KAL_STR(SUITE_SECRET), KAL_STR("20120215"), KAL_STR("us-east-1"),
                          KAL_STR("iam"), key);
    for (size_t i = 0; i < sizeof key; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    assert_string_equal(hex, WANTED);
}

static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (int keep_slash = 0; keep_slash < 2; keep_slash++) {
            char wanted[4];
            uint8_t byte = (uint8_t)c;
            kal_buf out; /* owned */
            bool as_it_is = (c < 128 && isalnum(c)) || c == '-' || c == '.' || c == '_' ||
                            c == '~' || (c == '/' && keep_slash == 1);
            snprintf(wanted, sizeof wanted, as_it_is ? "%c" : "%%%02X", c);
            kal_buf_init(&out, NULL);
            kal_sigv4_encode(kal_bytes_of(&byte, 1), keep_slash == 1, &out);
            if (c == 0)
                assert_memory_equal(out.ptr, "%00", 3);
            else
                assert_true(kal_bytes_equal(kal_buf_bytes(&out), kal_cstr(wanted)));
            kal_buf_release(&out);
        }
    }
}

/* The order is that of the encoded names: %.. stands before letters, also for what lies above. */
static void test_query(void **state)
{
    (void)state;
    const kal_sigv4_field fields[] = {FIELD("uploads", ""), FIELD("a b", "=&+ /"),
                                      FIELD("\xC3\xA9", "1"), FIELD("a", "2"), FIELD("a", "1")};
    kal_buf out; /* owned */
    kal_buf_init(&out, NULL);
    kal_sigv4_query(fields, KAL_ARRAY_LEN(fields), &out);
    assert_true(kal_bytes_equal(kal_buf_bytes(&out),
                                KAL_STR("%C3%A9=1&a=1&a=2&a%20b=%3D%26%2B%20%2F&uploads=")));
    kal_buf_release(&out);
}

static void test_time(void **state)
{
    char out[KAL_SIGV4_TIME_LEN + 1];
    (void)state;
    kal_sigv4_time(INT64_C(1369353600999999), out);
    assert_string_equal(out, "20130524T000000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples), cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_key),      cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_query),    cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
