// by_user: tables with PARTITION_BY_USER: what moving many users' rows to files of one user each takes, merging them, erasing one.
//
// BENCH_USERS: how many users (1000,10000); each has 100 rows. BENCH_HOLD: a program that is started with the server's number
// before the flush, perf for instance.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { KalamDB, build, machine, root, sleep, writeResult } from "./lib.mjs";

const COUNTS = (process.env.BENCH_USERS ?? "1000,10000").split(",").map(Number);
const ROWS = 100, PASSWORD = "password of a user";
const where = machine();
const inside = {};
const note = (what, value) => { inside[what] = value; console.log(`${what}: ${value}`); };

const COLUMNS = "id BIGINT PRIMARY KEY, a BIGINT NOT NULL, b DOUBLE NOT NULL, c INT NOT NULL, g INT NOT NULL, j BIGINT NOT NULL, s TEXT NOT NULL";
const row = "i, i * i % 1000003 * 7919 % 1000003, (i * i % 998244353) / 8192.0, i * i % 999979 * (i % 99991) % 1000, i * (i % 9973) % 100, i * i % 999983 * 31 % 1000000, 'k' || i * i % 4999";
const insertFrom = (table, from) => `INSERT INTO bench.${table} SELECT ${row} FROM (SELECT r.i + 1000 * CAST(substr(CURRENT_USER(), 5) AS BIGINT) AS i FROM generate_series(${from}, ${from + ROWS - 1}) AS r(i)) AS own`;

const kalam = await new KalamDB().start("--flush-interval-ms", "86400000");
const rocksdb = () => join(kalam.dir, "data", "rocksdb");
const bytesOf = (pattern) => readdirSync(rocksdb()).filter((name) => pattern.test(name)).map((name) => statSync(join(rocksdb(), name), { throwIfNoEntry: false })?.size ?? 0);
const sum = (list) => list.reduce((a, b) => a + b, 0);

// Rows of many users, by a program that opens the data itself: over HTTP each would cost two password hashes.
async function fill(tables, users, from, token) {
    for (const table of tables) await kalam.sql(insertFrom(table, from), undefined, token);
    await kalam.restart(() => {
        for (const table of tables)
            execFileSync(join(build, "bench", "bench_many_users"), [join(kalam.dir, "data"), join(root, "build", "deps", "duckdb", "libduckdb.so"), "1000000", String(users - 1), insertFrom(table, from)]);
    });
}

async function timed(what, sql) {
    const hold = process.env.BENCH_HOLD ? spawn(process.env.BENCH_HOLD, [String(kalam.child.pid), what], { stdio: "inherit" }) : null;
    const cpu = kalam.cpu(), start = performance.now();
    const { message } = (await kalam.sql(sql)).results[0];
    note(`${what}, seconds`, (performance.now() - start) / 1000);
    note(`${what}, CPU seconds`, kalam.cpu() - cpu);
    hold?.kill("SIGINT");
    if (hold) await sleep(2000);
    return message;
}

await kalam.sql("CREATE NAMESPACE bench");
await kalam.sql(`CREATE USER 'user999999' WITH PASSWORD '${PASSWORD}' ROLE user`);
for (const users of COUNTS) {
    const many = `many_${users}`, plain = `plain_${users}`;
    await kalam.sql(`CREATE USER TABLE bench.${many} (${COLUMNS}) WITH (PARTITION_BY_USER = true)`);
    await kalam.sql(`CREATE USER TABLE bench.${plain} (${COLUMNS})`);
    await fill([many, plain], users, 1, await kalam.login("user999999", PASSWORD));
    await timed(`flush of ${users} users without the option`, `FLUSH TABLE bench.${plain}`);
    const message = await timed(`flush of ${users} users`, `FLUSH TABLE bench.${many}`);
    assert.ok(message.includes(`${users * ROWS} rows`), message);
    note(`MANIFEST after the flush of ${users} users, bytes`, sum(bytesOf(/^MANIFEST/)));
    note(`data files of RocksDB after the flush of ${users} users`, bytesOf(/\.sst$/).length);
    const token = await kalam.login("user999999", PASSWORD);
    const start = performance.now();
    for (let i = 0; i < 100; i++) await kalam.sql(`INSERT INTO bench.${many} VALUES ($1, 1, 1, 1, 1, 1, 'k')`, [i - 1000], token);
    note(`INSERT of one row beside the segments of ${users} users, ms`, (performance.now() - start) / 100);
    await fill([many], users, 201, token);
    await kalam.sql(`FLUSH TABLE bench.${many}`);
    await timed(`merging two segments of each of ${users} users`, `STORAGE COMPACT TABLE bench.${many}`);
    const rows = await kalam.sql("SELECT count(*), sum(row_count) FROM system.segments WHERE table_name = $1", [many]);
    assert.deepEqual(rows.results[0].rows[0].map(Number), [users, users * 2 * ROWS + 100]);
}
await timed(`DROP USER ... ERASE of one of ${Math.max(...COUNTS)} users`, "DROP USER 'user999999' ERASE");
note("MANIFEST after that, bytes", sum(bytesOf(/^MANIFEST/)));
await kalam.end();
if (!process.env.BENCH_USERS)
    writeResult("by_user", { what: `Tables with PARTITION_BY_USER: users with ${ROWS} rows each, whose rows go to a file of each user`,
        note: "the whole of a statement, once; its writing is DuckDB's for the most part", machine: where, figures: {}, inside });
