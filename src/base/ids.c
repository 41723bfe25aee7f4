/*
 * ids.c: one 64-bit counter, milliseconds << 12 | sequence, moved by compare-and-swap.
 *
 * The counter is max(now, last + 1). More than 4096 ids in one millisecond, or a clock that stepped
 * back, make it run ahead of the clock by itself: ids go on ascending and nobody waits.
 */
#include "base/ids.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/rng.h"

enum { SEQUENCE_BITS = 12, SEQUENCE_MASK = 0xFFF, NODE_MAX = 1023 };
#define TICK_MS_MAX ((UINT64_C(1) << 41) - 1) /* in the year 2093 */

void kal_ids_init(kal_ids *ids, const kal_clock *clock, uint16_t node)
{
    KAL_ASSERT(node <= NODE_MAX);
    ids->clock = clock;
    ids->node = node;
    atomic_init(&ids->last, 0);
}

static uint64_t now_tick(const kal_ids *ids)
{
    int64_t ms = kal_clock_wall_us(ids->clock) / 1000 - KAL_SNOWFLAKE_EPOCH_MS;
    if (ms < 0)
        return 0;
    return (uint64_t)ms << SEQUENCE_BITS;
}

static uint64_t next_tick(kal_ids *ids)
{
    uint64_t now = now_tick(ids);
    uint64_t last = atomic_load_explicit(&ids->last, memory_order_relaxed);
    uint64_t next = 0;
    do {
        next = now > last ? now : last + 1;
    } while (!atomic_compare_exchange_weak_explicit(&ids->last, &last, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (next >> SEQUENCE_BITS > TICK_MS_MAX)
        kal_die("the clock is beyond the year 2093: no identifiers are left");
    return next;
}

static uint64_t unix_ms(uint64_t tick)
{
    return (tick >> SEQUENCE_BITS) + (uint64_t)KAL_SNOWFLAKE_EPOCH_MS;
}

int64_t kal_ids_snowflake(kal_ids *ids)
{
    uint64_t tick = next_tick(ids);
    uint64_t id = (tick >> SEQUENCE_BITS) << 22 | (uint64_t)ids->node << SEQUENCE_BITS |
                  (tick & SEQUENCE_MASK);
    return (int64_t)id;
}

/* 48 bits of time, and the sequence on top of the bits that may be random: the shape that UUIDv7
 * and ULID share. */
void kal_ids_uuid_v7(kal_ids *ids, uint8_t out[16])
{
    uint64_t tick = next_tick(ids);
    kal_random_bytes(out + 8, 8);
    kal_store_be64(out, unix_ms(tick) << 16 | 0x7000 | (tick & SEQUENCE_MASK));
    out[8] = (uint8_t)(0x80 | (out[8] & 0x3F));
}

void kal_ids_ulid(kal_ids *ids, char out[KAL_ULID_TEXT_LEN])
{
    static const char CROCKFORD[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t raw[16];
    uint64_t tick = next_tick(ids);
    kal_random_bytes(raw + 7, 9);
    kal_store_be64(raw, unix_ms(tick) << 16 | (tick & SEQUENCE_MASK) << 4 | (raw[7] & 0x0F));

    kal_u128 value = (kal_u128)kal_load_be64(raw) << 64 | kal_load_be64(raw + 8);
    for (size_t i = KAL_ULID_TEXT_LEN; i-- > 0; value >>= 5)
        out[i] = CROCKFORD[(unsigned)value & 31];
}

void kal_uuid_format(const uint8_t uuid[16], char out[KAL_UUID_TEXT_LEN])
{
    static const char HEX[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = HEX[uuid[i] >> 4];
        out[at++] = HEX[uuid[i] & 15];
    }
}
