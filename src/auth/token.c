/*
 * token.c: JSON web tokens signed with HS256, the one algorithm there is: the header is a constant
 * and compared as such, so no token chooses how it is checked.
 */
#include "auth/auth_internal.h"
#include "base/json_reader.h"
#include "base/json_writer.h"

#include <sodium.h>
#include <stdio.h>

/* {"alg":"HS256","typ":"JWT"} */
static const char HEADER[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";
static const char ISSUER[] = "kalamdb";

enum {
    VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING,
    MAC_BYTES = crypto_auth_hmacsha256_BYTES,
    MAC_TEXT_BYTES = 43, /* without padding */
};

static void mac_of(const uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_bytes text,
                   uint8_t mac[MAC_BYTES])
{
    _Static_assert(KAL_TOKEN_SECRET_BYTES == crypto_auth_hmacsha256_KEYBYTES, "one key size");
    crypto_auth_hmacsha256(mac, text.ptr, text.len, secret);
}

static void write_claims(const kal_token_claims *claims, kal_buf *out)
{
    kal_json_writer w;
    kal_json_writer_init(&w, out);
    kal_json_begin_object(&w);
    kal_json_key(&w, "iss");
    kal_json_cstr(&w, ISSUER);
    kal_json_key(&w, "sub");
    kal_json_cstr(&w, claims->principal.user_id);
    kal_json_key(&w, "uno");
    kal_json_u64(&w, claims->principal.user_no);
    kal_json_key(&w, "role");
    kal_json_cstr(&w, kal_role_name(claims->principal.role));
    kal_json_key(&w, "gen");
    kal_json_u64(&w, claims->generation);
    kal_json_key(&w, "token_type");
    kal_json_cstr(&w, claims->is_refresh ? "refresh" : "access");
    kal_json_key(&w, "iat");
    kal_json_i64(&w, claims->issued_s);
    kal_json_key(&w, "exp");
    kal_json_i64(&w, claims->expires_s);
    kal_json_end_object(&w);
}

static void append_base64(kal_buf *out, kal_bytes bytes)
{
    size_t size = sodium_base64_encoded_len(bytes.len, VARIANT); /* with NUL */
    if (!kal_buf_reserve(out, size))
        return;
    sodium_bin2base64((char *)out->ptr + out->len, size, bytes.ptr, bytes.len, VARIANT);
    out->len += size - 1;
}

char *kal_token_sign(const uint8_t secret[KAL_TOKEN_SECRET_BYTES], const kal_token_claims *claims,
                     kal_arena *arena)
{
    uint8_t mac[MAC_BYTES];
    kal_buf json;  /* owned */
    kal_buf token; /* owned */

    kal_buf_init(&json, NULL);
    kal_buf_init(&token, NULL);
    write_claims(claims, &json);
    kal_buf_append_cstr(&token, HEADER);
    append_base64(&token, kal_buf_bytes(&json));
    mac_of(secret, kal_buf_bytes(&token), mac);
    kal_buf_append_byte(&token, '.');
    append_base64(&token, kal_bytes_of(mac, sizeof mac));
    char *text = kal_arena_cstr(arena, kal_buf_bytes(&token));
    kal_buf_release(&json);
    kal_buf_release(&token);
    return text;
}

/* ---- verifying ---- */

static kal_status invalid(kal_error *err)
{
    kal_error_set(err, KAL_UNAUTHORIZED, "the token is not valid");
    kal_error_code(err, "INVALID_TOKEN");
    return KAL_UNAUTHORIZED;
}

/* Splits header.payload.signature; false when it is not made of ours. */
static bool split(kal_bytes token, kal_bytes *signed_out, kal_bytes *payload_out,
                  kal_bytes *mac_out)
{
    size_t header = sizeof HEADER - 1;
    if (token.len > KAL_TOKEN_BYTES_MAX || token.len < header + 1 + 1 + MAC_TEXT_BYTES)
        return false;
    if (memcmp(token.ptr, HEADER, header) != 0)
        return false;
    size_t dot = token.len - MAC_TEXT_BYTES - 1;
    if (dot <= header || token.ptr[dot] != '.')
        return false;
    *signed_out = kal_bytes_of(token.ptr, dot);
    *payload_out = kal_bytes_of(token.ptr + header, dot - header);
    *mac_out = kal_bytes_of(token.ptr + dot + 1, MAC_TEXT_BYTES);
    return true;
}

static bool decode_base64(kal_bytes text, uint8_t *out, size_t size, size_t *len_out)
{
    const char *end = NULL;
    return sodium_base642bin(out, size, (const char *)text.ptr, text.len, NULL, len_out, &end,
                             VARIANT) == 0 &&
           end == (const char *)text.ptr + text.len;
}

static bool take_number(const kal_json *json, const char *key, int64_t *out)
{
    const kal_json *member = kal_json_find(json, key);
    return member != NULL && member->kind == KAL_JSON_NUMBER && kal_parse_i64(member->text, out);
}

static const kal_json *take_text(const kal_json *json, const char *key)
{
    const kal_json *member = kal_json_find(json, key);
    return member != NULL && member->kind == KAL_JSON_STRING ? member : NULL;
}

static bool is_user_id(kal_bytes text)
{
    return text.len > 0 && text.len <= KAL_USER_ID_BYTES_MAX &&
           memchr(text.ptr, 0, text.len) == NULL;
}

static bool read_claims(const kal_json *json, kal_token_claims *claims)
{
    const kal_json *issuer = take_text(json, "iss");
    const kal_json *user = take_text(json, "sub");
    const kal_json *role = take_text(json, "role");
    const kal_json *type = take_text(json, "token_type");
    int64_t user_no = 0;
    int64_t generation = 0;

    *claims = (kal_token_claims){0};
    if (issuer == NULL || user == NULL || role == NULL || type == NULL ||
        !take_number(json, "uno", &user_no) || !take_number(json, "gen", &generation) ||
        !take_number(json, "iat", &claims->issued_s) ||
        !take_number(json, "exp", &claims->expires_s))
        return false;
    if (!kal_bytes_equal(issuer->text, kal_cstr(ISSUER)) || user_no <= 0 || generation < 0 ||
        generation > UINT32_MAX || !is_user_id(user->text) ||
        !kal_role_parse(role->text, &claims->principal.role))
        return false;
    claims->is_refresh = kal_bytes_equal(type->text, KAL_STR("refresh"));
    claims->generation = (uint32_t)generation;
    claims->principal.user_no = (uint64_t)user_no;
    memcpy(claims->principal.user_id, user->text.ptr, user->text.len);
    return claims->is_refresh || kal_bytes_equal(type->text, KAL_STR("access"));
}

static bool parse_payload(kal_bytes payload, kal_token_claims *claims)
{
    uint8_t json_bytes[KAL_TOKEN_BYTES_MAX];
    size_t len = 0;
    kal_json *json = NULL;
    kal_arena arena;

    if (!decode_base64(payload, json_bytes, sizeof json_bytes, &len))
        return false;
    kal_arena_init(&arena, NULL);
    bool good = kal_json_parse(kal_bytes_of(json_bytes, len), &arena, &json, NULL) == KAL_OK &&
                read_claims(json, claims);
    kal_arena_release(&arena);
    return good;
}

kal_status kal_token_verify(const uint8_t secret[KAL_TOKEN_SECRET_BYTES], kal_bytes token,
                            int64_t now_s, kal_token_claims *claims_out, kal_error *err)
{
    uint8_t expected[MAC_BYTES];
    uint8_t given[MAC_BYTES];
    size_t len = 0;
    kal_bytes text;
    kal_bytes payload;
    kal_bytes mac;

    if (!split(token, &text, &payload, &mac) || !decode_base64(mac, given, sizeof given, &len) ||
        len != sizeof given)
        return invalid(err);
    mac_of(secret, text, expected);
    if (sodium_memcmp(expected, given, sizeof expected) != 0 || !parse_payload(payload, claims_out))
        return invalid(err);
    if (now_s < claims_out->expires_s)
        return KAL_OK;
    kal_error_set(err, KAL_UNAUTHORIZED, "the token has expired");
    kal_error_code(err, "TOKEN_EXPIRED");
    return KAL_UNAUTHORIZED;
}
