// cold: rows in segments, against plain DuckDB on the same Parquet files; flushing them; many users in one table.
//
// BENCH_COLD_ROWS: rows of the large tables (10,000,000); everything else follows. BENCH_SECONDS: of one measurement.
// BENCH_COLD_PARTS: only these parts (names of functions below, with commas); the other figures stay as they are.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KalamDB, build, here, interleaved, machine, root, sleep, writeResult, wrk } from "./lib.mjs";
import { duckdbPeer, lasting, onOneProcessor, overHttp } from "./peer.mjs";

const ROWS = Number(process.env.BENCH_COLD_ROWS ?? 10000000); // a multiple of 100,000
const SECONDS = Number(process.env.BENCH_SECONDS ?? 2);
const SEGMENTS = 10, USERS = 100, HOT_ROWS = ROWS / 1000, JOINED_ROWS = ROWS / 10, SMALL_ROWS = ROWS / 50;
const MANY_USERS = ROWS / 1000, ROWS_OF_EACH = 100;
const BATCH = 100000, ROUNDS = 19, THREADS = 1; // of DuckDB: as many as the server's own has
const PASSWORD = "password of a user";

const where = machine();
const PARTS = process.env.BENCH_COLD_PARTS?.split(",");
const { figures, inside } = PARTS ? JSON.parse(readFileSync(join(here, "results", "cold.json"), "utf8")) : { figures: {}, inside: {} };
const kalam = await new KalamDB().start("--flush-interval-ms", "86400000"); // FLUSH only when it is asked
const note = (what, value) => { inside[what] = value; console.log(`${what}: ${value}`); };

// ---- rows ----

const COLUMNS = "id BIGINT PRIMARY KEY, a BIGINT NOT NULL, b DOUBLE NOT NULL, c INT NOT NULL, g INT NOT NULL, j BIGINT NOT NULL, s TEXT NOT NULL";
// Without a pattern that a compressor would find: i * i modulo primes.
const row = `i, i * i % 1000003 * 7919 % 1000003, (i * i % 998244353) / 8192.0, i * i % 999979 * (i % 99991) % 1000, i * (i % 9973) % 100,
    i * i % 999983 * 31 % ${JOINED_ROWS}, 'k' || i * i % 4999`;

async function insert(table, values, first, count, token) {
    for (let from = first; from < first + count; from += BATCH) {
        const to = Math.min(from + BATCH, first + count) - 1;
        await kalam.sql(`INSERT INTO bench.${table} SELECT ${values} FROM generate_series(${from}, ${to}) AS r(i)`, undefined, token);
    }
}

async function newUser(name) {
    await kalam.sql(`CREATE USER '${name}' WITH PASSWORD '${PASSWORD}' ROLE user`);
    return kalam.login(name, PASSWORD);
}

async function count(table, token) {
    return Number((await kalam.sql(`SELECT count(*) FROM bench.${table}`, undefined, token)).results[0].rows[0][0]);
}

async function segments(table) {
    const { rows } = (await kalam.sql("SELECT path, size_bytes FROM system.segments WHERE table_name = $1", [table])).results[0];
    return rows.map(([path, size]) => ({ file: join(kalam.dir, "data", "storage", path), size: Number(size) }));
}

const view = async (name, table, where = "") =>
    `CREATE VIEW ${name} AS SELECT * FROM read_parquet([${(await segments(table)).map(({ file }) => `'${file}'`)}], hive_partitioning = false) ${where};`;

// ---- what a flush takes ----

const memory = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`/proc/${kalam.child.pid}/status`, "utf8"))[1]) / 1024;
const bytesRead = () => Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${kalam.child.pid}/io`, "utf8"))[1]);

async function flush(table) {
    writeFileSync(`/proc/${kalam.child.pid}/clear_refs`, "5"); // the peak starts anew
    const before = memory("VmRSS"), cpu = kalam.cpu(), start = performance.now();
    const { message } = (await kalam.sql(`FLUSH TABLE bench.${table}`)).results[0];
    const seconds = (performance.now() - start) / 1000;
    const rows = Number(/(\d+) rows/.exec(message)[1]);
    return { rows, seconds, cpu: kalam.cpu() - cpu, before, peak: memory("VmHWM") };
}

function noteFlush(what, f) {
    note(`flush of ${what}, rows/s (goal: at least 500,000)`, f.rows / f.seconds);
    note(`flush of ${what}, CPU µs per row`, (f.cpu * 1e6) / f.rows);
    note(`flush of ${what}, resident MB before`, f.before);
    note(`flush of ${what}, peak resident MB (goal: at most 300)`, f.peak);
}

// Until nothing is going on in the server: what a flush leaves behind is removed afterwards.
async function settle() {
    for (let i = 0; i < 60; i++) {
        const cpu = kalam.cpu();
        await sleep(1000);
        if (kalam.cpu() - cpu < 0.02) return;
    }
}

// ---- against DuckDB ----

// queries: name -> [ours, DuckDB's, DuckDB's without the dead rows (or none)]; functions give a new text each time.
async function compare(prefix, queries, peer, token) {
    const text = (query) => (typeof query === "function" ? query() : query);
    await settle();
    const free = onOneProcessor(kalam.child.pid, peer.pid);
    for (const [name, [ours, theirs, alive]] of Object.entries(queries)) {
        await kalam.sql(text(ours), undefined, token); // the first one reads whole files, to verify them
        await peer.run(text(theirs));
        const turn = (run) => () => lasting(SECONDS / 8, run, 1); // short: what disturbs one disturbs the next, too
        const contenders = {
            KalamDB: turn(() => overHttp(kalam, text(ours), undefined, token)),
            DuckDB: turn(() => peer.run(text(theirs))),
        };
        if (alive) contenders["DuckDB without the dead rows"] = turn(() => peer.run(text(alive)));
        const one = await interleaved(ROUNDS, contenders);
        for (const [who, figure] of Object.entries(one)) figures[`${who}, ${prefix}${name}`] = figure;
        console.log(`${prefix}${name}: CPU ${one.DuckDB.ratio.toFixed(2)}, time ${(one.KalamDB.latency_ms / one.DuckDB.latency_ms).toFixed(2)} of DuckDB's; ${one.KalamDB.cpu_us.toFixed(0)} µs`);
    }
    free();
}

const each = (make, ...contenders) => contenders.map((names) => () => make(...names));
const someId = () => Math.floor(Math.random() * ROWS / SEGMENTS) * SEGMENTS + 1; // never one that dies below

const four = (t, where = "") => `SELECT sum(a), avg(b), min(c), max(g) FROM ${t} ${where}`;
const grouped = (t, where) => `SELECT g, count(*), sum(a), avg(b) FROM ${t} WHERE ${where} GROUP BY g ORDER BY g`;

async function sharedTable() {
    await kalam.sql(`CREATE SHARED TABLE bench.large (${COLUMNS})`);
    await kalam.sql("CREATE SHARED TABLE bench.joined (id BIGINT PRIMARY KEY, kind INT NOT NULL)");
    await insert("large", row, 0, ROWS);
    await insert("joined", "i, i * i % 10", 0, JOINED_ROWS);
    await kalam.restart();
    noteFlush(`${ROWS.toLocaleString("en")} rows of a SHARED table, server just started`, await flush("large"));
    await flush("joined");
    await insert("large", row, ROWS, HOT_ROWS);
    assert.equal(await count("large"), ROWS + HOT_ROWS);
    note("segments of the SHARED table", (await segments("large")).length);
    note("bytes per row in the SHARED table's segments", (await segments("large")).reduce((sum, s) => sum + s.size, 0) / ROWS);

    // Without as many rows as die below, by the cheapest condition that there is: of the place in the file.
    const peer = await duckdbPeer("SET parquet_metadata_cache = true;" + await view("large", "large") + await view("joined", "joined")
        + await view("alive", "large", "WHERE file_row_number % 100 <> 7"), "", THREADS);
    const queries = (...tables) => ({
        "four aggregates": each((t) => four(t), ...tables),
        "one sum": each((t) => `SELECT sum(a) FROM ${t}`, ...tables),
        "GROUP BY of 1 % of the rows": each((t) => grouped(t, "c < 10"), ...tables),
        "ORDER BY b LIMIT 50": each((t) => `SELECT id, b, s FROM ${t} ORDER BY b LIMIT 50`, ...tables),
        "join": each((t, j) => `SELECT kind, count(*), sum(a) FROM ${t} t JOIN ${j} j ON j.id = t.j GROUP BY kind ORDER BY kind`, ...tables),
        "count(*)": each((t) => `SELECT count(*) FROM ${t}`, ...tables),
        "a row by its key": each((t) => `SELECT a, b, s FROM ${t} WHERE id = ${someId()}`, ...tables),
    });
    const tables = [["bench.large", "bench.joined"], ["large", "joined"]];
    await compare("SHARED: ", queries(...tables), peer);
    for (let from = 0; from < ROWS + HOT_ROWS; from += BATCH)
        await kalam.sql(`DELETE FROM bench.large WHERE id % 100 = 7 AND id BETWEEN ${from} AND ${from + BATCH - 1}`);
    assert.equal(await count("large"), (ROWS + HOT_ROWS) * 99 / 100);
    await compare("SHARED, 1 % dead: ", queries(...tables, ["alive", "joined"]), peer);
    await peer.end();
}

async function userTable() {
    const own = ROWS / USERS;
    let token;
    await kalam.sql(`CREATE USER TABLE bench.own (${COLUMNS})`);
    for (let user = 0; user < USERS; user++) {
        const one = await newUser(`user${user}`);
        await insert("own", row, user * own, own, one);
        if (user === USERS / 2) token = one;
    }
    noteFlush(`${ROWS.toLocaleString("en")} rows of a USER table, server that loaded them`, await flush("own"));
    assert.equal(await count("own", token), own);
    const first = USERS / 2 * own;
    const peer = await duckdbPeer("SET parquet_metadata_cache = true;" + await view("own", "own"), "", THREADS);
    const mine = `_user_no = ${(await peer.run(`SELECT _user_no FROM own WHERE id = ${first}`)).value}`;
    assert.equal((await peer.run(`SELECT count(*) FROM own WHERE ${mine}`)).value, String(own));
    const key = () => `id = ${first + Math.floor(Math.random() * own)}`;
    await compare("one USER of 100: ", {
        "four aggregates": [four("bench.own"), four("own", `WHERE ${mine}`)],
        "GROUP BY": [grouped("bench.own", "c >= 0"), grouped("own", `c >= 0 AND ${mine}`)],
        "a row by its key": [() => `SELECT a, b, s FROM bench.own WHERE ${key()}`, () => `SELECT a, b, s FROM own WHERE ${key()} AND ${mine}`],
    }, peer, token);
    await peer.end();
}

// Ten thousand rows in each of twenty segments.
async function smallSegments() {
    await kalam.sql(`CREATE SHARED TABLE bench.small (${COLUMNS})`);
    for (let i = 0; i < 20; i++) {
        await insert("small", row, i * SMALL_ROWS / 20, SMALL_ROWS / 20);
        await flush("small");
    }
    assert.equal((await segments("small")).length, 20);
    const peer = await duckdbPeer("SET parquet_metadata_cache = true;" + await view("small", "small"), "", THREADS);
    await compare(`SHARED, ${SMALL_ROWS.toLocaleString("en")} rows in 20 segments: `, {
        "four aggregates (goal: at most 15,000 µs)": each((t) => four(t), ["bench.small"], ["small"]),
    }, peer);
    await peer.end();
}

// A condition on a column that is no key, and of which one segment of ten has values; one user's rows, in one segment of ten.
async function excludedSegments() {
    const rows = ROWS / 10, users = [];
    for (let i = 0; i < SEGMENTS; i++) users.push(await newUser(`reader${i}`));
    for (const table of ["dated", "dated_own"]) {
        await kalam.sql(`CREATE ${table === "dated" ? "SHARED" : "USER"} TABLE bench.${table} (${COLUMNS})`);
        for (let i = 0; i < SEGMENTS; i++) {
            // The key is spread over all segments, g is the number of the segment.
            const values = row.replace(/^i,/, `i * ${SEGMENTS} + ${i},`).replace("i * (i % 9973) % 100,", `${i},`);
            await insert(table, values, i * rows / SEGMENTS, rows / SEGMENTS, table === "dated" ? undefined : users[i]);
            if (table === "dated_own") { // in each segment the same first and last users, too
                for (const user of [users[0], users[SEGMENTS - 1]]) await insert(table, values, rows + i, 1, user);
            }
            await flush(table);
        }
        assert.equal((await segments(table)).length, SEGMENTS);
    }
    await settle();
    const one = async (name, sql, token) => {
        await kalam.sql(sql, undefined, token);
        figures[`KalamDB, ${rows.toLocaleString("en")} rows in ${SEGMENTS} segments, one of which can have what is wanted: ${name}`] =
            await lasting(SECONDS, () => overHttp(kalam, sql, undefined, token));
    };
    await one("four aggregates of a SHARED table", four("bench.dated", "WHERE g = 7"));
    await one("about ten rows of a SHARED table by no key", "SELECT * FROM bench.dated WHERE g = 7 AND a BETWEEN 1000 AND 1100");
    await one("four aggregates of a USER's rows", four("bench.dated_own"), users[SEGMENTS / 2 - 1]);
}

// Rows a second over HTTP, one in a request, while nothing else happens and then while others of the table are flushed,
// over the same connections: how they are spread over the event loops makes more of a difference than a flush.
async function insertsDuringFlush() {
    await kalam.sql("CREATE SHARED TABLE bench.log (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), kind INT, body TEXT)");
    const counted = async () => ({ at: performance.now(),
        inserts: Number((await kalam.sql("SELECT metric_value FROM system.stats WHERE metric_name = 'total_queries'")).results[0].rows[0][0]) });
    const sum = { quiet: { inserts: 0, ms: 0 }, flushing: { inserts: 0, ms: 0 } }, lost = [];
    const add = (to, from, until) => {
        to.inserts += until.inserts - from.inserts;
        to.ms += until.at - from.at;
        return (until.inserts - from.inserts) / (until.at - from.at);
    };
    for (let round = 0; round < 6; round++) {
        await insert("log", "i, i % 10, 'a text of forty characters, more or less'", round * ROWS / 10, ROWS / 10);
        let inserting = true;
        const running = wrk(kalam, "insert.lua", 16, 15 * SECONDS).then(() => { inserting = false; });
        await sleep(300);
        const first = await counted();
        await sleep(2000 * SECONDS);
        const before = await counted();
        await flush("log");
        const after = await counted();
        assert(inserting, "the flush was not over when the inserts were");
        await running;
        const quiet = add(sum.quiet, first, before);
        lost.push(100 * (1 - add(sum.flushing, before, after) / quiet));
    }
    const perSecond = ({ inserts, ms }) => 1000 * inserts / ms;
    note("durable inserts of one row per second, 16 connections", perSecond(sum.quiet));
    note("the same during a flush", perSecond(sum.flushing));
    note("inserts lost, % (goal: less than 20)", 100 * (1 - perSecond(sum.flushing) / perSecond(sum.quiet)));
    note("inserts lost in single flushes, %: lowest", Math.min(...lost));
    note("inserts lost in single flushes, %: highest", Math.max(...lost));
    note("rows of the flush per second beside them", lost.length * ROWS / 10 * 1000 / sum.flushing.ms);
}

async function manyUsers() {
    const own = `SELECT r.i + ${ROWS_OF_EACH} * CAST(substr(CURRENT_USER(), 5) AS BIGINT) AS i FROM generate_series(1, ${ROWS_OF_EACH}) AS r(i)`;
    const make = `INSERT INTO bench.many SELECT ${row} FROM (${own}) AS own`;
    await kalam.sql(`CREATE USER TABLE bench.many (${COLUMNS})`);
    const token = await newUser("user999999");
    await kalam.sql(make, undefined, token);
    await kalam.restart(() => execFileSync(join(build, "bench", "bench_many_users"), [join(kalam.dir, "data"),
        join(root, "build", "deps", "duckdb", "libduckdb.so"), "1000000", String(MANY_USERS - 1), make]));
    const { rows } = await flush("many");
    assert.equal(rows, MANY_USERS * ROWS_OF_EACH);
    const files = await segments("many");
    note(`files of ${MANY_USERS.toLocaleString("en")} users with ${ROWS_OF_EACH} rows each (goal: fewer than 20)`, files.length);
    note("bytes of these files", files.reduce((sum, f) => sum + f.size, 0));
    await settle();
    for (const which of ["first", "second"]) {
        const before = bytesRead();
        const { row_count } = (await kalam.sql("SELECT * FROM bench.many", undefined, token)).results[0];
        assert.equal(row_count, ROWS_OF_EACH);
        note(`bytes that one user's ${which} SELECT * reads${which === "first" ? " (it verifies the file)" : ""}`, bytesRead() - before);
    }
    figures[`KalamDB, SELECT * of one user of ${MANY_USERS.toLocaleString("en")}`] =
        await lasting(SECONDS, () => overHttp(kalam, "SELECT * FROM bench.many", undefined, token));
}

try {
    await kalam.sql("CREATE NAMESPACE bench");
    for (const part of [sharedTable, userTable, smallSegments, excludedSegments, insertsDuringFlush, manyUsers]) {
        if (PARTS && !PARTS.includes(part.name)) continue;
        console.log(`-- ${part.name}`);
        await part();
    }
    writeResult("cold", { what: `Rows in segments: a SHARED and a USER table of ${ROWS.toLocaleString("en")} rows in ${SEGMENTS} segments each; the SHARED one has ${HOT_ROWS.toLocaleString("en")} more in the hot store`,
        note: "KalamDB: durable rows as of one moment, over HTTP; DuckDB: the same Parquet files, in the process, metadata kept, as many threads (one); it reads neither hot rows nor which rows are dead",
        machine: where, figures, inside });
} finally {
    await kalam.end();
}
