/*
 * ddl.c: namespaces, tables and users come and go, one change at a time, through the lane.
 */
#include "sim.h"

#include "base/assert.h"

const char *const SIM_NAMESPACE_NAMES[SIM_NAMESPACES] = {"app", "blog", "shop"};
const char *const SIM_TABLE_NAMES[SIM_TABLES] = {"items", "notes", "orders"};
const char *const SIM_ACCOUNT_NAMES[SIM_ACCOUNTS] = {"ann", "bob", "cid"};

static const char *const KIND_NAMES[DDL_KINDS] = {
    "create namespace", "drop namespace", "create table", "drop table",
    "create user",      "alter user",     "drop user"};
static const kal_principal ROOT = {.user_no = 1, .user_id = "root", .role = KAL_ROLE_SYSTEM};

/* ---- by chance ---- */

static void random_ddl(sim *s, sim_ddl *ddl)
{
    static const sim_ddl_kind KINDS[] = {
        DDL_CREATE_NAMESPACE, DDL_CREATE_NAMESPACE, DDL_CREATE_NAMESPACE, DDL_DROP_NAMESPACE,
        DDL_CREATE_TABLE,     DDL_CREATE_TABLE,     DDL_CREATE_TABLE,     DDL_CREATE_TABLE,
        DDL_CREATE_TABLE,     DDL_DROP_TABLE,       DDL_CREATE_USER,      DDL_CREATE_USER,
        DDL_ALTER_USER,       DDL_DROP_USER};
    *ddl = (sim_ddl){
        .kind = KINDS[sim_below(s, KAL_ARRAY_LEN(KINDS))],
        .ns = sim_below(s, SIM_NAMESPACES),
        .name = sim_below(s, SIM_TABLES),
        .type = sim_chance(s, 1, 3)   ? KAL_TABLE_SHARED
                : sim_chance(s, 1, 3) ? KAL_TABLE_STREAM
                                      : KAL_TABLE_USER,
        .shape = sim_below(s, SIM_SHAPES),
        .lenient = sim_chance(s, 1, 3),
        .cascade = sim_chance(s, 1, 2),
        .account.role = (kal_role)sim_below(s, 3),
    };
}

/* ---- what should come of it ---- */

static bool namespace_has_tables(const sim *s, unsigned ns)
{
    for (unsigned name = 0; name < SIM_TABLES; name++) {
        if (model_find_table(&s->model, ns, name, s->model.now) != NULL)
            return true;
    }
    return false;
}

static kal_status expect_namespace(const sim *s, const sim_ddl *ddl, bool *acts_out)
{
    bool exists = model_has_namespace(&s->model, ddl->ns, s->model.now);
    bool creates = ddl->kind == DDL_CREATE_NAMESPACE;
    *acts_out = exists != creates;
    if (!*acts_out)
        return ddl->lenient ? KAL_OK : creates ? KAL_EXISTS : KAL_NOT_FOUND;
    if (!creates && !ddl->cascade && namespace_has_tables(s, ddl->ns))
        return KAL_INVALID;
    return KAL_OK;
}

static kal_status expect_table(const sim *s, const sim_ddl *ddl, bool *acts_out)
{
    bool exists = model_find_table(&s->model, ddl->ns, ddl->name, s->model.now) != NULL;
    bool creates = ddl->kind == DDL_CREATE_TABLE;
    *acts_out = exists != creates;
    if (creates && !model_has_namespace(&s->model, ddl->ns, s->model.now))
        return KAL_NOT_FOUND;
    if (!*acts_out)
        return ddl->lenient ? KAL_OK : creates ? KAL_EXISTS : KAL_NOT_FOUND;
    return KAL_OK;
}

static kal_status expect_account(const sim *s, const sim_ddl *ddl, bool *acts_out)
{
    const model_account *now = model_find_account(&s->model, ddl->name, s->model.now);
    bool lives = now != NULL && !now->is_dropped;
    *acts_out = true;
    if (ddl->kind == DDL_CREATE_USER)
        return now != NULL ? KAL_EXISTS : KAL_OK; /* the name of a dropped one stays taken */
    return lives ? KAL_OK : KAL_NOT_FOUND;
}

static kal_status expect(const sim *s, const sim_ddl *ddl, bool *acts_out)
{
    if (ddl->kind <= DDL_DROP_NAMESPACE)
        return expect_namespace(s, ddl, acts_out);
    if (ddl->kind <= DDL_DROP_TABLE)
        return expect_table(s, ddl, acts_out);
    return expect_account(s, ddl, acts_out);
}

void sim_ddl_apply(sim *s, const sim_ddl *ddl)
{
    model *m = &s->model;
    switch (ddl->kind) {
    case DDL_CREATE_NAMESPACE:
        model_create_namespace(m, ddl->ns);
        break;
    case DDL_DROP_NAMESPACE:
        model_drop_namespace(m, ddl->ns);
        break;
    case DDL_CREATE_TABLE:
        model_create_table(m, ddl->ns, ddl->name, ddl->type, ddl->shape);
        break;
    case DDL_DROP_TABLE:
        model_drop_table(m, model_find_table(m, ddl->ns, ddl->name, m->now));
        break;
    case DDL_CREATE_USER:
    case DDL_ALTER_USER:
    case DDL_DROP_USER:
        model_set_account(m, ddl->name, &ddl->account);
        break;
    case DDL_KINDS:
        KAL_ASSERT(false);
    }
}

/* ---- doing it ---- */

static kal_status change_table(sim *s, sim_ddl *ddl, bool *existed_out, kal_error *err)
{
    kal_bytes ns = kal_cstr(SIM_NAMESPACE_NAMES[ddl->ns]);
    kal_bytes name = kal_cstr(SIM_TABLE_NAMES[ddl->name]);
    kal_table_definition *def = NULL;
    kal_arena arena; /* owned */

    if (ddl->kind == DDL_DROP_TABLE)
        return kal_catalog_drop_table(ddl->change, ns, name, ddl->lenient, existed_out, err);
    kal_arena_init(&arena, NULL);
    kal_status status = sim_definition(ns, name, ddl->type, ddl->shape,
                                       kal_clock_wall_us(&s->clock.clock), &arena, &def, err);
    if (status == KAL_OK)
        status = kal_catalog_create_table(ddl->change, def, ddl->lenient, existed_out, err);
    kal_arena_release(&arena);
    return status;
}

static kal_status change_account(sim *s, sim_ddl *ddl, kal_error *err)
{
    const model_account *now = model_find_account(&s->model, ddl->name, s->model.now);
    kal_user user = {.user_id = kal_cstr(SIM_ACCOUNT_NAMES[ddl->name]),
                     .role = ddl->account.role,
                     .auth_type = KAL_STR("internal")};
    kal_status status = KAL_OK;

    if (ddl->kind == DDL_CREATE_USER)
        status = kal_catalog_create_user(ddl->change, &user, err);
    else if (ddl->kind == DDL_ALTER_USER)
        status = kal_catalog_alter_user(ddl->change, &user, err);
    else
        status = kal_catalog_drop_user(ddl->change, user.user_id, err);
    ddl->account.user_no = now != NULL ? now->user_no : user.user_no;
    bool keeps_tokens = ddl->kind == DDL_ALTER_USER && now != NULL && now->role == user.role;
    ddl->account.generation = now == NULL ? 1 : now->generation + !keeps_tokens;
    ddl->account.is_dropped = ddl->kind == DDL_DROP_USER;
    if (now != NULL && ddl->kind == DDL_DROP_USER)
        ddl->account.role = now->role;
    return status;
}

static kal_status change(sim *s, sim_ddl *ddl, kal_error *err)
{
    bool existed = false;
    kal_bytes ns = kal_cstr(SIM_NAMESPACE_NAMES[ddl->ns]);

    if (ddl->kind == DDL_CREATE_NAMESPACE)
        return kal_catalog_create_namespace(ddl->change, ns, ddl->lenient, &existed, err);
    if (ddl->kind == DDL_DROP_NAMESPACE)
        return kal_catalog_drop_namespace(ddl->change, ns, ddl->lenient, ddl->cascade, &existed,
                                          err);
    if (ddl->kind <= DDL_DROP_TABLE)
        return change_table(s, ddl, &existed, err);
    return change_account(s, ddl, err);
}

/* Rows that stand or fall with the change; not of a table that goes with it. */
static bool may_touch(const sim_ddl *ddl, const model_table *table)
{
    if (ddl->kind == DDL_DROP_NAMESPACE)
        return table->ns != ddl->ns;
    return ddl->kind != DDL_DROP_TABLE || table->ns != ddl->ns || table->name != ddl->name;
}

static void submit_ddl(sim *s)
{
    sim_op op;
    sim_write *w = sim_write_open(s);
    w->ddl = &s->ddl;
    w->is_waited_for = true; /* sim_ddl_finish() */
    if (sim_chance(s, 1, 4) && sim_random_op(s, &op) && may_touch(&s->ddl, op.table))
        (void)sim_write_add(w, &op);
    kal_write_set_change(w->write, s->ddl.change);
    s->ddl_write = w;
    s->ddl_is_answered = false;
    s->count.catalog++;
    sim_write_submit(w);
}

static void begin_ddl(sim *s)
{
    kal_error err = KAL_ERROR_INIT;
    bool acts = false;
    sim_ddl *ddl = &s->ddl;

    random_ddl(s, ddl);
    kal_status expected = expect(s, ddl, &acts);
    ddl->change = kal_catalog_begin(s->catalog, &ROOT);
    kal_status status = change(s, ddl, &err);
    sim_trace(s, "%s %s.%s: %s", KIND_NAMES[ddl->kind], SIM_NAMESPACE_NAMES[ddl->ns],
              SIM_TABLE_NAMES[ddl->name], kal_status_name(status));
    bool read_failed = status == KAL_IO && s->profile.read_fail_per_1000 > 0;
    if (!read_failed && !s->in_doubt && status != expected)
        sim_fail(s, "%s %s.%s (%s): %s (%s), expected %s", KIND_NAMES[ddl->kind],
                 SIM_NAMESPACE_NAMES[ddl->ns], SIM_TABLE_NAMES[ddl->name],
                 SIM_ACCOUNT_NAMES[ddl->name], kal_status_name(status), err.message,
                 kal_status_name(expected));
    s->count.read_faults += read_failed;
    if (status == KAL_OK && kal_kv_batch_count(kal_catalog_change_batch(ddl->change)) > 0) {
        if (!acts && !s->in_doubt)
            sim_fail(s, "%s changes something, expected nothing", KIND_NAMES[ddl->kind]);
        submit_ddl(s);
        return;
    }
    kal_catalog_end(ddl->change);
    ddl->change = NULL;
}

void sim_ddl_finish(sim *s)
{
    if (s->ddl_write == NULL)
        return;
    sim_write_close(s->ddl_write);
    s->ddl_write = NULL;
    kal_catalog_end(s->ddl.change);
    s->ddl.change = NULL;
}

/* ---- looking up ---- */

static void look_up(sim *s)
{
    kal_error err = KAL_ERROR_INIT;
    kal_table *found = NULL;
    unsigned ns = sim_below(s, SIM_NAMESPACES);
    unsigned name = sim_below(s, SIM_TABLES);
    const model_table *expected = model_find_table(&s->model, ns, name, s->model.now);

    if (s->in_doubt)
        return;
    kal_status status = kal_catalog_get_table(s->worker, kal_cstr(SIM_NAMESPACE_NAMES[ns]),
                                              kal_cstr(SIM_TABLE_NAMES[name]), &found, &err);
    if (status == KAL_IO && s->profile.read_fail_per_1000 > 0) {
        s->count.read_faults++;
        return;
    }
    if (status != (expected != NULL ? KAL_OK : KAL_NOT_FOUND))
        sim_fail(s, "look-up of %s.%s: %s (%s), expected it %s", SIM_NAMESPACE_NAMES[ns],
                 SIM_TABLE_NAMES[name], kal_status_name(status), err.message,
                 expected != NULL ? "there" : "not there");
    if (expected != NULL && expected->table_id != 0 && found->def->table_id != expected->table_id)
        sim_fail(s, "look-up of %s.%s: table %u, expected %u", SIM_NAMESPACE_NAMES[ns],
                 SIM_TABLE_NAMES[name], found->def->table_id, expected->table_id);
    if (found != NULL && atomic_load(&found->fate) != KAL_TABLE_CURRENT)
        sim_fail(s, "look-up of %s.%s gives a retired version", SIM_NAMESPACE_NAMES[ns],
                 SIM_TABLE_NAMES[name]);
}

void sim_ddl_step(sim *s)
{
    if (s->ddl_write != NULL && s->ddl_is_answered)
        sim_ddl_finish(s);
    else if (s->ddl_write == NULL && sim_chance(s, 1, 3))
        begin_ddl(s);
    else
        look_up(s);
}
