/*
 * sim.h: one simulated database: a process over a store that can fail and lose power, clients that
 * are tasks of the same scheduler as the write lane, and the model that says what they must see.
 *
 *     seed -> rng, scheduler, faults, profile
 *     store: power switch -> faults -> memory          process: catalog, tables, lane, clients
 *
 * Three moments of the model say what is known (model.h):
 *
 *     durable       survives a power loss: it was acknowledged, and as durable as configured
 *     acknowledged  is visible: its client was answered
 *     now           may be there: a write whose outcome is unknown is counted as made
 *
 * durable <= acknowledged <= now. While no write has failed all readers must see exactly `now`, and
 * with fsync before the answer all three are the same. After a failed write (in_doubt) the store
 * refuses writes until it is opened again; then exactly one moment from durable to now must be
 * found, in rows, catalog and change log alike, and is what the model goes on from.
 */
#ifndef KAL_TESTS_SIM_SIM_H
#define KAL_TESTS_SIM_SIM_H

#include "base/list.h"
#include "base/rng.h"
#include "model.h"

enum {
    SIM_CLIENTS = 3,
    SIM_VIEWS = 4,
    SIM_SCANS = 3,
    SIM_OPS_MAX = 6,
    SIM_WRITES_MAX = 12, /* in flight */
    SIM_MARKS_MAX = 3,
};

/* What a seed decides once. */
typedef struct sim_profile {
    unsigned write_fail_per_1000;
    unsigned read_fail_per_1000;
    kal_tables_options options;
} sim_profile;

typedef enum sim_op_kind {
    /* key-bound */
    OP_INSERT, /* KAL_EXISTS when the row is there */
    OP_INSERT_IF_ABSENT,
    OP_UPSERT,
    OP_ADD,    /* to the number of a row that is there */
    OP_DELETE, /* a row that is there */
    OP_REFUSE, /* KAL_INVALID, as a failing expression */
    /* prepared */
    OP_PUT_SEEN,
    OP_DELETE_SEEN,
} sim_op_kind;

typedef struct sim_op {
    sim_op_kind kind;
    model_table *table;
    unsigned user;
    unsigned key;
    sim_image image;   /* INSERT, UPSERT, PUT_SEEN; ADD: number is added */
    uint64_t seq_seen; /* prepared */
    bool keeps_row;
} sim_op;

typedef enum sim_ddl_kind {
    DDL_CREATE_NAMESPACE,
    DDL_DROP_NAMESPACE,
    DDL_CREATE_TABLE,
    DDL_DROP_TABLE,
    DDL_CREATE_USER,
    DDL_ALTER_USER,
    DDL_DROP_USER,
    DDL_KINDS,
} sim_ddl_kind;

typedef struct sim_ddl {
    sim_ddl_kind kind;
    unsigned ns;
    unsigned name; /* of a table or an account */
    kal_table_type type;
    unsigned shape;
    bool lenient; /* IF EXISTS, IF NOT EXISTS */
    bool cascade;
    model_account account; /* as it will be */
    kal_catalog_change *change;
} sim_ddl;

typedef struct sim_write {
    kal_list link; /* in sim.writes until settled */
    struct sim *sim;
    kal_write *write; /* owned */
    sim_op ops[SIM_OPS_MAX];
    size_t op_count;
    sim_ddl *ddl;       /* borrowed from the sim; NULL: rows only */
    bool is_waited_for; /* somebody else closes it */
    unsigned number;
} sim_write;

/* The overlay of a transaction as the model has it: the newest entry of a key counts. */
typedef struct sim_own {
    model_table *table;
    unsigned key;
    bool present;
    sim_image image;
    uint64_t seq_seen;
} sim_own;

typedef KAL_VEC(sim_own) sim_own_list;

typedef struct sim_view {
    bool is_open;
    kal_view view;
    unsigned user;
    uint32_t from; /* it shows one moment from..to */
    uint32_t to;
    kal_overlay *overlay; /* owned; NULL: no transaction */
    sim_own_list own;
    size_t marks[SIM_MARKS_MAX];
    sim_own_list own_at_mark[SIM_MARKS_MAX];
    size_t mark_count;
} sim_view;

typedef struct sim_seen {
    unsigned key;
    sim_image image;
    uint64_t seq;
} sim_seen;

/* What a scan has shown so far. */
typedef struct sim_scan {
    kal_scan *scan; /* owned; NULL: free */
    sim_view *view;
    model_table *table;
    unsigned lower; /* keys lower <= key < upper */
    unsigned upper;
    bool reverse;
    sim_seen seen[SIM_KEYS];
    size_t seen_count;
} sim_scan;

typedef struct sim_client {
    struct sim *sim;
    kal_task *task; /* owned */
} sim_client;

typedef struct sim {
    uint64_t seed;
    kal_rng rng;
    unsigned step;
    bool traces;
    uint64_t digest; /* of everything that happened: the same seed gives the same */
    sim_profile profile;

    kal_kv *memory; /* borrowed from faults */
    kal_kv *faults; /* borrowed from power */
    kal_kv *power;  /* owned: what the process sees */
    kal_sim_clock clock;

    kal_arena arena; /* lives as long as the simulation */
    kal_row_layout layouts[SIM_SHAPES];
    model model;
    uint32_t acknowledged;
    uint32_t durable;
    bool in_doubt;

    /* the process */
    kal_sched *sched;           /* owned */
    kal_catalog *catalog;       /* owned */
    kal_catalog_worker *worker; /* owned */
    kal_tables *tables;         /* owned */
    sim_client clients[SIM_CLIENTS];
    kal_task *admin; /* owned */
    kal_task *timer; /* owned */
    bool is_quiet;   /* clients rest */
    bool is_dead;    /* the power is gone: nobody hears answers */

    kal_list writes; /* in flight, oldest first */
    size_t write_count;
    unsigned writes_made;
    bool is_waiting; /* a client, in kal_write_commit() */
    sim_view views[SIM_VIEWS];
    sim_scan scans[SIM_SCANS];
    sim_ddl ddl;
    sim_write *ddl_write; /* NULL: none */
    bool ddl_is_answered;

    /* that the run was worth something */
    struct {
        unsigned commits, conflicts, refused, doubts, crashes, restarts, lost, rows_read, catalog;
        unsigned read_faults;
    } count;
} sim;

/* ---- sim.c: the run ---- */

/* Says what was expected and found, with the seed, and ends the program. */
KAL_NORETURN void sim_fail(const sim *s, const char *format, ...) KAL_PRINTF(2, 3);
/* One line of what happens; goes into the digest. */
void sim_trace(sim *s, const char *format, ...) KAL_PRINTF(2, 3);
unsigned sim_below(sim *s, unsigned bound);
bool sim_chance(sim *s, unsigned numerator, unsigned denominator);

extern const char *const SIM_NAMESPACE_NAMES[SIM_NAMESPACES];
extern const char *const SIM_TABLE_NAMES[SIM_TABLES];
extern const char *const SIM_ACCOUNT_NAMES[SIM_ACCOUNTS];

/* ---- process.c ---- */

void sim_store_open(sim *s);
void sim_process_open(sim *s);
/* Finishes what is in flight, then closes and opens again: nothing acknowledged is lost. */
void sim_restart(sim *s);
/* The power goes, in the middle of whatever happens; then the process is started again. */
void sim_crash(sim *s);
/* Clients rest, everything in flight is answered, the sync interval passes. */
void sim_settle(sim *s);
void sim_process_close(sim *s);
bool sim_store_is_stopped(const sim *s);
/* The table's object, NULL when there is none to be had (dropped before it was looked up, a failed
 * read, or a table in doubt). */
kal_table *sim_handle(sim *s, model_table *table);
/* Takes what a look-up found as the table's object. */
void sim_adopt(sim *s, model_table *table, kal_table *found);

/* ---- writes.c ---- */

/* A random operation; false when there is no table. */
bool sim_random_op(sim *s, sim_op *op_out);
sim_write *sim_write_open(sim *s);
/* false when the table cannot be had just now. */
bool sim_write_add(sim_write *w, const sim_op *op);
void sim_write_submit(sim_write *w);
void sim_write_close(sim_write *w);
/* One random write, submitted or committed. */
void sim_write_random(sim *s);
/* Submits w, or waits for it, by chance; w is closed then. */
void sim_write_send(sim_write *w);

/* ---- reads.c ---- */

void sim_read_random(sim *s);
void sim_transaction_random(sim *s);
void sim_readers_close(sim *s);

/* ---- ddl.c ---- */

void sim_ddl_step(sim *s);
/* What the model makes of a change that was committed. */
void sim_ddl_apply(sim *s, const sim_ddl *ddl);
/* The change of an answered, or lost, DDL is ended. */
void sim_ddl_finish(sim *s);

/* ---- check.c ---- */

/* Compares everything in the store with the model; it must be one moment from..to, which is
 * returned (the newest one when several are alike). */
uint32_t sim_check(sim *s, uint32_t from, uint32_t to);

#endif
