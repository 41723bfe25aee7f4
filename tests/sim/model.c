/*
 * model.c: lists of versions, cut at their ends.
 */
#include "model.h"

#include "base/assert.h"

#include <stdlib.h>

/* ---- looking ---- */

uint64_t model_user_no(unsigned user)
{
    /* Beyond those that the catalog hands out meanwhile: an account that is dropped may not write.
     * root's never is. */
    static uint64_t numbers[SIM_USERS] = {1, 0x020000, 0x010000, 0};
    uint64_t *twin = &numbers[SIM_USERS - 1];
    /* The last one lives in the first one's shard: there only the key tells them apart. */
    if (*twin == 0)
        for (*twin = 0x030000; kal_shard_of_user(*twin) != kal_shard_of_user(numbers[0]); ++*twin)
            ;
    return numbers[user];
}

bool model_is_alive(const model_life *life, uint32_t moment)
{
    return life->born <= moment && moment < life->gone;
}

bool model_has_namespace(const model *m, unsigned ns, uint32_t moment)
{
    for (size_t i = 0; i < m->namespaces[ns].len; i++) {
        if (model_is_alive(&m->namespaces[ns].items[i], moment))
            return true;
    }
    return false;
}

model_table *model_find_table(const model *m, unsigned ns, unsigned name, uint32_t moment)
{
    for (size_t i = 0; i < m->tables.len; i++) {
        model_table *table = m->tables.items[i];
        if (table->ns == ns && table->name == name && model_is_alive(&table->life, moment))
            return table;
    }
    return NULL;
}

const model_account *model_find_account(const model *m, unsigned account, uint32_t moment)
{
    const model_account *found = NULL;
    for (size_t i = 0; i < m->accounts[account].len; i++) {
        if (m->accounts[account].items[i].moment <= moment)
            found = &m->accounts[account].items[i];
    }
    return found;
}

static const model_cell *cell_of(const model_table *table, unsigned user, unsigned key)
{
    return &table->cells[table->type == KAL_TABLE_SHARED ? 0 : user][key];
}

const model_version *model_row(const model_table *table, unsigned user, unsigned key,
                               uint32_t moment)
{
    const model_cell *cell = cell_of(table, user, key);
    const model_version *found = NULL;
    if (moment >= table->life.gone)
        return NULL;
    for (size_t i = 0; i < cell->versions.len && cell->versions.items[i].moment <= moment; i++)
        found = &cell->versions.items[i];
    return found != NULL && found->present ? found : NULL;
}

uint16_t model_shard(const model_table *table, unsigned user)
{
    return table->type == KAL_TABLE_SHARED ? table->shard : kal_shard_of_user(model_user_no(user));
}

uint64_t model_shard_applied(const model *m, uint16_t shard, uint32_t moment)
{
    size_t len = m->shards[shard].len;
    while (len > 0 && m->changes.items[m->shards[shard].items[len - 1]].moment > moment)
        len--;
    return len;
}

/* ---- changing ---- */

model_version model_set_row(model *m, model_table *table, unsigned user, unsigned key,
                            const sim_image *image)
{
    model_cell *cell = (model_cell *)cell_of(table, user, key);
    uint16_t shard = model_shard(table, user);
    const model_version *before = model_row(table, user, key, m->now + 1);
    model_version after = {.moment = m->now + 1,
                           .present = image != NULL,
                           .image = image != NULL ? *image : (sim_image){0},
                           .seq = m->shards[shard].len + 1};
    model_change change = {.moment = m->now + 1,
                           .shard = shard,
                           .seq = after.seq,
                           .table = table,
                           .user = user,
                           .key = key,
                           .before = before != NULL ? *before : (model_version){0},
                           .after = after};

    kal_vec_push(&m->shards[shard], m->changes.len);
    kal_vec_push(&m->changes, change);
    kal_vec_push(&cell->versions, after);
    return after;
}

void model_create_namespace(model *m, unsigned ns)
{
    model_life life = {m->now + 1, MODEL_NEVER};
    kal_vec_push(&m->namespaces[ns], life);
}

void model_drop_namespace(model *m, unsigned ns)
{
    for (size_t i = 0; i < m->tables.len; i++) {
        model_table *table = m->tables.items[i];
        if (table->ns == ns && model_is_alive(&table->life, m->now))
            model_drop_table(m, table);
    }
    m->namespaces[ns].items[m->namespaces[ns].len - 1].gone = m->now + 1;
}

model_table *model_create_table(model *m, unsigned ns, unsigned name, kal_table_type type,
                                unsigned shape)
{
    model_table *table = calloc(1, sizeof *table); /* owned by m->tables */
    KAL_ASSERT(table != NULL);
    table->ns = ns;
    table->name = name;
    table->type = type;
    table->shape = shape;
    table->life = (model_life){m->now + 1, MODEL_NEVER};
    kal_vec_push(&m->tables, table);
    return table;
}

void model_drop_table(model *m, model_table *table)
{
    table->life.gone = m->now + 1;
}

void model_set_account(model *m, unsigned account, const model_account *state)
{
    kal_vec_push(&m->accounts[account], *state);
    m->accounts[account].items[m->accounts[account].len - 1].moment = m->now + 1;
}

/* The last record of each shard ends the commit there; all of them name its first. */
static bool mark_commit(model *m)
{
    size_t begin = m->changes.len;
    while (begin > 0 && m->changes.items[begin - 1].moment > m->now)
        begin--;
    for (size_t i = begin; i < m->changes.len; i++) {
        model_change *change = &m->changes.items[i];
        change->commit_first = model_shard_applied(m, change->shard, m->now) + 1;
        change->ends_commit = change->seq == m->shards[change->shard].len;
    }
    return begin < m->changes.len;
}

static bool catalog_changed(const model *m)
{
    for (size_t i = 0; i < SIM_NAMESPACES; i++) {
        for (size_t k = 0; k < m->namespaces[i].len; k++) {
            const model_life *life = &m->namespaces[i].items[k];
            if (life->born == m->now + 1 || life->gone == m->now + 1)
                return true;
        }
    }
    for (size_t i = 0; i < m->tables.len; i++) {
        const model_life *life = &m->tables.items[i]->life;
        if (life->born == m->now + 1 || life->gone == m->now + 1)
            return true;
    }
    for (unsigned i = 0; i < SIM_ACCOUNTS; i++) {
        const model_account *account = model_find_account(m, i, m->now + 1);
        if (account != NULL && account->moment == m->now + 1)
            return true;
    }
    return false;
}

void model_commit(model *m)
{
    bool changed = mark_commit(m);
    if (changed || catalog_changed(m))
        m->now++;
}

static void free_table(model_table *table)
{
    KAL_ASSERT(table->handle == NULL);
    for (size_t user = 0; user < SIM_USERS; user++) {
        for (size_t key = 0; key < SIM_KEYS; key++)
            kal_vec_release(&table->cells[user][key].versions);
    }
    free(table);
}

static void forget_rows(model *m, uint32_t moment)
{
    while (m->changes.len > 0 && m->changes.items[m->changes.len - 1].moment > moment) {
        const model_change *change = &m->changes.items[--m->changes.len];
        model_cell *cell = (model_cell *)cell_of(change->table, change->user, change->key);
        cell->versions.len--;
        m->shards[change->shard].len--;
    }
}

static void revive(model_life *life, uint32_t moment)
{
    if (life->gone != MODEL_NEVER && life->gone > moment)
        life->gone = MODEL_NEVER;
}

static void forget_catalog(model *m, uint32_t moment)
{
    for (size_t i = 0; i < SIM_NAMESPACES; i++) {
        while (m->namespaces[i].len > 0 &&
               m->namespaces[i].items[m->namespaces[i].len - 1].born > moment)
            m->namespaces[i].len--;
        if (m->namespaces[i].len > 0)
            revive(&m->namespaces[i].items[m->namespaces[i].len - 1], moment);
    }
    while (m->tables.len > 0 && m->tables.items[m->tables.len - 1]->life.born > moment)
        free_table(m->tables.items[--m->tables.len]);
    for (size_t i = 0; i < m->tables.len; i++)
        revive(&m->tables.items[i]->life, moment);
    for (size_t i = 0; i < SIM_ACCOUNTS; i++) {
        while (m->accounts[i].len > 0 &&
               m->accounts[i].items[m->accounts[i].len - 1].moment > moment)
            m->accounts[i].len--;
    }
}

void model_abandon(model *m)
{
    forget_rows(m, m->now); /* the catalog is changed last, when nothing can fail any more */
}

void model_forget_after(model *m, uint32_t moment)
{
    KAL_ASSERT(moment <= m->now);
    forget_rows(m, moment);
    forget_catalog(m, moment);
    m->now = moment;
}

void model_release(model *m)
{
    for (size_t i = 0; i < m->tables.len; i++)
        free_table(m->tables.items[i]);
    kal_vec_release(&m->tables);
    kal_vec_release(&m->changes);
    for (size_t i = 0; i < KAL_SHARD_COUNT; i++)
        kal_vec_release(&m->shards[i]);
    for (size_t i = 0; i < SIM_NAMESPACES; i++)
        kal_vec_release(&m->namespaces[i]);
    for (size_t i = 0; i < SIM_ACCOUNTS; i++)
        kal_vec_release(&m->accounts[i]);
}
