/*
 * defs.h: the few compiler facts everything else leans on.
 */
#ifndef KAL_BASE_DEFS_H
#define KAL_BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KAL_MUST_CHECK         __attribute__((warn_unused_result))
#define KAL_PRINTF(text, args) __attribute__((format(printf, text, args)))
#define KAL_NORETURN           __attribute__((noreturn))
#define KAL_LIKELY(x)          __builtin_expect(!!(x), 1)
#define KAL_UNLIKELY(x)        __builtin_expect(!!(x), 0)
#define KAL_ARRAY_LEN(a)       (sizeof(a) / sizeof((a)[0]))

__extension__ typedef __int128 kal_i128;
__extension__ typedef unsigned __int128 kal_u128;

/* Lengths that came from outside are only ever combined through these: false means overflow. */
#define kal_try_add(a, b, out) (!__builtin_add_overflow((a), (b), (out)))
#define kal_try_sub(a, b, out) (!__builtin_sub_overflow((a), (b), (out)))
#define kal_try_mul(a, b, out) (!__builtin_mul_overflow((a), (b), (out)))

#endif
