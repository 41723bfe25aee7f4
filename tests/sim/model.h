/*
 * model.h: what the database should hold: every version of everything, numbered by moment.
 *
 * A moment is a number; each commit that changes something makes the next one. Nothing is
 * overwritten: a cell is the list of what a row was and since when, so what a view shows is "the
 * newest version that is not newer than the view", and what a crash took away is removed from the
 * end of the lists.
 *
 *     cell:   [3: "a"] [5: gone] [9: "b"]        a view of moment 7 sees no row
 *
 * Changes are collected under the moment now + 1, seen by model_row(..., now + 1), and either
 * become it (model_commit) or are taken back (model_abandon).
 */
#ifndef KAL_TESTS_SIM_MODEL_H
#define KAL_TESTS_SIM_MODEL_H

#include "base/vec.h"
#include "rows.h"

enum {
    SIM_NAMESPACES = 3,
    SIM_TABLES = 3, /* names in each namespace */
    SIM_ACCOUNTS = 3,
    SIM_USERS = 4, /* partitions of a USER table */
};

#define MODEL_NEVER UINT32_MAX

typedef struct model_version {
    uint32_t moment;
    bool present;
    sim_image image;
    uint64_t seq; /* of the change */
} model_version;

typedef struct model_cell {
    KAL_VEC(model_version) versions; /* ascending by moment */
} model_cell;

typedef struct model_life {
    uint32_t born; /* the first moment */
    uint32_t gone; /* the first moment without it, or MODEL_NEVER */
} model_life;

typedef struct model_table {
    unsigned ns;
    unsigned name;
    kal_table_type type;
    unsigned shape;
    model_life life;
    uint32_t table_id; /* 0: not learned yet */
    uint16_t shard;    /* of a SHARED table */
    kal_table *handle; /* owned by the simulated process; NULL: not looked up yet */
    model_cell cells[SIM_USERS][SIM_KEYS];
} model_table;

typedef struct model_account {
    uint32_t moment;
    uint64_t user_no;
    kal_role role;
    uint32_t generation;
    bool is_dropped;
} model_account;

/* One record of the change log, as it should be. */
typedef struct model_change {
    uint32_t moment;
    uint16_t shard;
    uint64_t seq;
    uint64_t commit_first;
    bool ends_commit;
    model_table *table;
    unsigned user;
    unsigned key;
    model_version before;
    model_version after;
} model_change;

typedef struct model {
    uint32_t now;
    KAL_VEC(model_life) namespaces[SIM_NAMESPACES];
    KAL_VEC(model_account) accounts[SIM_ACCOUNTS];
    KAL_VEC(model_table *) tables;
    KAL_VEC(model_change) changes;
    KAL_VEC(size_t) shards[KAL_SHARD_COUNT]; /* seq - 1 -> index into changes */
} model;

void model_release(model *m);

/* ---- looking ---- */

/* user_no of a partition; two of them share a shard. */
uint64_t model_user_no(unsigned user);
bool model_is_alive(const model_life *life, uint32_t moment);
bool model_has_namespace(const model *m, unsigned ns, uint32_t moment);
/* NULL when there is none. */
model_table *model_find_table(const model *m, unsigned ns, unsigned name, uint32_t moment);
const model_account *model_find_account(const model *m, unsigned account, uint32_t moment);
/* The row as of a moment, NULL when there is none; user is ignored for SHARED tables. */
const model_version *model_row(const model_table *table, unsigned user, unsigned key,
                               uint32_t moment);
uint16_t model_shard(const model_table *table, unsigned user);
/* How many changes of the shard there were at a moment. */
uint64_t model_shard_applied(const model *m, uint16_t shard, uint32_t moment);

/* ---- changing: all of it under the moment now + 1 ---- */

/* image NULL: the row goes. Returns what stands there now. */
model_version model_set_row(model *m, model_table *table, unsigned user, unsigned key,
                            const sim_image *image);
void model_create_namespace(model *m, unsigned ns);
void model_drop_namespace(model *m, unsigned ns); /* and its tables */
model_table *model_create_table(model *m, unsigned ns, unsigned name, kal_table_type type,
                                unsigned shape);
void model_drop_table(model *m, model_table *table);
void model_set_account(model *m, unsigned account, const model_account *state);
/* Makes the changes the moment now; without any it stays. */
void model_commit(model *m);
void model_abandon(model *m);
/* Forgets what came after a moment. */
void model_forget_after(model *m, uint32_t moment);

#endif
