// DROP USER ... ERASE: no byte of the user's rows is left in any file, whatever is killed when, and nothing of
// the others is lost or changed. Keys and values carry random marks; every file is searched for them, Parquet
// files also as plain DuckDB reads them, since compression may hide a mark.
// KAL_TEST_COUNT: how many kills; KAL_TEST_SEED.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";

const run = promisify(execFile);
const KILLS = Number(process.env.KAL_TEST_COUNT ?? 6);
const COMPRESSIONS = ["none", "snappy", "lz4", "zstd"];
const TABLES = [...COMPRESSIONS, "each"]; // the last one has a file for each user, and an index file for several
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);
const random = seeded(seed);

const away = mkdtempSync(join(tmpdir(), "kalamdb-e2e-away-"));
const copies = mkdtempSync(join(tmpdir(), "kalamdb-e2e-copies-"));
const server = new Server({ args: ["--flush-interval-ms", "200"] });
let root;

before(async () => {
    console.log(`KAL_TEST_SEED=${seed}`);
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql(`CREATE STORAGE away TYPE filesystem NAME 'Away' PATH '${join(away, "objects")}'`);
    for (const c of COMPRESSIONS)
        await root.sql(`CREATE USER TABLE app.${c} (id TEXT PRIMARY KEY, v TEXT, n BIGINT) WITH (COMPRESSION = '${c}', MAX_ROWS_PER_USER = 100000${c === "zstd" ? ", STORAGE_ID = 'away'" : ""})`);
    await root.sql("CREATE USER TABLE app.each (id TEXT PRIMARY KEY, v TEXT, n BIGINT) WITH (PARTITION_BY_USER = true)");
    await root.sql("CREATE STREAM TABLE app.events (id TEXT PRIMARY KEY, v TEXT) WITH (TTL_SECONDS = 3600)");
    await root.sql("CREATE STREAM TABLE app.arrivals (v TEXT) WITH (TTL_SECONDS = 1, WATERMARK_DELAY_SECONDS = 3600)");
    await root.sql("CREATE SHARED TABLE app.pool (id BIGINT PRIMARY KEY, v TEXT)");
    await root.sql("CREATE USER TABLE app.gone (id TEXT PRIMARY KEY, v TEXT)");
});
after(async () => {
    await server.close();
    for (const dir of [away, copies]) rmSync(dir, { recursive: true, force: true });
});

function files(dir) {
    if (!existsSync(dir)) return [];
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory()
        ? files(join(dir, entry.name)) : [join(dir, entry.name)]));
}
const allFiles = () => [...files(join(server.dir, "data")), ...files(away)];

// Files that hold one of the marks: names, bytes, and what DuckDB reads in them.
async function findMarks(marks) {
    const found = [];
    for (const file of allFiles()) {
        let bytes;
        try {
            bytes = readFileSync(file);
        } catch (error) {
            if (error.code === "ENOENT") continue; // the server goes on
            throw error;
        }
        for (const mark of marks) if (bytes.includes(mark) || file.includes(mark)) found.push(`${file}: ${mark}`);
        if (!file.endsWith(".parquet")) continue;
        const copy = join(copies, "copy.parquet"); // the server may remove the file any time
        writeFileSync(copy, bytes);
        const sql = `SELECT count(*) FROM read_parquet('${copy}') t WHERE ${marks.map((m) => `contains(CAST(t AS VARCHAR), '${m}')`).join(" OR ")}`;
        const { stdout } = await run(process.env.DUCKDB_ORACLE, [sql]);
        const [[count]] = JSON.parse(stdout);
        if (Number(count) > 0) found.push(`${file}: ${count} rows`);
    }
    return found;
}

// A user whose rows lie everywhere: in segments, dead in segments, hot, in the log, in streams.
async function makeVictim(name) {
    const mark = { key: `K${randomBytes(12).toString("hex")}`, value: `V${randomBytes(12).toString("hex")}`, old: `O${randomBytes(12).toString("hex")}` };
    const client = await root.addUser(name);
    const put = (table, from, to, text) => client.sql(`INSERT INTO app.${table} (id, v) VALUES ${Array.from({ length: to - from }, (_, i) => `('${mark.key}-${from + i}', '${text}-${i}')`).join(", ")}`);
    for (const c of TABLES) await put(c, 0, 60, mark.old);
    await put("events", 0, 30, mark.value);
    await client.sql(`INSERT INTO app.arrivals (v) VALUES ${Array.from({ length: 30 }, (_, i) => `('${mark.value}-${i}')`).join(", ")}`);
    await put("gone", 0, 30, mark.value);
    const beside = () => root.sql("INSERT INTO app.each (id, n) VALUES ('of root', 0) ON CONFLICT DO UPDATE SET n = app.each.n + 1");
    await beside();
    await root.sql("FLUSH ALL IN app");
    await put("each", 60, 80, mark.old); // and what was flushed of it before is retired
    await beside();
    await root.sql("FLUSH TABLE app.each");
    await root.sql("STORAGE COMPACT TABLE app.each");
    for (const c of TABLES) {
        await client.sql(`UPDATE app.${c} SET v = '${mark.value}' WHERE id < '${mark.key}-3'`);
        await client.sql(`DELETE FROM app.${c} WHERE id >= '${mark.key}-50'`);
    }
    await root.sql("FLUSH TABLE app.lz4");
    for (const c of TABLES) await put(c, 100, 120, mark.value);
    return { name, client, mark, marks: Object.values(mark) };
}

// Somebody who goes on writing and reading; what he has is compared at the end.
function makeNeighbour(client, name) {
    return {
        client, name, rows: new Map(), maybe: null, over: false, next: 0,
        async work() {
            while (!this.over) {
                const id = `n${Math.floor(random() * 80)}`;
                const table = TABLES[Math.floor(random() * TABLES.length)];
                const key = `${table}/${id}`;
                const n = ++this.next;
                this.maybe = [key, n];
                try {
                    await this.client.sql(`INSERT INTO app.${table} (id, v, n) VALUES ('${id}', 'of ${this.name}', ${n}) ON CONFLICT DO UPDATE SET n = excluded.n`);
                } catch (error) {
                    if (error.code === undefined) return; // killed: the outcome is unknown
                    throw error;
                }
                this.rows.set(key, n);
                this.maybe = null;
                if (n % 7 === 0) await this.check([table]).catch((error) => { if (error.code !== undefined || error.name === "AssertionError") throw error; });
            }
        },
        async check(tables = TABLES) {
            for (const table of tables) {
                const found = new Map((await this.client.rows(`SELECT id, n FROM app.${table} ORDER BY id`)).map(([id, n]) => [`${table}/${id}`, Number(n)]));
                const expected = new Map([...this.rows].filter(([key]) => key.startsWith(`${table}/`)));
                if (this.maybe !== null && found.get(this.maybe[0]) === this.maybe[1]) {
                    expected.set(...this.maybe);
                    this.rows.set(...this.maybe);
                }
                assert.deepEqual([...found].sort(), [...expected].sort(), `rows of ${this.name} in ${table}`);
            }
        },
    };
}

async function shared() {
    return JSON.stringify(await root.rows("SELECT id, v FROM app.pool ORDER BY id"));
}

test("nothing is left, the others have what they had", async () => {
    const bob = makeNeighbour(await root.addUser("bob"), "bob");
    await root.sql("INSERT INTO app.pool SELECT i, 'pool ' || i FROM range(0, 50) r(i)");
    const ann = await makeVictim("ann");
    await root.sql("DROP TABLE app.gone"); // with rows of hers
    await root.sql("CREATE USER TABLE app.gone (id TEXT PRIMARY KEY, v TEXT)");
    const pool = await shared();
    const segments = (await root.rows("SELECT path FROM system.segments")).length;
    assert.ok(segments > 0);
    // The search finds what is there.
    const kinds = [...ann.marks.map((mark) => (f) => f.endsWith(mark)), (f) => f.startsWith(away), (f) => f.includes("/rocksdb/"), (f) => f.endsWith(" rows")];
    for (let i = 0; ; i++) { // a compaction may take a file away that was just listed
        const there = await findMarks(ann.marks);
        if (kinds.every((is) => there.some(is))) break;
        assert.ok(i < 20, there.join("\n"));
    }

    // Her own export and the one that somebody made for her go as well.
    await ann.client.sql("EXPORT USER DATA");
    await root.sql("EXPORT USER DATA FOR 'ann'");
    const exportsOf = async (client) => (await client.rows("SHOW EXPORT")).map(([, status]) => status);
    while ((await exportsOf(ann.client))[0] !== "completed" || (await exportsOf(root))[0] !== "completed") await sleep(20);
    const archives = () => readdirSync(join(server.dir, "data", "exports"));
    assert.equal(archives().length, 2);

    const work = bob.work();
    const { message } = await root.sql("DROP USER 'ann' ERASE");
    assert.deepEqual(archives(), []);
    bob.over = true;
    await work;
    assert.match(message, /^User 'ann' erased: \d+ rows erased, \d+ segments written anew, \d+ changes cleared\. Backups and exports that were downloaded are not changed$/);
    assert.deepEqual(await findMarks([...ann.marks, "password of ann"]), []);
    await bob.check();
    assert.equal(await shared(), pool);
    assert.equal((await root.rows("SELECT user_id FROM system.users WHERE user_id = 'ann'")).length, 0);
    // The token is worth nothing, and the name may be somebody else's, who has no rows.
    assert.equal((await ann.client.error("SELECT 1")).status, 401);
    const again = await root.addUser("ann", "user", "another password");
    for (const c of TABLES) assert.deepEqual(await again.rows(`SELECT id FROM app.${c}`), []);
    assert.equal((await ann.client.error("SELECT 1")).status, 401);
    await bob.check();
    await root.sql("DROP USER 'ann' ERASE");
});

test("a user who was dropped can be erased later", async () => {
    const cara = await makeVictim("cara");
    await root.sql("DROP USER 'cara'");
    assert.notDeepEqual(await findMarks(cara.marks), []);
    assert.match((await root.error("CREATE USER 'cara' WITH PASSWORD 'long enough' ROLE user")).message, /stays taken/);
    await root.sql("DROP USER IF EXISTS 'cara' ERASE");
    assert.deepEqual(await findMarks(cara.marks), []);
    assert.match((await root.sql("DROP USER IF EXISTS 'cara' ERASE")).message, /does not exist/);
    assert.equal((await root.error("DROP USER 'cara' ERASE")).code, "USER_NOT_FOUND");
});

test("a storage that cannot be reached keeps what it has and nothing else", async () => {
    const hal = await makeVictim("hal");
    const isElsewhere = (file) => !file.startsWith(away);
    const isSegment = (file) => file.endsWith(" rows");
    for (let i = 0; ; i++) { // a compaction may take a file away that was just listed
        const segments = (await findMarks(hal.marks)).filter(isSegment);
        if (segments.some(isElsewhere) && !segments.every(isElsewhere)) break;
        assert.ok(i < 20, segments.join("\n"));
    }
    assert.notDeepEqual(await findMarks([hal.mark.value]), []);
    renameSync(join(away, "objects"), join(away, "unplugged"));
    try {
        const refused = await root.error("DROP USER 'hal' ERASE");
        assert.match(refused.message, /storage 'away'/);
        // Other segments, hot rows and the change log are gone by then. Of the segment that stays, the index has the
        // keys, and the manifest the bounds; this value is in none of them.
        assert.deepEqual(await findMarks([hal.mark.value]), []);
        assert.deepEqual((await findMarks(hal.marks)).filter((file) => isElsewhere(file) && !file.includes("/rocksdb/")), []);
        assert.ok((await findMarks(hal.marks)).some(isSegment));
    } finally {
        renameSync(join(away, "unplugged"), join(away, "objects"));
    }
    await root.sql("DROP USER 'hal' ERASE");
    assert.deepEqual(await findMarks(hal.marks), []);
});

for (const wait of [0, 40, 150]) {
    test(`a restoration that began ${wait} ms before brings nothing back`, async () => {
        const name = `fay${wait}`;
        const fay = await makeVictim(name);
        const backup = join(copies, name);
        await root.sql(`BACKUP DATABASE app TO '${backup}'`);
        const restored = root.sql(`RESTORE DATABASE again FROM '${backup}' SKIP MISSING USERS`).then(() => true, (error) => error);
        await sleep(wait);
        await root.sql(`DROP USER '${name}' ERASE`);
        const outcome = await restored;
        if (outcome === true) await root.sql("DROP NAMESPACE again CASCADE"); // before the user was locked out, or after
        else assert.match(outcome.message, /dropped/);
        assert.deepEqual(await findMarks(fay.marks), []);
        rmSync(backup, { recursive: true });
    });
}

test("who may erase whom", async () => {
    const dan = await root.addUser("dan", "dba");
    const eve = await root.addUser("eve");
    assert.equal((await eve.error("DROP USER 'dan' ERASE")).status, 403);
    assert.match((await dan.error("DROP USER 'dan' ERASE")).message, /nobody erases the own user/);
    assert.equal((await dan.error("DROP USER 'root' ERASE")).status, 403);
    await dan.sql("DROP USER 'eve' ERASE");
    await root.sql("DROP USER 'dan' ERASE");
});

async function unfinished() {
    return root.rows("SELECT job_id, status FROM system.jobs WHERE job_type = 'user_cleanup' AND status IN ('queued', 'running', 'retrying')");
}

for (let round = 1; round <= KILLS; round++) {
    test(`kill ${round} of ${KILLS}: the erasing goes on`, async () => {
        const name = `victim${round}`;
        const neighbour = makeNeighbour(await root.addUser(`neighbour${round}`), `neighbour${round}`);
        const victim = await makeVictim(name);
        const pool = await shared();
        const work = neighbour.work();
        const erase = root.sql(`DROP USER '${name}' ERASE`).then(() => "done", (error) => error);
        await sleep(Math.floor(random() * 900));
        neighbour.over = true;
        await server.stop("SIGKILL");
        const outcome = await erase;
        await work;
        if (outcome !== "done" && outcome.code !== undefined) throw outcome;
        await server.start();
        root = await server.client();
        neighbour.client = await server.client(neighbour.name, `password of ${neighbour.name}`);
        // Either the statement had not begun, or it comes to its end by itself.
        const state = await root.rows(`SELECT auth_type FROM system.users WHERE user_id = '${name}'`);
        if (state.length > 0 && state[0][0] === "password") {
            assert.notEqual(outcome, "done");
            await root.sql(`DROP USER '${name}' ERASE`);
        } else {
            await assert.rejects(server.client(name, `password of ${name}`));
        }
        for (let i = 0; (await unfinished()).length > 0; i++) {
            assert.ok(i < 600, JSON.stringify(await unfinished()));
            await sleep(50);
        }
        assert.deepEqual(await findMarks(victim.marks), []);
        assert.equal((await root.rows(`SELECT user_id FROM system.users WHERE user_id = '${name}'`)).length, 0);
        await neighbour.check();
        assert.equal(await shared(), pool);
        await root.sql(`DROP USER '${neighbour.name}' ERASE`);
    });
}
