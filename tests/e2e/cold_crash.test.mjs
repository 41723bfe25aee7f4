// kill -9 while rows are written and moved to segments: every acknowledged statement is there, each row
// once and none stale, half a statement never, and no file is left that no table knows.
// KAL_TEST_COUNT: how many kills.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";

const KILLS = Number(process.env.KAL_TEST_COUNT ?? 4);
const KEYS = 60; // of a writer
const WRITERS = [["app.own", "ann"], ["app.own", "ann"], ["app.own", "bob"], ["app.pool", "root"], ["app.pool", "root"]];

const server = new Server({ args: ["--flush-interval-ms", "100"] });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let clients = {};
const seed = Number(process.env.KAL_TEST_SEED ?? 20261126);

const random = seeded(seed);
const below = (n) => Math.floor(random() * n);

async function login() {
    clients = { root: await server.client() };
    for (const name of ["ann", "bob"]) clients[name] = await server.client(name, `password of ${name}`);
}

before(async () => {
    console.log(`KAL_TEST_SEED=${seed}`);
    await server.start();
    const root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    for (const [type, name] of [["USER", "own"], ["SHARED", "pool"]])
        await root.sql(`CREATE ${type} TABLE app.${name} (writer INT, id BIGINT, n BIGINT, pad TEXT, PRIMARY KEY (writer, id)) WITH (FLUSH_POLICY = 'rows:50')`);
    for (const name of ["ann", "bob"]) await root.addUser(name);
    await login();
});
after(() => server.close());

const writers = WRITERS.map(([table, user], number) => ({ table, user, number, rows: new Map(), maybe: null, number_of_acks: 0 }));
let next = 1;

// A statement and what it makes of the writer's rows.
function statement(w) {
    const rows = new Map(w.rows);
    const ids = Array.from({ length: 1 + below(20) }, () => below(KEYS));
    const n = next++;
    const mine = `writer = ${w.number}`;
    switch (below(7)) {
        case 0: {
            const from = below(KEYS);
            for (const [id, old] of rows) if (id >= from) rows.set(id, old + 1);
            return [`UPDATE ${w.table} SET n = n + 1 WHERE ${mine} AND id >= ${from}`, rows];
        }
        case 1: {
            const from = below(KEYS);
            for (const id of rows.keys()) if (id >= from && id < from + 5) rows.delete(id);
            return [`DELETE FROM ${w.table} WHERE ${mine} AND id >= ${from} AND id < ${from + 5}`, rows];
        }
        case 2: {
            const [id] = ids;
            if (rows.has(id)) rows.set(id, n);
            return [`UPDATE ${w.table} SET n = ${n} WHERE ${mine} AND id = ${id}`, rows];
        }
        case 3: { // a key changes
            const [id] = ids;
            const to = below(KEYS);
            if (!rows.has(id) || rows.has(to)) return statement(w);
            rows.set(to, rows.get(id));
            rows.delete(id);
            return [`UPDATE ${w.table} SET id = ${to} WHERE ${mine} AND id = ${id}`, rows];
        }
        case 4: { // what two rows have together stays
            const [from, to] = [...rows.keys()].sort(() => random() - 0.5);
            if (to === undefined) return statement(w);
            rows.set(from, rows.get(from) - n);
            rows.set(to, rows.get(to) + n);
            return [`BEGIN; UPDATE ${w.table} SET n = n - ${n} WHERE ${mine} AND id = ${from}; UPDATE ${w.table} SET n = n + ${n} WHERE ${mine} AND id = ${to}; COMMIT`, rows];
        }
        default: {
            const values = [...new Set(ids)].map((id) => `(${w.number}, ${id}, ${n}, '${"x".repeat(below(200))}')`);
            for (const id of ids) rows.set(id, n);
            return [`INSERT INTO ${w.table} (writer, id, n, pad) VALUES ${values.join(", ")} ON CONFLICT DO UPDATE SET n = excluded.n`, rows];
        }
    }
}

async function write(w, state) {
    w.maybe = null;
    while (!state.over) {
        const [sql, rows] = statement(w);
        w.maybe = rows;
        w.last = sql;
        try {
            await clients[w.user].sql(sql);
        } catch (error) {
            if (state.over && error.code === undefined) return; // the outcome is unknown
            if (error.code === undefined && error.cause) return;
            if (error.code !== "TRANSACTION_CONFLICT") throw error;
            w.maybe = null;
            continue;
        }
        w.rows = rows;
        w.maybe = null;
        w.number_of_acks++;
    }
}

async function flush(state) {
    while (!state.over) {
        try {
            await clients.root.sql(random() < 0.5 ? "FLUSH TABLE app.own" : "FLUSH ALL IN app");
            await sleep(below(50));
        } catch (error) {
            if (!state.over && !/being flushed|retrying already/.test(error.message)) throw error;
        }
    }
}

// Tables that come, are flushed and go, and columns of the writers' tables.
async function change(state) {
    while (!state.over) {
        const table = `app.short${next++}`;
        try {
            await clients.root.sql(`CREATE SHARED TABLE ${table} (id BIGINT PRIMARY KEY, n BIGINT) WITH (FLUSH_POLICY = 'rows:20')`);
            await clients.root.sql(`INSERT INTO ${table} SELECT i, i FROM range(0, 100) r(i)`);
            if (random() < 0.5) await clients.root.sql(`FLUSH TABLE ${table}`);
            const column = `extra${next++}`;
            await clients.root.sql(`ALTER TABLE app.own ADD COLUMN ${column} TEXT DEFAULT 'was'`);
            await clients.root.sql(`ALTER TABLE app.own DROP COLUMN ${column}`);
            await clients.root.sql(`DROP TABLE ${table}`);
            await sleep(below(50));
        } catch (error) {
            if (!state.over && !/being flushed|retrying already/.test(error.message)) throw error;
        }
    }
}

const sorted = (map) => [...map].sort(([a], [b]) => a - b);

async function check(w, round) {
    const where = `WHERE writer = ${w.number}`;
    const found = (await clients[w.user].rows(`SELECT id, n FROM ${w.table} ${where} ORDER BY id`)).map(([id, n]) => [Number(id), Number(n)]);
    const same = (map) => map !== null && JSON.stringify(sorted(map)) === JSON.stringify(found);
    if (!same(w.rows) && !same(w.maybe))
        assert.deepEqual(found, sorted(w.rows), `round ${round}, writer ${w.number}, at the end: ${w.last}`);
    w.rows = new Map(found);
    w.maybe = null;
    for (const [id, n] of found) {
        const rows = await clients[w.user].rows(`SELECT n FROM ${w.table} ${where} AND id = ${id}`);
        assert.deepEqual(rows.map(([v]) => Number(v)), [n], `round ${round}, writer ${w.number}, id ${id} by key`);
    }
    const [[count, sum]] = await clients[w.user].rows(`SELECT count(*), sum(n + 0) FROM ${w.table} ${where}`);
    assert.equal(Number(count), found.length);
    assert.equal(Number(sum ?? 0), found.reduce((all, [, n]) => all + n, 0));
}

function files(dir, prefix = "") {
    if (!existsSync(dir)) return [];
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory()
        ? files(join(dir, entry.name), `${prefix}${entry.name}/`) : [prefix + entry.name]));
}

// The test's own time-out ends it when there is a file too many.
async function noOrphans() {
    const dir = join(server.dir, "data", "storage");
    for (let i = 0; ; i++) {
        const known = (await clients.root.rows("SELECT path FROM system.segments ORDER BY path")).map(([path]) => path).sort();
        const there = files(dir).sort();
        if (JSON.stringify(known) === JSON.stringify(there)) return known.length;
        if (i === 100) assert.deepEqual(there, known, "files and system.segments");
        await sleep(100);
    }
}

for (let round = 1; round <= KILLS; round++) {
    test(`kill ${round} of ${KILLS}`, async () => {
        const state = { over: false };
        const acks = writers.reduce((all, w) => all + w.number_of_acks, 0);
        const running = [...writers.map((w) => write(w, state)), flush(state), change(state)];
        await sleep(100 + below(900));
        state.over = true;
        await server.stop("SIGKILL");
        const ended = await Promise.allSettled(running);
        for (const { reason } of ended) if (reason) throw reason;
        await server.start();
        await login();
        for (const w of writers) await check(w, round);
        if (round % 5 === 0 || round === KILLS) await noOrphans();
        assert.ok(writers.reduce((all, w) => all + w.number_of_acks, 0) > acks, "nothing was acknowledged");
    });
}

test("segments were written, and the answers stay when all rows are in them", async () => {
    await clients.root.sql("FLUSH ALL IN app");
    for (const w of writers) await check(w, "last");
    assert.ok((await noOrphans()) > 0);
});
