/*
 * sim.c: the simulation of the database, seed by seed.
 *
 *   KAL_TEST_SEED=n   only this seed (with KAL_TEST_COUNT: from this seed on)
 *   KAL_TEST_COUNT=n  so many seeds; 200
 *   KAL_TEST_TRACE=1  says what happens, step by step
 *
 * Goal: lanes, catalog, views, transactions and restarts keep their promises in every order, over a
 * store that fails and loses power. Method: clients and lane are tasks of the simulated scheduler,
 * everything is drawn from the seed, and every answer, read and restart is compared with a model.
 */
#include "sim.h"

#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 200, STEPS = 1000, REPEAT_EVERY = 20 };

static const sim *running; /* whose seed a crash of this program tells */

static void print_replay(uint64_t seed)
{
    fprintf(stderr, "replay: KAL_TEST_SEED=%" PRIu64 " KAL_TEST_TRACE=1 ./test sim -V\n", seed);
}

void sim_fail(const sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seed %" PRIu64 ", step %u: ", s->seed, s->step);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    print_replay(s->seed);
    _Exit(EXIT_FAILURE);
}

/* A failed assertion of the product, or a report of a sanitizer. */
static void say_seed(void)
{
    if (running == NULL)
        return;
    fprintf(stderr, "seed %" PRIu64 ", step %u: ended by the above\n", running->seed,
            running->step);
    print_replay(running->seed);
}

static void on_abort(int signal)
{
    (void)signal;
    say_seed();
}

/* Of the sanitizers' runtime, when the program is built with one. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

void sim_trace(sim *s, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (const char *c = line; *c != '\0'; c++)
        s->digest = (s->digest ^ (uint8_t)*c) * UINT64_C(0x100000001b3); /* FNV-1a */
    if (s->traces)
        fprintf(stderr, "%5u %s\n", s->step, line);
}

unsigned sim_below(sim *s, unsigned bound)
{
    return (unsigned)kal_rng_below(&s->rng, bound);
}

bool sim_chance(sim *s, unsigned numerator, unsigned denominator)
{
    return kal_rng_chance(&s->rng, numerator, denominator);
}

/* Half of the seeds run over a store that fails; few of them do without fsync. */
static void choose_profile(sim *s)
{
    static const uint64_t LOG_ROWS[] = {10000, 40, 8};
    bool fails = sim_chance(s, 1, 2);
    s->profile = (sim_profile){
        .write_fail_per_1000 = fails ? sim_below(s, 30) : 0,
        .read_fail_per_1000 = fails && sim_chance(s, 1, 2) ? 1 + sim_below(s, 15) : 0,
        .options = {.sync = sim_chance(s, 3, 4),
                    .sync_interval_ms = 100 + sim_below(s, 400),
                    .change_log_rows_max = LOG_ROWS[sim_below(s, KAL_ARRAY_LEN(LOG_ROWS))],
                    .queue_bytes_max = sim_chance(s, 1, 4) ? 12000 : 0},
    };
    sim_trace(s, "write faults %u, read faults %u, %s, log of %" PRIu64 " rows, queue of %zu bytes",
              s->profile.write_fail_per_1000, s->profile.read_fail_per_1000,
              s->profile.options.sync ? "fsync" : "no fsync",
              s->profile.options.change_log_rows_max, s->profile.options.queue_bytes_max);
}

static void step(sim *s)
{
    unsigned dice = sim_below(s, 1000);
    if (dice < 5 || (s->in_doubt && dice < 80))
        sim_crash(s);
    else if (dice < 8)
        sim_restart(s);
    else if (dice < 18)
        sim_settle(s);
    else
        kal_sched_sim_step(s->sched);
}

static void add_counts(const sim *s, sim *total)
{
    const unsigned *from = (const unsigned *)&s->count;
    unsigned *to = (unsigned *)&total->count;
    for (size_t i = 0; i < sizeof s->count / sizeof *from; i++)
        to[i] += from[i];
}

/* Returns the digest of the run. */
static uint64_t run_seed(uint64_t seed, sim *total)
{
    sim *s = calloc(1, sizeof *s); /* owned */
    if (s == NULL)
        return 0;
    running = s;
    s->seed = seed;
    s->traces = getenv("KAL_TEST_TRACE") != NULL;
    kal_rng_seed(&s->rng, seed);
    kal_list_init(&s->writes);
    kal_arena_init(&s->arena, NULL);
    for (unsigned i = 0; i < SIM_SHAPES; i++)
        sim_layout(i, &s->arena, &s->layouts[i]);
    choose_profile(s);
    sim_store_open(s);
    sim_process_open(s);
    for (s->step = 0; s->step < STEPS; s->step++)
        step(s);
    sim_restart(s);
    sim_process_close(s);
    kal_kv_close(s->power);
    model_release(&s->model);
    kal_arena_release(&s->arena);
    running = NULL;
    uint64_t digest = s->digest;
    if (total != NULL)
        add_counts(s, total);
    free(s);
    return digest;
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* The seeds together have met what they are there for. */
static int check_counts(const sim *total)
{
    printf("%u commits, %u conflicts, %u refused by the queue, %u in doubt, %u catalog changes, "
           "%u crashes (%u commits lost), %u restarts, %u failed reads, %u rows read\n",
           total->count.commits, total->count.conflicts, total->count.refused, total->count.doubts,
           total->count.catalog, total->count.crashes, total->count.lost, total->count.restarts,
           total->count.read_faults, total->count.rows_read);
    bool all = total->count.conflicts > 0 && total->count.refused > 0 && total->count.doubts > 0 &&
               total->count.lost > 0 && total->count.read_faults > 0;
    if (!all)
        fprintf(stderr, "some of these never happened: the simulation proves too little\n");
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    bool one = getenv("KAL_TEST_SEED") != NULL;
    uint64_t first = number_from_env("KAL_TEST_SEED", 1);
    uint64_t count = number_from_env("KAL_TEST_COUNT", one ? 1 : SEEDS);
    static sim total;

    kal_log_configure(KAL_LOG_ERROR, false, open("/dev/null", O_WRONLY), kal_clock_system());
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_seed);
    for (uint64_t seed = first; seed < first + count; seed++) {
        uint64_t digest = run_seed(seed, &total);
        if (seed % REPEAT_EVERY == 0 && run_seed(seed, NULL) != digest) {
            fprintf(stderr, "seed %" PRIu64 " does not do the same when it is repeated\n", seed);
            return EXIT_FAILURE;
        }
    }
    printf("%" PRIu64 " seeds from %" PRIu64 "\n", count, first);
    return count < SEEDS ? EXIT_SUCCESS : check_counts(&total);
}
