/*
 * process.c: the simulated process: started, stopped, and cut off.
 *
 * The power switch is a second failing store around the first: once it is thrown, the write that
 * comes next fails in one of the ways a write can fail (not at all on the disk, there but not
 * synced, durable), and none comes after it. So a crash can hit the middle of a commit. The process
 * is then taken apart in an orderly way, which nobody notices: it cannot write and is not heard.
 */
#include "sim.h"

enum { CLOCK_START_S = 1700000000, TIMER_MS_MAX = 120 };

void sim_store_open(sim *s)
{
    s->memory = kal_kv_open_mem();
    s->faults = kal_kv_open_fault(s->memory, kal_rng_next(&s->rng), s->profile.write_fail_per_1000,
                                  s->profile.read_fail_per_1000);
    s->power = kal_kv_open_fault(s->faults, kal_rng_next(&s->rng), 1000, 0);
    kal_kv_fault_enable(s->power, false);
    kal_sim_clock_init(&s->clock, CLOCK_START_S * INT64_C(1000000));
}

/* A store that has stopped refuses even a write of nothing. */
static bool refuses_writes(kal_kv *kv)
{
    kal_kv_batch *nothing = kal_kv_batch_open(kv);
    kal_status status = kal_kv_write(kv, nothing, false, NULL);
    kal_kv_batch_close(nothing);
    return status != KAL_OK;
}

bool sim_store_is_stopped(const sim *s)
{
    return refuses_writes(s->memory);
}

/* ---- tasks ---- */

static kal_step client_step(void *context)
{
    sim_client *client = context;
    sim *s = client->sim;
    unsigned dice;

    if (s->is_quiet)
        return KAL_STEP_IDLE;
    dice = sim_below(s, 100);
    if (dice < 50)
        sim_write_random(s);
    else if (dice < 80)
        sim_read_random(s);
    else
        sim_transaction_random(s);
    return KAL_STEP_AGAIN;
}

static kal_step admin_step(void *context)
{
    sim *s = context;
    if (s->is_quiet)
        return KAL_STEP_IDLE;
    sim_ddl_step(s);
    return KAL_STEP_AGAIN;
}

static void pass_time(sim *s, uint64_t ms)
{
    kal_sim_clock_advance(&s->clock, (int64_t)ms * 1000);
    kal_sched_sim_tick(s->sched, kal_clock_mono_ns(&s->clock.clock));
}

static kal_step timer_step(void *context)
{
    sim *s = context;
    if (s->is_quiet)
        return KAL_STEP_IDLE;
    pass_time(s, 1 + sim_below(s, TIMER_MS_MAX));
    return KAL_STEP_AGAIN;
}

static kal_task *spawn(sim *s, const char *name, kal_step_fn step, void *context)
{
    kal_error err = KAL_ERROR_INIT;
    kal_task *task = NULL;
    if (kal_sched_spawn(s->sched, name, step, context, &task, &err) != KAL_OK)
        sim_fail(s, "cannot spawn a task: %s", err.message);
    return task;
}

static void wake_clients(sim *s)
{
    s->is_quiet = false;
    for (size_t i = 0; i < SIM_CLIENTS; i++)
        kal_task_wake(s->clients[i].task);
    kal_task_wake(s->admin);
    kal_task_wake(s->timer);
}

static void run_until_idle(sim *s)
{
    while (kal_sched_sim_step(s->sched))
        ;
}

/* ---- opening ---- */

static kal_status try_open(sim *s, kal_error *err)
{
    KAL_TRY(kal_catalog_open(s->power, &s->clock.clock, NULL, &s->catalog, err));
    kal_status status =
        kal_tables_open(s->power, s->sched, &s->clock.clock, &s->profile.options, &s->tables, err);
    if (status != KAL_OK)
        sim_fail(s, "cannot open the tables: %s", err->message);
    s->worker = kal_catalog_worker_open(s->catalog);
    return KAL_OK;
}

void sim_process_open(sim *s)
{
    kal_error err = KAL_ERROR_INIT;
    bool with_faults = sim_chance(s, 1, 3);

    s->is_dead = false;
    s->sched = kal_sched_sim(kal_rng_next(&s->rng));
    kal_kv_fault_enable(s->faults, with_faults);
    kal_status status = try_open(s, &err);
    if (status == KAL_IO && with_faults) { /* it gives up cleanly, and what is there stays */
        sim_trace(s, "cannot start: %s", err.message);
        kal_kv_mem_crash(s->memory);
        kal_kv_fault_enable(s->faults, false);
        status = try_open(s, &err);
    }
    if (status != KAL_OK)
        sim_fail(s, "cannot open the catalog: %s", err.message);
    kal_kv_fault_enable(s->faults, true);
    for (size_t i = 0; i < SIM_CLIENTS; i++) {
        s->clients[i].sim = s;
        s->clients[i].task = spawn(s, "client", client_step, &s->clients[i]);
    }
    s->admin = spawn(s, "admin", admin_step, s);
    s->timer = spawn(s, "timer", timer_step, s);
    wake_clients(s);
}

/* ---- closing ---- */

static void release_handles(sim *s)
{
    for (size_t i = 0; i < s->model.tables.len; i++) {
        kal_table_release(s->model.tables.items[i]->handle);
        s->model.tables.items[i]->handle = NULL;
    }
}

void sim_process_close(sim *s)
{
    sim_readers_close(s);
    kal_tables_close(s->tables); /* answers what is in the queue */
    sim_ddl_finish(s);
    if (!kal_list_empty(&s->writes))
        sim_fail(s, "a write was not answered when the lane was closed");
    for (size_t i = 0; i < SIM_CLIENTS; i++)
        kal_task_stop(s->clients[i].task);
    kal_task_stop(s->admin);
    kal_task_stop(s->timer);
    release_handles(s);
    kal_catalog_worker_close(s->worker);
    kal_catalog_close(s->catalog);
    kal_sched_close(s->sched);
}

/* The store is opened again: what is found there is what the model goes on from. */
static void come_back(sim *s)
{
    uint32_t found;

    kal_kv_mem_crash(s->memory);
    kal_kv_fault_enable(s->power, false);
    sim_process_open(s);
    found = sim_check(s, s->durable, s->model.now);
    s->count.lost += s->model.now - found;
    sim_trace(s, "found moment %u of %u..%u", found, s->durable, s->model.now);
    model_forget_after(&s->model, found);
    s->durable = found;
    s->acknowledged = found;
    s->in_doubt = false;
}

void sim_restart(sim *s)
{
    sim_trace(s, "restart with %zu writes in flight", s->write_count);
    sim_process_close(s);
    if (sim_store_is_stopped(s))
        s->in_doubt = true;
    if (!s->in_doubt) /* closing syncs */
        s->durable = s->model.now;
    s->count.restarts++;
    come_back(s);
}

void sim_crash(sim *s)
{
    bool during_write = sim_chance(s, 1, 2);

    sim_trace(s, "power loss%s with %zu writes in flight", during_write ? " during a write" : "",
              s->write_count);
    kal_kv_fault_enable(s->power, true);
    if (during_write) {
        s->is_quiet = true;
        run_until_idle(s);
    }
    if (!refuses_writes(s->power))
        sim_fail(s, "a write went through without power");
    s->is_dead = true;
    sim_process_close(s);
    s->count.crashes++;
    come_back(s);
}

void sim_settle(sim *s)
{
    s->is_quiet = true;
    run_until_idle(s);
    if (!kal_list_empty(&s->writes))
        sim_fail(s, "a write was not answered although the lane is idle");
    pass_time(s, s->profile.options.sync_interval_ms + 1);
    run_until_idle(s);
    if (sim_store_is_stopped(s))
        s->in_doubt = true;
    if (!s->in_doubt) {
        s->durable = s->model.now;
        sim_check(s, s->model.now, s->model.now);
    }
    sim_trace(s, "settled at moment %u%s", s->model.now, s->in_doubt ? ", in doubt" : "");
    wake_clients(s);
}

/* ---- tables ---- */

/* Numbers rise from table to table: none is used again. */
static void check_new_number(sim *s, const model_table *table, const kal_table *found)
{
    bool is_later = false;
    for (size_t i = 0; i < s->model.tables.len; i++) {
        const model_table *other = s->model.tables.items[i];
        if (other == table)
            is_later = true;
        else if (other->table_id != 0 && (other->table_id > found->def->table_id) != is_later)
            sim_fail(s, "table id %u is out of order with the %s table %u", found->def->table_id,
                     is_later ? "later" : "earlier", other->table_id);
        if (other != table && other->handle != NULL && other->handle->hot_id == found->hot_id)
            sim_fail(s, "hot id %u is used twice", found->hot_id);
    }
}

void sim_adopt(sim *s, model_table *table, kal_table *found)
{
    if (table->handle != NULL)
        return;
    if (table->table_id == 0)
        check_new_number(s, table, found);
    else if (table->table_id != found->def->table_id)
        sim_fail(s, "table %s.%s has id %u, expected %u", SIM_NAMESPACE_NAMES[table->ns],
                 SIM_TABLE_NAMES[table->name], found->def->table_id, table->table_id);
    table->table_id = found->def->table_id;
    table->shard = found->shard;
    table->handle = kal_table_retain(found);
}

kal_table *sim_handle(sim *s, model_table *table)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *found = NULL;

    if (table->handle != NULL || s->in_doubt || !model_is_alive(&table->life, s->model.now))
        return table->handle;
    kal_status status = kal_catalog_get_table(s->worker, kal_cstr(SIM_NAMESPACE_NAMES[table->ns]),
                                              kal_cstr(SIM_TABLE_NAMES[table->name]), &found, &err);
    if (status == KAL_IO && s->profile.read_fail_per_1000 > 0) {
        s->count.read_faults++;
        return NULL;
    }
    if (status != KAL_OK)
        sim_fail(s, "table %s.%s is not found: %s", SIM_NAMESPACE_NAMES[table->ns],
                 SIM_TABLE_NAMES[table->name], err.message);
    sim_adopt(s, table, found);
    return found;
}
