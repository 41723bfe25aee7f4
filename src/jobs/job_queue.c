#include "jobs/job_queue.h"
#include "base/assert.h"
#include "base/json_reader.h"
#include "base/map.h"
#include "base/rng.h"
#include "store/entity_store.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RECORD_KIND = 1,
    RECORD_FORMAT = 1,
    TURNS_MAX = 4096, /* tables whose last turn is remembered */
    CLEAN_MAX = 1000, /* of one batch */
};

struct kal_job_queue {
    kal_entity_store store;
    const kal_clock *clock; /* borrowed */
    kal_job_queue_options options;
    kal_budget budget; /* of the entries' texts */
    kal_rng rng;
    kal_list entries; /* unfinished ones, by number */
    size_t count;
    kal_map keys;  /* key -> kal_job_entry */
    kal_map turns; /* table or type -> number of its last turn */
    uintptr_t turn;
    uint64_t number_last;
    size_t finished_count;
};

/* ---- records ---- */

static void record_key(const kal_job_queue *q, uint64_t number, kal_entity_key *key)
{
    kal_entity_key_init(key, &q->store);
    kal_entity_key_u64(key, number);
}

static kal_status put(const kal_job_queue *q, kal_kv_batch *batch, const kal_job *job,
                      kal_error *err)
{
    kal_entity_key key;
    kal_buf record; /* owned */

    kal_buf_init(&record, NULL);
    kal_job_encode(job, &record);
    record_key(q, job->number, &key);
    kal_status status = kal_entity_put(&q->store, batch, &key, kal_buf_bytes(&record), err);
    kal_buf_release(&record);
    return status;
}

/* Durable when this returns KAL_OK. */
static kal_status write_job(const kal_job_queue *q, const kal_job *job, kal_error *err)
{
    kal_kv_batch *batch = kal_kv_batch_open(q->store.kv); /* owned */
    kal_status status = put(q, batch, job, err);
    if (status == KAL_OK)
        status = kal_kv_write(q->store.kv, batch, true, err);
    kal_kv_batch_close(batch);
    return status;
}

typedef struct job_scan {
    kal_job_queue *queue;
    kal_job_visit visit;
    void *context;
} job_scan;

static kal_status visit_record(void *context, kal_bytes parts, const kal_entity *entity,
                               kal_error *err)
{
    const job_scan *scan = context;
    uint64_t number = 0;
    kal_job job;
    kal_arena arena;

    KAL_TRY(kal_entity_take_u64(&scan->queue->store, &parts, &number, err));
    kal_arena_init(&arena, NULL);
    kal_status status = kal_job_decode(number, entity->record, &arena, &job, err);
    if (status == KAL_OK)
        status = scan->visit(scan->context, &job, err);
    kal_arena_release(&arena);
    return status;
}

kal_status kal_job_queue_scan(kal_job_queue *q, const kal_kv_snapshot *snapshot,
                              kal_job_visit visit, void *context, kal_error *err)
{
    job_scan scan = {q, visit, context};
    kal_entity_key prefix;
    kal_entity_key_init(&prefix, &q->store);
    return kal_entity_scan(&q->store, snapshot, &prefix, visit_record, &scan, err);
}

kal_status kal_job_queue_get(kal_job_queue *q, const kal_kv_snapshot *snapshot, uint64_t number,
                             kal_arena *arena, kal_job *out, kal_error *err)
{
    kal_entity_key key;
    kal_entity entity;

    record_key(q, number, &key);
    KAL_TRY(kal_entity_get(&q->store, snapshot, &key, arena, &entity, err));
    return kal_job_decode(number, entity.record, arena, out, err);
}

/* ---- entries ---- */

static bool copy_texts(kal_arena *arena, kal_job *job)
{
    kal_bytes *texts[] = {&job->namespace_id, &job->table_name, &job->key,    &job->actor,
                          &job->parameters,   &job->progress,   &job->result, &job->error_text};
    for (size_t i = 0; i < KAL_ARRAY_LEN(texts); i++) {
        if (!kal_arena_try_copy(arena, *texts[i], texts[i]))
            return false;
    }
    return true;
}

static void free_entry(kal_job_entry *entry)
{
    kal_arena_release(&entry->last_run);
    kal_arena_release(&entry->arena);
    free(entry);
}

/* NULL: the budget refuses. Not in the queue yet. */
static kal_job_entry *make_entry(kal_job_queue *q, const kal_job *job)
{
    kal_job_entry *entry = calloc(1, sizeof *entry); /* owned by the queue once added */

    if (entry == NULL)
        kal_die("out of memory: jobs");
    kal_list_init(&entry->link);
    kal_arena_init(&entry->arena, &q->budget);
    kal_arena_init(&entry->last_run, &q->budget);
    entry->job = *job;
    entry->outcome = KAL_ERROR_INIT;
    atomic_store(&entry->cancel, job->cancel_asked);
    if (copy_texts(&entry->arena, &entry->job))
        return entry;
    free_entry(entry);
    return NULL;
}

static void add_entry(kal_job_queue *q, kal_job_entry *entry)
{
    kal_list_push_back(&q->entries, &entry->link);
    kal_map_put(&q->keys, entry->job.key, entry);
    q->count++;
}

/* The job is finished: it stays for those who hold it. */
static void remove_entry(kal_job_queue *q, kal_job_entry *entry)
{
    KAL_ASSERT(kal_job_is_finished(entry->job.status));
    kal_list_remove(&entry->link);
    KAL_ASSERT(kal_map_remove(&q->keys, entry->job.key) == entry);
    q->count--;
    q->finished_count++;
    if (entry->holders == 0)
        free_entry(entry);
}

void kal_job_queue_hold(kal_job_entry *entry)
{
    entry->holders++;
}

void kal_job_queue_release(kal_job_entry *entry)
{
    KAL_ASSERT(entry->holders > 0);
    if (--entry->holders == 0 && kal_job_is_finished(entry->job.status))
        free_entry(entry);
}

kal_job_entry *kal_job_queue_find(kal_job_queue *q, uint64_t number)
{
    KAL_LIST_FOR_EACH (link, &q->entries) {
        kal_job_entry *entry = KAL_CONTAINER_OF(link, kal_job_entry, link);
        if (entry->job.number == number)
            return entry;
    }
    return NULL;
}

size_t kal_job_queue_finished_count(const kal_job_queue *q)
{
    return q->finished_count;
}

/* ---- changes of state ---- */

static int64_t now_us(const kal_job_queue *q)
{
    int64_t now = kal_clock_wall_us(q->clock);
    return now < 0 ? 0 : now;
}

static void move_to(kal_job *job, kal_job_status status, int64_t now)
{
    KAL_ASSERT(kal_job_may_become(job->status, status));
    job->status = status;
    job->updated_at_us = now;
    job->due_us = 0;
    if (status == KAL_JOB_RUNNING) {
        job->started_at_us = now;
        job->start_count++;
        job->progress = (kal_bytes){0};
    }
    if (kal_job_is_finished(status))
        job->finished_at_us = now;
}

/* At most `max` bytes, cut at a character; "" when memory is used up: it is only shown. */
static kal_bytes short_text(kal_arena *arena, kal_bytes text, size_t max)
{
    kal_bytes copy = {0};
    if (text.len > max) {
        text.len = max;
        while (text.len > 0 && (text.ptr[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    if (!kal_utf8_valid(text) || !kal_arena_try_copy(arena, text, &copy))
        return (kal_bytes){0};
    return copy;
}

/* The text is in the arena. */
static void keep_error(kal_job_entry *entry, kal_job *job, kal_status status,
                       const kal_error *error, kal_arena *arena)
{
    char text[KAL_ERROR_MESSAGE_BYTES + KAL_ERROR_HINT_BYTES + 4];

    job->error = status;
    if (error->hint[0] == '\0')
        snprintf(text, sizeof text, "%s", error->message);
    else
        snprintf(text, sizeof text, "%s (%s)", error->message, error->hint);
    job->error_text = short_text(arena, kal_cstr(text), KAL_JOB_TEXT_BYTES_MAX);
    entry->outcome = *error;
    entry->outcome.status = status;
}

/* The job's texts are in `texts` now, or with those that it was made with. A job may be tried again
 * for ever: what an earlier run left must not stay. */
static void replace_last_run(kal_job_entry *entry, kal_arena *texts)
{
    kal_arena_release(&entry->last_run);
    entry->last_run = *texts;
}

/* ---- opening, recovering ---- */

static kal_status load_job(void *context, const kal_job *job, kal_error *err)
{
    kal_job_queue *q = context;

    q->number_last = job->number;
    if (kal_job_is_finished(job->status)) {
        q->finished_count++;
        return KAL_OK;
    }
    if (kal_map_find(&q->keys, job->key) != NULL)
        return kal_error_set(err, KAL_CORRUPT, "two unfinished jobs have the key '%.*s'",
                             KAL_FMT(job->key));
    kal_job_entry *entry = make_entry(q, job);
    if (entry == NULL)
        return kal_error_set(err, KAL_LIMIT, "the jobs' memory is used up");
    add_entry(q, entry);
    return KAL_OK;
}

kal_status kal_job_queue_open(kal_kv *kv, const kal_clock *clock,
                              const kal_job_queue_options *options, kal_job_queue **queue_out,
                              kal_error *err)
{
    kal_job_queue *q = calloc(1, sizeof *q);

    *queue_out = NULL;
    if (q == NULL)
        kal_die("out of memory: jobs");
    q->store = (kal_entity_store){kv, "job", KAL_KV_JOBS, RECORD_KIND, RECORD_FORMAT};
    q->clock = clock;
    q->options = *options;
    q->number_last = KAL_JOB_NUMBER_MIN - 1;
    kal_budget_init(&q->budget, NULL, KAL_JOBS_MEMORY_BYTES);
    kal_rng_seed(&q->rng, options->seed);
    kal_list_init(&q->entries);
    kal_map_init(&q->keys);
    kal_map_init(&q->turns);
    kal_status status = kal_job_queue_scan(q, NULL, load_job, q, err);
    if (status != KAL_OK) {
        kal_job_queue_close(q);
        return status;
    }
    *queue_out = q;
    return KAL_OK;
}

void kal_job_queue_close(kal_job_queue *q)
{
    if (q == NULL)
        return;
    for (kal_list *link = kal_list_pop_front(&q->entries); link != NULL;
         link = kal_list_pop_front(&q->entries))
        free_entry(KAL_CONTAINER_OF(link, kal_job_entry, link));
    kal_map_release(&q->keys);
    kal_map_release(&q->turns);
    KAL_ASSERT(atomic_load(&q->budget.used) == 0);
    free(q);
}

/* What becomes of a job that is found at the start; false: it waits as it did. */
static bool recover(kal_job_entry *entry, const kal_job_ability *ability, int64_t now)
{
    kal_job *job = &entry->job;
    kal_error error = KAL_ERROR_INIT;

    if (job->status == KAL_JOB_RUNNING && job->cancel_asked) {
        kal_error_set(&error, KAL_CANCELLED, "the job was cancelled");
        move_to(job, KAL_JOB_CANCELLED, now);
        keep_error(entry, job, KAL_CANCELLED, &error, &entry->last_run);
        return true;
    }
    if (job->status == KAL_JOB_RUNNING)
        job->crash_count++;
    if (!ability->can_run)
        kal_error_set(&error, KAL_UNSUPPORTED, "this version of the server cannot run the job");
    else if (job->status == KAL_JOB_RUNNING && !ability->can_resume)
        kal_error_set(&error, KAL_IO, "the server ended while the job was running");
    else if (job->crash_count > KAL_JOB_CRASHES_MAX)
        kal_error_set(&error, KAL_IO, "the server ended %u times while the job was running",
                      job->crash_count);
    if (error.status != KAL_OK) {
        move_to(job, KAL_JOB_FAILED, now);
        keep_error(entry, job, error.status, &error, &entry->last_run);
        return true;
    }
    if (job->status != KAL_JOB_RUNNING)
        return false;
    move_to(job, KAL_JOB_QUEUED, now);
    return true;
}

kal_status kal_job_queue_recover(kal_job_queue *q, const kal_job_ability *abilities, kal_error *err)
{
    kal_kv_batch *batch = kal_kv_batch_open(q->store.kv); /* owned */
    kal_status status = KAL_OK;
    int64_t now = now_us(q);

    for (kal_list *link = q->entries.next; link != &q->entries && status == KAL_OK;) {
        kal_job_entry *entry = KAL_CONTAINER_OF(link, kal_job_entry, link);
        link = link->next;
        if (!recover(entry, &abilities[entry->job.type], now))
            continue;
        status = put(q, batch, &entry->job, err);
        if (kal_job_is_finished(entry->job.status))
            remove_entry(q, entry);
    }
    if (status == KAL_OK && kal_kv_batch_count(batch) > 0)
        status = kal_kv_write(q->store.kv, batch, true, err);
    kal_kv_batch_close(batch);
    return status;
}

/* ---- submitting ---- */

static void append_key(const kal_job_spec *spec, kal_buf *out)
{
    if (spec->key.len > 0) {
        kal_buf_append_bytes(out, spec->key);
        return;
    }
    kal_buf_append_cstr(out, kal_job_type_name(spec->type));
    if (spec->table_id != 0) {
        kal_buf_printf(out, ":%u", spec->table_id);
    } else if (spec->namespace_id.len > 0) {
        kal_buf_append_byte(out, ':');
        kal_buf_append_bytes(out, spec->namespace_id);
    }
}

static kal_status check_text(kal_bytes text, const char *what, size_t max, kal_error *err)
{
    if (text.len > max)
        return kal_error_set(err, KAL_LIMIT, "the %s of a job has %zu bytes, the limit is %zu",
                             what, text.len, max);
    if (!kal_utf8_valid(text))
        return kal_error_set(err, KAL_INVALID, "the %s of a job is not UTF-8", what);
    return KAL_OK;
}

static kal_status check_spec(const kal_job_spec *spec, kal_error *err)
{
    kal_arena scratch;

    KAL_ASSERT(spec->type < KAL_JOB_TYPE_COUNT);
    KAL_TRY(check_text(spec->namespace_id, "namespace", KAL_JOB_TEXT_BYTES_MAX / 2, err));
    KAL_TRY(check_text(spec->table_name, "table", KAL_JOB_TEXT_BYTES_MAX, err));
    KAL_TRY(check_text(spec->key, "key", KAL_JOB_TEXT_BYTES_MAX, err));
    KAL_TRY(check_text(spec->actor, "actor", KAL_JOB_TEXT_BYTES_MAX, err));
    KAL_TRY(check_text(spec->parameters, "parameters", KAL_JOB_PARAMETERS_BYTES_MAX, err));
    if (spec->parameters.len == 0)
        return KAL_OK;
    kal_arena_init(&scratch, NULL);
    kal_status status = kal_json_check(spec->parameters, &scratch, err);
    kal_arena_release(&scratch);
    return status;
}

static kal_status already(const kal_job *job, kal_error *err)
{
    char id[KAL_JOB_ID_LEN + 1];
    kal_job_id_format(job->type, job->number, id);
    if (job->table_id != 0)
        kal_error_set(err, KAL_EXISTS, "a %s job for table '%.*s.%.*s' is %s already: '%s'",
                      kal_job_type_name(job->type), KAL_FMT(job->namespace_id),
                      KAL_FMT(job->table_name), kal_job_status_name(job->status), id);
    else
        kal_error_set(err, KAL_EXISTS, "a %s job is %s already: '%s'", kal_job_type_name(job->type),
                      kal_job_status_name(job->status), id);
    kal_error_code(err, "JOB_EXISTS");
    return KAL_EXISTS;
}

/* Never one that was given out before, whatever the clock says. */
static bool next_number(const kal_job_queue *q, int64_t now, uint64_t *number_out)
{
    static const int64_t EPOCH_US = INT64_C(1704067200000000); /* 2024-01-01 */
    uint64_t number = KAL_JOB_NUMBER_MIN;

    if (now > EPOCH_US)
        number += (uint64_t)(now - EPOCH_US);
    if (number <= q->number_last)
        number = q->number_last + 1;
    *number_out = number;
    return number <= KAL_JOB_NUMBER_MAX;
}

static uint32_t retries_max(const kal_job_queue *q, const kal_job_spec *spec)
{
    KAL_ASSERT(!spec->never_retry || !spec->keep_trying);
    if (spec->keep_trying)
        return INT32_MAX; /* a column shows it */
    return spec->never_retry ? 0 : q->options.retries_max;
}

static kal_status submit(kal_job_queue *q, const kal_job_spec *spec, kal_bytes key,
                         kal_job_entry **entry_out, kal_error *err)
{
    int64_t now = now_us(q);
    kal_job job = {
        .type = spec->type,
        .status = KAL_JOB_QUEUED,
        .table_id = spec->table_id,
        .namespace_id = spec->namespace_id,
        .table_name = spec->table_name,
        .key = key,
        .actor = spec->actor,
        .parameters = spec->parameters,
        .retries_max = retries_max(q, spec),
        .created_at_us = now,
        .updated_at_us = now,
    };

    *entry_out = kal_map_find(&q->keys, key);
    if (*entry_out != NULL)
        return already(&(*entry_out)->job, err);
    if (q->count >= KAL_JOBS_UNFINISHED_MAX)
        return kal_error_set(err, KAL_BUSY, "%u jobs are waiting, try again later",
                             KAL_JOBS_UNFINISHED_MAX);
    if (!next_number(q, now, &job.number))
        return kal_error_set(err, KAL_LIMIT, "there are no job numbers left");
    kal_job_entry *entry = make_entry(q, &job);
    if (entry == NULL)
        return kal_error_set(err, KAL_BUSY, "the jobs' memory is used up, try again later");
    q->number_last = job.number; /* also when it fails: it may be in the store */
    kal_status status = write_job(q, &job, err);
    if (status != KAL_OK) {
        free_entry(entry);
        return status;
    }
    add_entry(q, entry);
    *entry_out = entry;
    return KAL_OK;
}

kal_status kal_job_queue_submit(kal_job_queue *q, const kal_job_spec *spec,
                                kal_job_entry **entry_out, kal_error *err)
{
    kal_buf key; /* owned */

    *entry_out = NULL;
    KAL_TRY(check_spec(spec, err));
    kal_buf_init(&key, NULL);
    append_key(spec, &key);
    kal_status status = submit(q, spec, kal_buf_bytes(&key), entry_out, err);
    kal_buf_release(&key);
    return status;
}

/* ---- whose turn it is ---- */

/* What takes turns: tables, and what is not about one by its type. */
static uint64_t turn_of(const kal_job *job)
{
    return job->table_id != 0 ? (uint64_t)job->table_id << 8 : (uint64_t)job->type;
}

static uintptr_t last_turn(const kal_job_queue *q, const kal_job *job)
{
    uint64_t key = turn_of(job);
    return (uintptr_t)kal_map_find(&q->turns, kal_bytes_of(&key, sizeof key));
}

static void take_turn(kal_job_queue *q, const kal_job *job)
{
    uint64_t key = turn_of(job);
    if (q->turns.len >= TURNS_MAX) { /* all are equal again */
        kal_map_release(&q->turns);
        kal_map_init(&q->turns);
    }
    kal_map_put(&q->turns, kal_bytes_of(&key, sizeof key), (void *)++q->turn);
}

static bool table_is_busy(const kal_job_queue *q, uint32_t table_id)
{
    KAL_LIST_FOR_EACH (link, &q->entries) {
        const kal_job_entry *entry = KAL_CONTAINER_OF(link, kal_job_entry, link);
        if (entry->job.table_id == table_id && entry->job.status == KAL_JOB_RUNNING)
            return true;
    }
    return false;
}

/* A clock that was set back does not make a retry wait longer than any retry waits. */
static bool is_due(const kal_job *job, int64_t now)
{
    return job->due_us <= now || job->due_us - now > 2 * KAL_JOB_RETRY_DELAY_MAX_US;
}

static kal_job_entry *find_next(kal_job_queue *q, int64_t now, int64_t *due_us_out)
{
    kal_job_entry *best = NULL;
    uintptr_t best_turn = 0;

    *due_us_out = 0;
    KAL_LIST_FOR_EACH (link, &q->entries) {
        kal_job_entry *entry = KAL_CONTAINER_OF(link, kal_job_entry, link);
        const kal_job *job = &entry->job;
        if (job->status == KAL_JOB_RUNNING)
            continue;
        if (job->status == KAL_JOB_RETRYING && !is_due(job, now)) {
            if (*due_us_out == 0 || job->due_us < *due_us_out)
                *due_us_out = job->due_us;
            continue;
        }
        uintptr_t turn = last_turn(q, job);
        if (best != NULL && turn >= best_turn)
            continue;
        if (job->table_id != 0 && table_is_busy(q, job->table_id))
            continue;
        best = entry;
        best_turn = turn;
    }
    return best;
}

kal_status kal_job_queue_take(kal_job_queue *q, kal_job_entry **entry_out, int64_t *due_us_out,
                              kal_error *err)
{
    *entry_out = NULL;
    *due_us_out = 0;
    if (q->count == 0)
        return KAL_END;
    int64_t now = now_us(q);
    kal_job_entry *entry = find_next(q, now, due_us_out);
    if (entry == NULL)
        return KAL_END;
    kal_job job = entry->job;
    move_to(&job, KAL_JOB_RUNNING, now);
    KAL_TRY(write_job(q, &job, err));
    entry->job = job;
    entry->progress[0] = '\0';
    take_turn(q, &job);
    *entry_out = entry;
    return KAL_OK;
}

/* ---- ending ---- */

static int64_t retry_delay_us(kal_job_queue *q, uint32_t retry_count)
{
    int64_t delay = KAL_JOB_RETRY_DELAY_MAX_US;
    int64_t first = (int64_t)q->options.retry_delay_ms * 1000;

    if (retry_count < 20 && first < delay >> retry_count)
        delay = first << retry_count;
    return delay / 2 + (int64_t)kal_rng_below(&q->rng, (uint64_t)delay + 1);
}

static kal_job_status status_after(const kal_job *job, const kal_job_end *end)
{
    if (end->status == KAL_OK)
        return KAL_JOB_COMPLETED;
    if (end->status == KAL_CANCELLED && job->cancel_asked)
        return KAL_JOB_CANCELLED;
    if (end->status == KAL_CANCELLED && end->stopped && end->can_resume)
        return KAL_JOB_QUEUED;
    if (kal_job_may_pass(end->status) && job->retry_count < job->retries_max && !job->cancel_asked)
        return KAL_JOB_RETRYING;
    return KAL_JOB_FAILED;
}

/* What the run leaves; the texts in the arena. */
static void keep_end(kal_job_queue *q, kal_job_entry *entry, const kal_job_end *end,
                     kal_arena *texts)
{
    kal_job *job = &entry->job;

    job->progress = short_text(texts, kal_cstr(entry->progress), sizeof entry->progress);
    switch (job->status) {
    case KAL_JOB_COMPLETED:
        job->error = KAL_OK;
        job->error_text = (kal_bytes){0};
        job->result = short_text(texts, end->result, KAL_JOB_TEXT_BYTES_MAX);
        break;
    case KAL_JOB_RETRYING:
        job->due_us = job->updated_at_us + retry_delay_us(q, job->retry_count++);
        keep_error(entry, job, end->status, end->error, texts);
        break;
    case KAL_JOB_FAILED:
    case KAL_JOB_CANCELLED:
        keep_error(entry, job, end->status, end->error, texts);
        break;
    default: /* it says nothing, so the run before has the word */
        job->error_text = short_text(texts, job->error_text, KAL_JOB_TEXT_BYTES_MAX);
        break;
    }
}

kal_status kal_job_queue_end(kal_job_queue *q, kal_job_entry *entry, const kal_job_end *end,
                             kal_error *err)
{
    kal_job *job = &entry->job;
    kal_arena texts; /* becomes the entry's */

    KAL_ASSERT(job->status == KAL_JOB_RUNNING);
    move_to(job, status_after(job, end), now_us(q));
    job->cpu_ns += end->cpu_ns;
    kal_arena_init(&texts, &q->budget);
    keep_end(q, entry, end, &texts);
    replace_last_run(entry, &texts);
    kal_status status = write_job(q, job, err);
    if (kal_job_is_finished(job->status))
        remove_entry(q, entry);
    return status;
}

/* One that waits. */
static kal_status cancel_waiting(kal_job_queue *q, kal_job_entry *entry, kal_error *err)
{
    kal_job job = entry->job;
    kal_error error = KAL_ERROR_INIT;
    kal_arena texts; /* becomes the entry's, unless the job stays as it is */

    kal_error_set(&error, KAL_CANCELLED, "the job was cancelled");
    job.cancel_asked = true;
    move_to(&job, KAL_JOB_CANCELLED, now_us(q));
    kal_arena_init(&texts, &q->budget);
    job.progress = short_text(&texts, job.progress, sizeof entry->progress);
    keep_error(entry, &job, KAL_CANCELLED, &error, &texts);
    kal_status status = write_job(q, &job, err);
    if (status != KAL_OK) {
        kal_arena_release(&texts);
        return status;
    }
    entry->job = job;
    replace_last_run(entry, &texts);
    remove_entry(q, entry);
    return KAL_OK;
}

kal_status kal_job_queue_cancel(kal_job_queue *q, kal_job_entry *entry, kal_error *err)
{
    kal_job job = entry->job;

    if (job.status != KAL_JOB_RUNNING)
        return cancel_waiting(q, entry, err);
    job.cancel_asked = true;
    KAL_TRY(write_job(q, &job, err)); /* so that it does not start again after a crash */
    entry->job.cancel_asked = true;
    atomic_store(&entry->cancel, true);
    return KAL_OK;
}

/* ---- cleaning ---- */

typedef struct clean_scan {
    kal_job_queue *queue;
    kal_kv_batch *batch;
    int64_t before_us; /* finished before: past the retention */
    size_t too_many;
    size_t removed;
} clean_scan;

/* Numbers ascend with the time of creation, and no job is finished before it is made. */
static kal_status clean_job(void *context, const kal_job *job, kal_error *err)
{
    clean_scan *scan = context;
    kal_entity_key key;

    if (scan->removed == CLEAN_MAX ||
        (scan->removed >= scan->too_many && job->created_at_us >= scan->before_us))
        return KAL_END;
    if (!kal_job_is_finished(job->status) ||
        (scan->removed >= scan->too_many && job->finished_at_us >= scan->before_us))
        return KAL_OK;
    scan->removed++;
    record_key(scan->queue, job->number, &key);
    return kal_entity_delete(&scan->queue->store, scan->batch, &key, err);
}

/* So many finished jobs leave the store with the batch. */
static kal_status write_removals(kal_job_queue *q, kal_kv_batch *batch, size_t removed, bool sync,
                                 kal_error *err)
{
    if (removed == 0)
        return KAL_OK;
    KAL_ASSERT(q->finished_count >= removed);
    KAL_TRY(kal_kv_write(q->store.kv, batch, sync, err));
    q->finished_count -= removed;
    return KAL_OK;
}

kal_status kal_job_queue_clean(kal_job_queue *q, size_t *removed_out, kal_error *err)
{
    size_t max = q->options.finished_max;
    clean_scan scan = {
        .queue = q,
        .batch = kal_kv_batch_open(q->store.kv), /* owned */
        .before_us = now_us(q) - q->options.retention_us,
        .too_many = q->finished_count > max ? q->finished_count - max : 0,
    };

    *removed_out = 0;
    kal_status status = kal_job_queue_scan(q, NULL, clean_job, &scan, err);
    if (status == KAL_OK)
        status = write_removals(q, scan.batch, scan.removed, false, err);
    if (status == KAL_OK)
        *removed_out = scan.removed;
    kal_kv_batch_close(scan.batch);
    return status;
}

/* ---- forgetting ---- */

typedef struct forget_scan {
    kal_job_queue *queue;
    kal_kv_batch *batch;
    kal_bytes actor;
    size_t removed;
} forget_scan;

static kal_status forget_job(void *context, const kal_job *job, kal_error *err)
{
    forget_scan *scan = context;
    kal_entity_key key;

    if (!kal_job_is_finished(job->status) || !kal_bytes_equal(job->actor, scan->actor))
        return KAL_OK;
    scan->removed++;
    record_key(scan->queue, job->number, &key);
    return kal_entity_delete(&scan->queue->store, scan->batch, &key, err);
}

kal_status kal_job_queue_forget_actor(kal_job_queue *q, kal_bytes actor, kal_error *err)
{
    forget_scan scan = {
        .queue = q, .batch = kal_kv_batch_open(q->store.kv), /* owned */ .actor = actor};

    kal_status status = kal_job_queue_scan(q, NULL, forget_job, &scan, err);
    if (status == KAL_OK)
        status = write_removals(q, scan.batch, scan.removed, true, err);
    kal_kv_batch_close(scan.batch);
    return status;
}
