/*
 * password.c: argon2id hashes (libsodium), and which passwords are refused.
 *
 * t = 2, m = 19 MiB: about 25 ms of CPU, the least that OWASP recommends; a login must not be a way
 * to stop a small server. Parameters are part of the hash, so they can be raised later.
 */
#include "auth/auth_internal.h"
#include "base/assert.h"

#include <sodium.h>

enum { MEMORY_BYTES = 19 * 1024 * 1024, PASSES = 2 };

/* The most used passwords of leaks that are long enough to pass otherwise. */
static const char *const COMMON[] = {
    "12345678",   "123456789", "1234567890", "password",   "password1",     "password123",
    "passw0rd",   "qwertyui",  "qwerty123",  "qwertyuiop", "1q2w3e4r",      "1q2w3e4r5t",
    "1qaz2wsx",   "iloveyou",  "sunshine",   "princess",   "football",      "baseball",
    "welcome1",   "abcd1234",  "abc12345",   "admin123",   "administrator", "letmein1",
    "trustno1",   "superman",  "11111111",   "00000000",   "88888888",      "87654321",
    "987654321",  "asdfghjk",  "zxcvbnm1",   "changeme",   "computer",      "starwars",
    "whatever",   "michelle",  "jennifer",   "11223344",   "qazwsxedc",     "kalamdb1",
    "kalamdb123", "root1234",  "rootroot",   "changeme1",  "default1",      "internet",
};

static bool is_common(kal_bytes password)
{
    for (size_t i = 0; i < KAL_ARRAY_LEN(COMMON); i++) {
        if (kal_bytes_equal_nocase(password, kal_cstr(COMMON[i])))
            return true;
    }
    return false;
}

static kal_status weak(kal_error *err)
{
    kal_error_code(err, "WEAK_PASSWORD");
    return KAL_INVALID;
}

kal_status kal_password_hash(kal_bytes password, kal_arena *arena, char **hash_out, kal_error *err)
{
    if (password.len < KAL_PASSWORD_BYTES_MIN || password.len > KAL_PASSWORD_BYTES_MAX) {
        kal_error_set(err, KAL_INVALID, "a password has %d to %d bytes", KAL_PASSWORD_BYTES_MIN,
                      KAL_PASSWORD_BYTES_MAX);
        return weak(err);
    }
    if (is_common(password)) {
        kal_error_set(err, KAL_INVALID, "this password is among the first that anybody would try");
        return weak(err);
    }
    char *hash = kal_arena_alloc(arena, crypto_pwhash_STRBYTES);
    if (crypto_pwhash_str(hash, (const char *)password.ptr, password.len, PASSES, MEMORY_BYTES) !=
        0)
        return kal_error_set(err, KAL_INTERNAL, "not enough memory to hash a password");
    *hash_out = hash;
    return KAL_OK;
}

bool kal_password_matches(kal_bytes hash, kal_bytes password)
{
    /* A valid hash of nothing that anybody can type: costs the same, never matches. */
    static const char DUMMY[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    char text[crypto_pwhash_STRBYTES] = {0};
    bool known = hash.len > 0 && hash.len < sizeof text;

    if (known)
        memcpy(text, hash.ptr, hash.len);
    else
        memcpy(text, DUMMY, sizeof DUMMY);
    bool matches = password.len <= KAL_PASSWORD_BYTES_MAX &&
                   crypto_pwhash_str_verify(text, (const char *)password.ptr, password.len) == 0;
    return matches && known;
}
