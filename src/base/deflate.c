#include "base/deflate.h"
#include "base/assert.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    INFLATER_BYTES = 48 * 1024, /* state and window: what zlib takes, rounded up */
    OUT_STEP_MIN = 256,
    WINDOW_BITS_MIN = 9, /* zlib takes 8 for 9 */
    WINDOW_BITS_MAX = 15,
    MEMORY_LEVEL_MAX = 8,
    LEVEL = 3, /* rows as JSON, 44 KB: 0.46 ms for 9.3 KB; level 6 takes 1.04 ms for 8.4 KB */
    PENDING_BYTES = 64,
};

/* zlib counts with unsigned int; nobody here has so much. */
#define INPUT_BYTES_MAX ((size_t)UINT_MAX / 2)

typedef struct effort {
    int window_bits;
    int memory_level;
    size_t memory_bytes;
} effort;

/* Small inputs need small tables: clearing large ones takes 50 µs, compressing 500 bytes 13 µs. */
static effort effort_for(size_t input_len)
{
    effort e = {.window_bits = WINDOW_BITS_MIN};
    while (e.window_bits < WINDOW_BITS_MAX && ((size_t)1 << e.window_bits) < input_len)
        e.window_bits++;
    e.memory_level = e.window_bits - 6;
    if (e.memory_level > MEMORY_LEVEL_MAX)
        e.memory_level = MEMORY_LEVEL_MAX;
    e.memory_bytes =
        ((size_t)1 << (e.window_bits + 2)) + ((size_t)1 << (e.memory_level + 9)) + 8 * 1024;
    return e;
}

static kal_status deflate_with(z_stream *stream, kal_bytes input, kal_buf *out, kal_error *err)
{
    size_t room = deflateBound(stream, (uLong)input.len) + PENDING_BYTES;
    if (!kal_buf_reserve(out, room))
        return kal_error_set(err, KAL_LIMIT, "no memory left to compress %zu bytes", input.len);
    stream->next_in = (Bytef *)(uintptr_t)input.ptr;
    stream->avail_in = (uInt)input.len;
    stream->next_out = out->ptr + out->len;
    stream->avail_out = (uInt)room;
    int code = deflate(stream, Z_SYNC_FLUSH);
    KAL_ASSERT(code == Z_OK || code == Z_BUF_ERROR);
    KAL_ASSERT(stream->avail_in == 0 && stream->avail_out > 0);
    out->len += room - stream->avail_out;
    return KAL_OK;
}

kal_status kal_deflate(kal_bytes input, kal_buf *out, kal_error *err)
{
    effort e = effort_for(input.len);
    z_stream stream = {0};

    if (input.len > INPUT_BYTES_MAX || !kal_budget_charge(out->budget, e.memory_bytes)) {
        out->failed = true;
        return kal_error_set(err, KAL_LIMIT, "no memory left to compress %zu bytes", input.len);
    }
    int code = deflateInit2(&stream, LEVEL, Z_DEFLATED, -e.window_bits, e.memory_level,
                            Z_DEFAULT_STRATEGY);
    if (code != Z_OK)
        kal_die("out of memory: %zu bytes to compress", e.memory_bytes);
    kal_status status = deflate_with(&stream, input, out, err);
    deflateEnd(&stream);
    kal_budget_release(out->budget, e.memory_bytes);
    return status;
}

struct kal_inflater {
    z_stream stream;
    kal_budget *budget; /* borrowed */
};

kal_inflater *kal_inflater_open(kal_budget *budget)
{
    if (!kal_budget_charge(budget, INFLATER_BYTES))
        return NULL;
    kal_inflater *inflater = calloc(1, sizeof *inflater);
    if (inflater == NULL || inflateInit2(&inflater->stream, -WINDOW_BITS_MAX) != Z_OK)
        kal_die("out of memory: inflater");
    inflater->budget = budget;
    return inflater;
}

void kal_inflater_close(kal_inflater *inflater)
{
    if (inflater == NULL)
        return;
    inflateEnd(&inflater->stream);
    kal_budget_release(inflater->budget, INFLATER_BYTES);
    free(inflater);
}

void kal_inflater_reset(kal_inflater *inflater)
{
    inflateReset(&inflater->stream);
}

bool kal_inflater_at_block_end(const kal_inflater *inflater)
{
    return (inflater->stream.data_type & 128) != 0;
}

/* Room for the next bytes that come out, one more than are allowed, so that too many are noticed.
 */
static bool make_room(kal_buf *out, size_t out_len_max)
{
    size_t left = out_len_max - out->len + 1;
    size_t step = out->len < OUT_STEP_MIN ? OUT_STEP_MIN : out->len;
    if (out->cap - out->len >= OUT_STEP_MIN)
        step = out->cap - out->len;
    return kal_buf_reserve(out, step < left ? step : left);
}

/* One call of zlib into the room there is; false when there is nothing left to do. */
static bool inflate_step(z_stream *stream, kal_buf *out, kal_status *status)
{
    size_t room = out->cap - out->len;
    if (room > INPUT_BYTES_MAX)
        room = INPUT_BYTES_MAX;
    stream->next_out = out->ptr + out->len;
    stream->avail_out = (uInt)room;
    int code = inflate(stream, Z_SYNC_FLUSH);
    out->len += room - stream->avail_out;
    if (code == Z_MEM_ERROR)
        kal_die("out of memory: inflater");
    if (code == Z_STREAM_END) { /* what follows begins at a byte, and may look back */
        inflateResetKeep(stream);
        return stream->avail_in > 0;
    }
    if (code != Z_OK && code != Z_BUF_ERROR) {
        *status = KAL_INVALID;
        return false;
    }
    return stream->avail_in > 0 || stream->avail_out == 0;
}

kal_status kal_inflater_add(kal_inflater *inflater, kal_bytes piece, size_t out_len_max,
                            kal_buf *out, kal_error *err)
{
    z_stream *stream = &inflater->stream;
    kal_status status = KAL_OK;
    bool more = true;

    KAL_ASSERT(piece.len <= INPUT_BYTES_MAX);
    stream->next_in = (Bytef *)(uintptr_t)piece.ptr;
    stream->avail_in = (uInt)piece.len;
    while (more && status == KAL_OK) {
        if (!make_room(out, out_len_max))
            return kal_error_set(err, KAL_LIMIT, "no memory left for a compressed message");
        more = inflate_step(stream, out, &status);
        if (out->len > out_len_max)
            return kal_error_set(err, KAL_LIMIT, "more than %zu bytes decompressed", out_len_max);
    }
    if (status != KAL_OK)
        return kal_error_set(err, status, "the compressed data is damaged");
    return KAL_OK;
}

uint32_t kal_crc32(kal_bytes bytes)
{
    return (uint32_t)crc32_z(0, bytes.ptr, bytes.len);
}

kal_crc32_operator kal_crc32_operator_of(size_t b_len)
{
    return (kal_crc32_operator)crc32_combine_gen((z_off_t)b_len);
}

uint32_t kal_crc32_combine(uint32_t a, uint32_t b, kal_crc32_operator operator_of_b)
{
    return (uint32_t)crc32_combine_op(a, b, operator_of_b);
}
