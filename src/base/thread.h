/*
 * thread.h: threads with a stated stack size and a name; waiting for a while.
 */
#ifndef KAL_BASE_THREAD_H
#define KAL_BASE_THREAD_H

#include "base/error.h"

#include <pthread.h>

typedef void (*kal_thread_fn)(void *context);

/* Starts fn(context). stack_bytes 0 = the system's default. name: at most 15 characters, shown by
 * top -H. All signals are blocked in the new thread. KAL_IO when the system refuses. */
KAL_MUST_CHECK kal_status kal_thread_start(pthread_t *thread_out, const char *name,
                                           size_t stack_bytes, kal_thread_fn fn, void *context,
                                           kal_error *err);

/* From now on the calling thread, where others want the core too, gets a tenth of what they get,
 * and they need not wait for the end of its slice: for work that nobody waits for. */
void kal_thread_lower_priority(void);

/* Does nothing for so long: for loops that look again and again. */
void kal_thread_pause(unsigned ms);

/* Waits for the condition (of the default clock), at most so long; the lock is held. */
void kal_cond_wait_for(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t ns);

#endif
