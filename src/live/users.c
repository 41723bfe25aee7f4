/*
 * users.c: what each user's live queries take together: subscriptions, and memory, so that nobody
 * can take all of it from others.
 */
#include "base/assert.h"
#include "live/live_internal.h"

#include <stdlib.h>

enum { SHARE = 4, SHARE_BYTES_MIN = 16 * 1024 * 1024 };

/* Of the memory of all statements and live queries. */
static size_t share_of(const kal_budget *all)
{
    size_t share = all == NULL ? SIZE_MAX : all->limit / SHARE;
    return share < SHARE_BYTES_MIN ? SHARE_BYTES_MIN : share;
}

/* The lock is held. */
static live_user *find_or_make(kal_live *live, uint64_t user_no)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];
    kal_bytes key = live_number_key(user_no, bytes);
    live_user *user = kal_map_find(&live->users, key);

    if (user != NULL)
        return user;
    user = calloc(1, sizeof *user); /* owned by the map, until its last reference is gone */
    if (user == NULL)
        kal_die("out of memory: live queries");
    user->live = live;
    user->user_no = user_no;
    kal_budget_init(&user->budget, live->options.budget, share_of(live->options.budget));
    kal_map_put(&live->users, key, user);
    return user;
}

live_user *live_user_get(kal_live *live, uint64_t user_no)
{
    pthread_mutex_lock(&live->users_lock);
    live_user *user = find_or_make(live, user_no);
    user->refs++;
    pthread_mutex_unlock(&live->users_lock);
    return user;
}

live_user *live_user_retain(live_user *user)
{
    pthread_mutex_lock(&user->live->users_lock);
    user->refs++;
    pthread_mutex_unlock(&user->live->users_lock);
    return user;
}

void live_user_release(live_user *user)
{
    uint8_t bytes[LIVE_NUMBER_BYTES];

    if (user == NULL)
        return;
    kal_live *live = user->live;
    pthread_mutex_lock(&live->users_lock);
    bool is_last = --user->refs == 0;
    if (is_last)
        kal_map_remove(&live->users, live_number_key(user->user_no, bytes));
    pthread_mutex_unlock(&live->users_lock);
    if (!is_last)
        return;
    KAL_ASSERT(user->subs == 0 && user->budget.used == 0);
    free(user);
}

kal_status live_too_many(const char *whose, unsigned most, kal_error *err)
{
    kal_error_set(err, KAL_LIMIT, "%s may have %u subscriptions at a time", whose, most);
    kal_error_code(err, "SUBSCRIPTION_LIMIT_EXCEEDED");
    return KAL_LIMIT;
}

live_user *live_user_enter(kal_live *live, uint64_t user_no)
{
    live_user *user = NULL;

    pthread_mutex_lock(&live->users_lock);
    user = find_or_make(live, user_no);
    user->refs++;
    bool may = user->subs < live->options.per_user_max;
    user->subs += may;
    pthread_mutex_unlock(&live->users_lock);
    if (may)
        return user;
    live_user_release(user);
    return NULL;
}

void live_user_leave(live_user *user)
{
    pthread_mutex_lock(&user->live->users_lock);
    KAL_ASSERT(user->subs > 0);
    user->subs--;
    pthread_mutex_unlock(&user->live->users_lock);
    live_user_release(user);
}
