/*
 * backup_schedule.c: backups that the server makes by itself: one each backup_interval_s, into
 * backup_dir, of which the newest backups_kept are kept.
 *
 * Which there are and how old they are, the directory says: nothing else is remembered, so a
 * restart changes nothing. Only what is ours is ever removed: a directory with our kind of name
 * whose backup.json says that the server itself wanted it.
 */
#include "backup/backup.h"
#include "base/log.h"
#include "base/vec.h"
#include "exec/jobs.h"
#include "types/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_START   "kalamdb-"
#define PARTIAL_END  ".partial-"
#define REMOVING_END ".removing"

enum {
    STAMP_LEN = 16, /* 20260131T235959Z */
    NAME_LEN = sizeof NAME_START - 1 + STAMP_LEN,
    TICK_MS_MAX = 60 * 1000,
    SECOND_US = 1000000,
    RETRY_SECONDS_MAX = 600, /* after a backup that failed */
};

typedef struct made_backup {
    char *path; /* arena */
    int64_t created_at_us;
} made_backup;

typedef KAL_VEC(made_backup) made_backups; /* arena */

/* "kalamdb-20260131T235959Z" and an end. */
static bool is_name(const char *name, const char *end)
{
    if (strncmp(name, NAME_START, strlen(NAME_START)) != 0 || strlen(name) < NAME_LEN)
        return false;
    for (size_t i = strlen(NAME_START); i < NAME_LEN; i++) {
        size_t at = i - strlen(NAME_START);
        char wanted = at == 8 ? 'T' : at == STAMP_LEN - 1 ? 'Z' : '0';
        bool right = wanted == '0' ? name[i] >= '0' && name[i] <= '9' : name[i] == wanted;
        if (!right)
            return false;
    }
    return end[0] == '\0' ? name[NAME_LEN] == '\0'
                          : strncmp(name + NAME_LEN, end, strlen(end)) == 0;
}

static char *new_path(const char *directory, int64_t now_us, kal_arena *arena)
{
    int64_t year = 0;
    unsigned month = 0;
    unsigned day = 0;
    int64_t seconds = now_us / SECOND_US;

    kal_civil_from_days(seconds / 86400, &year, &month, &day);
    return kal_arena_printf(arena, "%s/" NAME_START "%04lld%02u%02uT%02d%02d%02dZ", directory,
                            (long long)year, month, day, (int)(seconds / 3600 % 24),
                            (int)(seconds / 60 % 60), (int)(seconds % 60));
}

/* ---- what there is ---- */

static int newest_first(const void *a, const void *b)
{
    int64_t x = ((const made_backup *)a)->created_at_us;
    int64_t y = ((const made_backup *)b)->created_at_us;
    return (x < y) - (x > y);
}

static void look_at(const char *directory, const char *name, bool at_start, kal_arena *arena,
                    made_backups *found)
{
    char *path = kal_arena_printf(arena, "%s/%s", directory, name);
    kal_backup backup;

    if (is_name(name, REMOVING_END) || (at_start && is_name(name, PARTIAL_END))) {
        kal_backup_remove(path); /* a crash has left it */
        return;
    }
    if (!is_name(name, "") || kal_backup_describe(kal_cstr(path), arena, &backup, NULL) != KAL_OK ||
        !backup.is_scheduled)
        return;
    const made_backup made = {path, backup.created_at_us};
    if (!kal_vec_try_push_in(arena, found, made))
        kal_die("out of memory: backups");
}

static kal_status list(const char *directory, bool at_start, kal_arena *arena, made_backups *found,
                       kal_error *err)
{
    DIR *open = opendir(directory);

    if (open == NULL)
        return kal_error_set(err, KAL_IO, "cannot read the directory of backups '%s': %s",
                             directory, strerror(errno));
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open))
        look_at(directory, entry->d_name, at_start, arena, found);
    closedir(open);
    if (found->len > 1)
        qsort(found->items, found->len, sizeof *found->items, newest_first);
    return KAL_OK;
}

/* ---- now and then ---- */

static void remove_oldest(const made_backups *made, unsigned kept)
{
    for (size_t i = kept; i < made->len; i++) {
        kal_log_info("backup", "'%s' is removed: %u newer ones are kept", made->items[i].path,
                     kept);
        kal_backup_remove(made->items[i].path);
    }
}

static kal_status look(kal_exec *exec, kal_arena *arena, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    int64_t now_us = kal_clock_wall_us(o->clock);
    int64_t interval_us = (int64_t)o->backup_interval_s * SECOND_US;
    int64_t retry_us = o->backup_interval_s < RETRY_SECONDS_MAX
                           ? interval_us
                           : (int64_t)RETRY_SECONDS_MAX * SECOND_US;
    made_backups made = {0};

    KAL_TRY(list(o->backup_dir, false, arena, &made, err));
    remove_oldest(&made, o->backups_kept);
    bool is_due = made.len == 0 || now_us - made.items[0].created_at_us >= interval_us;
    if (!is_due || now_us - exec->backup_tried_us < retry_us)
        return KAL_OK;
    kal_status status =
        kal_backup_schedule(exec, kal_cstr(new_path(o->backup_dir, now_us, arena)), err);
    if (status == KAL_OK)
        exec->backup_tried_us = now_us;
    return status == KAL_EXISTS ? KAL_OK : status; /* somebody makes one */
}

static kal_status tick(kal_jobs *jobs, void *context, kal_error *err)
{
    kal_arena arena; /* owned */

    (void)jobs;
    kal_arena_init(&arena, NULL);
    kal_status status = look(context, &arena, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_backup_schedule_start(kal_exec *exec, kal_error *err)
{
    const kal_exec_options *o = &exec->options;
    uint64_t tick_ms = o->backup_interval_s * 1000;
    made_backups made = {0};
    kal_error warning = KAL_ERROR_INIT;
    kal_arena arena; /* owned */

    if (o->backup_dir == NULL || o->backup_dir[0] == '\0')
        return KAL_OK;
    if (o->backup_dir[0] != '/')
        return kal_error_set(err, KAL_INVALID, "the directory of backups '%s' must begin with '/'",
                             o->backup_dir);
    kal_status status = kal_backup_check_outside(o->backup_dir, o->data_dir, err);
    if (status != KAL_OK && status != KAL_NOT_FOUND)
        return status;
    kal_arena_init(&arena, NULL);
    if (list(o->backup_dir, true, &arena, &made, &warning) != KAL_OK)
        kal_log_warn("backup", "%s", warning.message); /* it may be mounted later */
    kal_arena_release(&arena);
    return kal_jobs_every(exec->jobs, "backup", tick_ms < TICK_MS_MAX ? tick_ms : TICK_MS_MAX, tick,
                          exec, err);
}
