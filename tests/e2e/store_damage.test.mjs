// One bit of the store's files is another one: rows, the manifests of segments, the index of their keys, the
// catalog. The server says so, at start or in the statement that meets it; nobody is shown other rows
// than those that were written, and with the file as it was all is well.
// KAL_TEST_COUNT: how many bits, KAL_TEST_SEED: which.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";

const FLIPS = Number(process.env.KAL_TEST_COUNT ?? 8);
const ROWS = 400;
const server = new Server({ args: ["--flush-interval-ms", "3600000"] });
const data = join(server.dir, "data");
const kept = join(server.dir, "kept");
const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);

const random = seeded(seed);
const below = (n) => Math.floor(random() * n);

// Asked of each of the tables by its owner.
const QUESTIONS = [
    (t) => `SELECT id, n, pad FROM ${t} ORDER BY id`,
    (t) => `SELECT count(*), sum(n), min(pad), max(pad) FROM ${t}`,
    (t) => `SELECT count(*) FROM ${t}`,
    (t) => `SELECT n, pad FROM ${t} WHERE id = 7`,
    (t) => `SELECT n, pad FROM ${t} WHERE id = ${ROWS + 7}`,
    (t) => `SELECT id FROM ${t} WHERE id BETWEEN 100 AND 120 ORDER BY id`,
];
const TABLES = [["root", "app.shared"], ["ann", "app.own"], ["bob", "app.own"]];

async function login() {
    return { root: await server.client(), ann: await server.client("ann", "password of ann"), bob: await server.client("bob", "password of bob") };
}

// Hot rows, rows of two segments and dead ones of each owner.
async function fill(client, table, number) {
    const insert = (from) => client.sql(`INSERT INTO ${table} SELECT i, ${number}, 'row ' || i || ' of ${number}' FROM range(${from}, ${from + ROWS / 2}) r(i)`);
    await insert(0);
    return async (step) => {
        if (step === 1) await insert(ROWS / 2);
        if (step === 2) {
            await insert(ROWS);
            await client.sql(`DELETE FROM ${table} WHERE id % 10 = 3`);
            await client.sql(`UPDATE ${table} SET pad = 'changed' WHERE id % 50 = 7`);
        }
    };
}

async function answers(clients) {
    const all = [];
    for (const [user, table] of TABLES) {
        for (const question of QUESTIONS) {
            const sql = question(table);
            all.push(await clients[user].rows(sql).catch((error) => error));
        }
    }
    return all;
}

let expected;
before(async () => {
    console.log(`KAL_TEST_SEED=${seed}`);
    await server.start();
    const root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE SHARED TABLE app.shared (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT)");
    await root.sql("CREATE USER TABLE app.own (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT)");
    for (const name of ["ann", "bob"]) await root.addUser(name);
    const clients = await login();
    const later = [];
    for (const [i, [user, table]] of TABLES.entries()) later.push(await fill(clients[user], table, i));
    for (const step of [1, 2]) {
        for (const table of ["app.shared", "app.own"]) await root.sql(`FLUSH TABLE ${table}`);
        for (const go of later) await go(step);
    }
    await server.restart(); // what was only in the log is in files now
    expected = await answers(await login());
    for (const rows of expected) assert.ok(Array.isArray(rows), String(rows));
    await server.stop();
    cpSync(data, kept, { recursive: true });
});
after(async () => {
    rmSync(kept, { recursive: true, force: true });
    await server.close();
});

function damage() {
    const names = readdirSync(join(data, "rocksdb")).filter((name) => /\.(sst|log)$|^(MANIFEST|CURRENT)/.test(name));
    const name = names[below(names.length)];
    const path = join(data, "rocksdb", name);
    const bytes = readFileSync(path);
    if (bytes.length === 0) return `${name} is empty`;
    const at = below(bytes.length), bit = below(8);
    bytes[at] ^= 1 << bit;
    writeFileSync(path, bytes);
    return `${name}, bit ${bit} of byte ${at} of ${bytes.length}`;
}

for (let i = 0; i < FLIPS; i++) {
    test(`one bit of the store, ${i}`, async (t) => {
        rmSync(data, { recursive: true, force: true });
        cpSync(kept, data, { recursive: true });
        const what = damage();
        server.log = "";
        try {
            await server.start();
        } catch {
            await new Promise((resolve) => setTimeout(resolve, 100)); // its last words may be on their way
            assert.equal(server.process.signalCode, null, `${what}: it did not end by itself:\n${server.log}`);
            const [, words] = /^kalamdb-server: (.+)$/m.exec(server.log) ?? [];
            assert.ok(words && !/Sanitizer/.test(server.log), `${what}:\n${server.log}`);
            return t.diagnostic(`${what}: ${words}`);
        }
        let clients;
        try {
            clients = await login();
        } catch (error) {
            await server.stop("SIGKILL");
            assert.match(String(error), /IO_ERROR|CORRUPT|damaged|cannot/i, `${what}: ${error}`);
            return t.diagnostic(`${what}: no login: ${error.message}`);
        }
        const found = await answers(clients);
        let errors = 0;
        for (const [k, rows] of found.entries()) {
            if (Array.isArray(rows)) {
                assert.deepEqual(rows, expected[k], `${what}: question ${k}`);
                continue;
            }
            errors++;
            assert.match(String(rows.code), /CORRUPT|IO_ERROR/, `${what}: ${rows}`);
        }
        assert.equal(server.process.exitCode, null, what);
        assert.equal(server.process.signalCode, null, what);
        await server.stop("SIGKILL");
        t.diagnostic(`${what}: ${errors} of ${found.length} statements say so`);
    });
}

test("with the files as they were", async () => {
    rmSync(data, { recursive: true, force: true });
    cpSync(kept, data, { recursive: true });
    await server.start();
    assert.deepEqual(await answers(await login()), expected);
});
