#include "server/ws_handshake.h"
#include "base/assert.h"

/* ---- SHA-1, for the accept key only: it protects nothing there ---- */

enum { SHA1_BYTES = 20, SHA1_BLOCK = 64, KEY_LEN = 24 };

static uint32_t rotate(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

static void sha1_block(uint32_t h[5], const uint8_t block[SHA1_BLOCK])
{
    uint32_t w[80];
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (unsigned i = 0; i < 16; i++)
        w[i] = kal_load_be32(block + i * 4);
    for (unsigned i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t f = 0;
        if (i < 20)
            f = ((b & c) | (~b & d)) + 0x5A827999;
        else if (i < 40)
            f = (b ^ c ^ d) + 0x6ED9EBA1;
        else if (i < 60)
            f = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
        else
            f = (b ^ c ^ d) + 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + f + e + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* Of texts that, with their end mark, fit into two blocks. */
static void sha1_short(kal_bytes text, uint8_t out[SHA1_BYTES])
{
    uint8_t blocks[2 * SHA1_BLOCK] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t count = text.len + 9 <= SHA1_BLOCK ? 1 : 2;

    KAL_ASSERT(text.len + 9 <= sizeof blocks);
    memcpy(blocks, text.ptr, text.len);
    blocks[text.len] = 0x80;
    kal_store_be64(blocks + count * SHA1_BLOCK - 8, (uint64_t)text.len * 8);
    for (size_t i = 0; i < count; i++)
        sha1_block(h, blocks + i * SHA1_BLOCK);
    for (size_t i = 0; i < 5; i++)
        kal_store_be32(out + i * 4, h[i]);
}

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void kal_ws_accept_of(kal_bytes key, char out[KAL_WS_ACCEPT_LEN + 1])
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_LEN + sizeof GUID];
    uint8_t hash[SHA1_BYTES + 1] = {0};

    KAL_ASSERT(key.len == KEY_LEN);
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, GUID, sizeof GUID - 1);
    sha1_short(kal_bytes_of(text, KEY_LEN + sizeof GUID - 1), hash);
    for (size_t i = 0, at = 0; i < sizeof hash; i += 3) {
        uint32_t group = (uint32_t)hash[i] << 16 | (uint32_t)hash[i + 1] << 8 | hash[i + 2];
        for (unsigned shift = 24; shift > 0; shift -= 6)
            out[at++] = BASE64[group >> (shift - 6) & 63];
    }
    out[KAL_WS_ACCEPT_LEN - 1] = '=';
    out[KAL_WS_ACCEPT_LEN] = '\0';
}

/* 16 bytes in base64: the last of 22 letters has four bits that say nothing, and are zero. */
static bool key_valid(kal_bytes key)
{
    if (key.len != KEY_LEN || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        if (key.ptr[i] == '\0' || strchr(BASE64, key.ptr[i]) == NULL)
            return false;
    }
    return strchr("AQgw", key.ptr[21]) != NULL;
}

/* ---- lists in headers ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(kal_bytes *text)
{
    while (text->len > 0 && is_blank(text->ptr[0]))
        *text = kal_bytes_of(text->ptr + 1, text->len - 1);
}

static bool take_char(kal_bytes *text, uint8_t c)
{
    if (text->len == 0 || text->ptr[0] != c)
        return false;
    *text = kal_bytes_of(text->ptr + 1, text->len - 1);
    return true;
}

static bool is_token_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool take_token(kal_bytes *text, kal_bytes *token_out)
{
    size_t len = 0;
    while (len < text->len && is_token_char(text->ptr[len]))
        len++;
    return kal_bytes_take(text, len, token_out) && len > 0;
}

/* A token, or one between quotes: no extension parameter has a value that is not a token. */
static bool take_value(kal_bytes *text, kal_bytes *value_out)
{
    if (!take_char(text, '"'))
        return take_token(text, value_out);
    return take_token(text, value_out) && take_char(text, '"');
}

/* Whether any header of this name has the token in its list. */
static bool list_has(const kal_http_request *request, const char *name, const char *token)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (!kal_bytes_equal_nocase(kal_http_header_name(request, i), kal_cstr(name)))
            continue;
        kal_bytes rest = kal_http_header_value(request, i);
        while (rest.len > 0) {
            kal_bytes found = {0};
            skip_blanks(&rest);
            if (take_token(&rest, &found) && kal_bytes_equal_nocase(found, kal_cstr(token))) {
                skip_blanks(&rest);
                if (rest.len == 0 || rest.ptr[0] == ',')
                    return true;
            }
            while (rest.len > 0 && !take_char(&rest, ','))
                rest = kal_bytes_of(rest.ptr + 1, rest.len - 1);
        }
    }
    return false;
}

/* ---- extensions ---- */

typedef struct offer {
    bool is_deflate;
    bool is_right; /* every parameter is known, has a right value and comes once */
    bool server_no_context;
    bool client_no_context;
    unsigned server_bits; /* 0: not named */
    unsigned client_bits; /* 1: named without a value */
} offer;

/* "8" to "15", without leading zeros; 0 when it is none of these. */
static unsigned window_bits(kal_bytes value)
{
    if (value.len == 1 && (value.ptr[0] == '8' || value.ptr[0] == '9'))
        return value.ptr[0] - (unsigned)'0';
    if (value.len == 2 && value.ptr[0] == '1' && value.ptr[1] >= '0' && value.ptr[1] <= '5')
        return 10 + value.ptr[1] - (unsigned)'0';
    return 0;
}

static bool note_flag(bool *flag, bool has_value)
{
    bool right = !*flag && !has_value;
    *flag = true;
    return right;
}

static bool note_bits(unsigned *bits, bool has_value, kal_bytes value, bool may_lack_value)
{
    bool is_first = *bits == 0;
    *bits = has_value ? window_bits(value) : (may_lack_value ? 1 : 0);
    return is_first && *bits != 0;
}

static bool note_parameter(offer *o, kal_bytes name, bool has_value, kal_bytes value)
{
    if (kal_bytes_equal_nocase(name, KAL_STR("server_no_context_takeover")))
        return note_flag(&o->server_no_context, has_value);
    if (kal_bytes_equal_nocase(name, KAL_STR("client_no_context_takeover")))
        return note_flag(&o->client_no_context, has_value);
    if (kal_bytes_equal_nocase(name, KAL_STR("server_max_window_bits")))
        return note_bits(&o->server_bits, has_value, value, false);
    if (kal_bytes_equal_nocase(name, KAL_STR("client_max_window_bits")))
        return note_bits(&o->client_bits, has_value, value, true);
    return false;
}

/* name [; parameter [= value]]...; false when it is not even that. */
static bool take_offer(kal_bytes *rest, offer *o)
{
    kal_bytes name = {0};

    *o = (offer){.is_right = true};
    if (!take_token(rest, &name))
        return false;
    o->is_deflate = kal_bytes_equal_nocase(name, KAL_STR("permessage-deflate"));
    skip_blanks(rest);
    while (take_char(rest, ';')) {
        kal_bytes parameter = {0};
        kal_bytes value = {0};
        skip_blanks(rest);
        if (!take_token(rest, &parameter))
            return false;
        skip_blanks(rest);
        bool has_value = take_char(rest, '=');
        if (has_value) {
            skip_blanks(rest);
            if (!take_value(rest, &value))
                return false;
            skip_blanks(rest);
        }
        o->is_right = note_parameter(o, parameter, has_value, value) && o->is_right;
    }
    return rest->len == 0 || rest->ptr[0] == ',';
}

static void accept_offer(const offer *o, kal_ws_handshake *out)
{
    if (out->deflate || !o->is_deflate || !o->is_right)
        return;
    out->deflate = true;
    out->names_server_window = o->server_bits != 0;
    if (out->names_server_window)
        out->server_window_bits = o->server_bits;
}

static kal_status check_extensions(const kal_http_request *request, kal_ws_handshake *out,
                                   kal_error *err)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (!kal_bytes_equal_nocase(kal_http_header_name(request, i),
                                    KAL_STR("sec-websocket-extensions")))
            continue;
        kal_bytes rest = kal_http_header_value(request, i);
        for (skip_blanks(&rest); rest.len > 0; skip_blanks(&rest)) {
            offer o;
            if (take_char(&rest, ',')) /* empty items of a list are ignored */
                continue;
            if (!take_offer(&rest, &o))
                return kal_error_set(err, KAL_INVALID,
                                     "the header Sec-WebSocket-Extensions is not a list of "
                                     "extensions");
            accept_offer(&o, out);
        }
    }
    return KAL_OK;
}

/* ---- the handshake ---- */

const kal_http_field kal_ws_refusal_fields[KAL_WS_REFUSAL_FIELDS] = {
    {"Upgrade", "websocket"},
    {"Sec-WebSocket-Version", "13"},
};

/* The value of a header that must be there once. */
static bool only_value(const kal_http_request *request, const char *name, kal_bytes *value_out)
{
    return kal_http_header_find(request, name, value_out) &&
           kal_http_header_times(request, name) == 1;
}

kal_status kal_ws_handshake_check(const kal_http_request *request, bool allow_deflate,
                                  kal_ws_handshake *out, kal_error *err)
{
    kal_bytes version = {0};
    kal_bytes key = {0};

    *out = (kal_ws_handshake){.server_window_bits = 15};
    if (request->method != KAL_HTTP_GET || request->minor < 1 || request->body.len > 0)
        return kal_error_set(err, KAL_INVALID,
                             "a WebSocket begins with a GET of HTTP/1.1 without a body");
    if (!list_has(request, "upgrade", "websocket"))
        return kal_error_set(err, KAL_UNSUPPORTED, "only WebSockets are spoken here");
    if (!list_has(request, "connection", "upgrade"))
        return kal_error_set(err, KAL_INVALID, "the header Connection does not say 'Upgrade'");
    if (!only_value(request, "sec-websocket-version", &version) ||
        !kal_bytes_equal(version, KAL_STR("13")))
        return kal_error_set(err, KAL_UNSUPPORTED,
                             "the only version of WebSockets spoken here is 13");
    if (!only_value(request, "sec-websocket-key", &key) || !key_valid(key))
        return kal_error_set(err, KAL_INVALID,
                             "the header Sec-WebSocket-Key is not 16 bytes in base64");
    kal_ws_accept_of(key, out->accept);
    return allow_deflate ? check_extensions(request, out, err) : KAL_OK;
}

void kal_ws_handshake_reply(const kal_ws_handshake *handshake, kal_buf *out)
{
    kal_buf_append_cstr(out, "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: ");
    kal_buf_append_cstr(out, handshake->accept);
    if (handshake->deflate)
        kal_buf_append_cstr(out, "\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                 "server_no_context_takeover; client_no_context_takeover");
    if (handshake->names_server_window) {
        kal_buf_append_cstr(out, "; server_max_window_bits=");
        kal_buf_append_u64_text(out, handshake->server_window_bits);
    }
    kal_buf_append_cstr(out, "\r\n\r\n");
}
