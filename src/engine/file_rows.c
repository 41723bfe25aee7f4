#include "engine/file_rows.h"

#include <string.h>

/* The dead rows of a word, as far as they are in [first, end). */
static uint64_t dead_in_word(const kal_file_rows *file, uint64_t word, uint64_t first, uint64_t end)
{
    const uint64_t row = word * 64;
    uint64_t bits = file->dead[word];

    if (row < first)
        bits &= ~UINT64_C(0) << (first - row);
    if (end - row < 64)
        bits &= ~(~UINT64_C(0) << (end - row));
    return bits;
}

static size_t count_live(const kal_file_rows *file, uint64_t first, uint64_t end)
{
    size_t live = end - first;
    for (uint64_t word = first / 64; word * 64 < end; word++)
        live -= (size_t)__builtin_popcountll(dead_in_word(file, word, first, end));
    return live;
}

/* Several in one instruction, on any processor. */
typedef uint32_t lanes __attribute__((vector_size(16)));
enum { LANES = sizeof(lanes) / sizeof(uint32_t) };

/* from, from + 1, ... to - 1 */
static uint32_t *append_run(uint32_t *out, uint64_t from, uint64_t to)
{
    const size_t count = to - from;
    uint32_t next = (uint32_t)from;
    lanes places = {next, next + 1, next + 2, next + 3};
    size_t i = 0;

    for (; i + LANES <= count; i += LANES, places += LANES)
        memcpy(out + i, &places, sizeof places);
    for (next += (uint32_t)i; i < count; i++)
        out[i] = next++;
    return out + count;
}

/* Most rows are alive: the dead ones are looked for, and what lies between them is written. Returns
 * how many that are. */
static size_t list_live(const kal_file_rows *file, uint64_t first, uint64_t end, uint32_t *out)
{
    uint32_t *const start = out;
    uint64_t next = first;

    for (uint64_t word = first / 64; word * 64 < end; word++) {
        uint64_t bits = dead_in_word(file, word, first, end);
        for (; bits != 0; bits &= bits - 1) {
            uint64_t row = word * 64 + (uint64_t)__builtin_ctzll(bits);
            out = append_run(out, next - first, row - first);
            next = row + 1;
        }
    }
    out = append_run(out, next - first, end - first);
    return (size_t)(out - start);
}

size_t kal_file_rows_live(const kal_file_rows *file, uint64_t first, size_t count,
                          uint32_t *live_out)
{
    if (first >= file->row_count)
        return 0;
    uint64_t end = count > file->row_count - first ? file->row_count : first + count;
    return live_out == NULL ? count_live(file, first, end) : list_live(file, first, end, live_out);
}
