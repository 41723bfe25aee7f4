/*
 * assert.h: assertions for our own mistakes, kept in release builds.
 *
 * KAL_ASSERT guards cheap invariants everywhere; KAL_DEBUG_ASSERT the costly ones, in builds with
 * sanitizers or without NDEBUG. Never assert on what a client, a disk or a network sent: those are
 * errors (error.h).
 */
#ifndef KAL_BASE_ASSERT_H
#define KAL_BASE_ASSERT_H

#include "base/defs.h"

KAL_NORETURN void kal_assert_fail(const char *condition, const char *file, int line);

/* Ends the process with a message: memory is exhausted or the machine is broken. */
KAL_NORETURN void kal_die(const char *format, ...) KAL_PRINTF(1, 2);

#define KAL_ASSERT(condition)                                                                      \
    (KAL_LIKELY(condition) ? (void)0 : kal_assert_fail(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define KAL_DEBUG_ASSERT(condition) ((void)0)
#else
#define KAL_DEBUG_ASSERT(condition) KAL_ASSERT(condition)
#endif

#endif
