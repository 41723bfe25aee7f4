// Jobs through the real server: they are seen, cancelled, go on without their client, and are resumed
// after kill -9 and SIGTERM.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Server } from "./server.mjs";

const server = new Server({ args: ["--eviction-interval-ms", "100", "--flush-interval-ms", "100"] });
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE SHARED TABLE app.big (id BIGINT PRIMARY KEY, text TEXT)");
    for (let id = 0; id < 60; id++)
        await root.sql("INSERT INTO app.big VALUES ($1, $2)", [id, randomBytes(240000).toString("hex")]);
});
after(() => server.close());

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const path = (name) => join(server.dir, name);
const jobs = (where) => root.rows(`SELECT job_id, status, start_count, progress, error_message FROM system.jobs WHERE ${where} ORDER BY job_id`);

// Waits for what must come; the test's own time-out ends it when it does not.
async function until(condition) {
    for (;;) {
        const found = await condition();
        if (found) return found;
        await sleep(2);
    }
}

async function restart(signal) {
    await server.restart(signal);
    root = await server.client();
}

// A stream with more rows to remove than a pass takes; the id of the job that removes them.
let streams = 0;
async function overfullStream() {
    const table = `s${++streams}`;
    await root.sql(`CREATE STREAM TABLE app.${table} (n BIGINT) WITH (TTL_SECONDS = 3600, EVICTION_STRATEGY = 'size_based', MAX_STREAM_SIZE_BYTES = 100000000)`);
    for (let from = 0; from < 40000; from += 5000)
        await root.sql(`INSERT INTO app.${table} VALUES ${Array.from({ length: 5000 }, (_, i) => `(${from + i})`).join(",")}`);
    await root.sql(`ALTER TABLE app.${table} SET TBLPROPERTIES (max_stream_size_bytes = 1000)`);
    const [id] = await until(async () => (await jobs(`table_name = '${table}'`))[0]);
    return { table, id };
}

async function rowsLeft(table) {
    const rows = await root.rows(`SHOW STATS FOR TABLE app.${table}`);
    return Number(rows.find(([statistic]) => statistic === "buffered_rows")[1]);
}

// It is over, and did what was to be done.
async function completed(table, id) {
    const [[, status, starts, progress, error]] = await until(async () => {
        const found = await jobs(`job_id = '${id}'`);
        return ["completed", "failed", "cancelled"].includes(found[0][1]) && found;
    });
    assert.equal(status, "completed", error ?? "");
    assert.match(progress, /^\d+ rows removed$/);
    await until(async () => (await rowsLeft(table)) < 100);
    return starts;
}

for (const signal of ["SIGKILL", "SIGTERM"]) {
    test(`${signal} while a job runs: it goes on after the restart`, async () => {
        for (let resumed = false; !resumed; ) { // again should the job have been faster
            const { table, id } = await overfullStream();
            await restart(signal);
            const [found] = await jobs(`job_id = '${id}'`);
            assert.ok(found, `${id} is lost`);
            resumed = (await completed(table, id)) === 2;
            assert.deepEqual(await jobs("status IN ('queued', 'running', 'retrying')"), []);
        }
    });
}

test("what is completed does not run again", async () => {
    const before = await root.rows("SELECT job_id, start_count, completed_at FROM system.jobs WHERE status = 'completed' ORDER BY job_id");
    assert.ok(before.length > 0);
    await restart("SIGKILL");
    await sleep(300);
    assert.deepEqual(await root.rows("SELECT job_id, start_count, completed_at FROM system.jobs WHERE status = 'completed' ORDER BY job_id"), before);
});

test("KILL JOB ends an eviction; the next pass sees to the rest", async () => {
    for (let killed = false; !killed; ) {
        const { table, id } = await overfullStream();
        try {
            const reply = await root.sql(`KILL JOB '${id}'`);
            assert.equal(reply.message, `Job '${id}' cancelled successfully`);
            killed = true;
        } catch (error) {
            assert.equal(error.code, "JOB_FINISHED", error.message);
        }
        if (killed) assert.equal((await jobs(`job_id = '${id}'`))[0][1], "cancelled");
        await until(async () => (await rowsLeft(table)) < 100);
    }
});

test("KILL JOB ends a backup, which leaves nothing behind; its statement says so", async () => {
    for (let killed = false; !killed; ) {
        const running = root.sql(`BACKUP DATABASE ALL TO '${path("killed")}'`).then(() => null, (error) => error);
        const [id] = await until(async () => (await jobs("job_type = 'backup' AND status = 'running'"))[0]
            ?? (existsSync(path("killed")) ? [null] : null));
        if (id !== null) {
            try {
                await root.sql(`KILL JOB ${id}`);
                killed = true;
            } catch (error) {
                assert.equal(error.code, "JOB_FINISHED", error.message);
            }
        }
        const error = await running;
        if (killed) {
            assert.equal(error?.code, "CANCELLED", error?.message);
            assert.match(error.message, /the job was cancelled/);
            assert.deepEqual(readdirSync(server.dir).filter((name) => name.includes("killed")), []);
            assert.deepEqual((await jobs(`job_id = '${id}'`))[0].slice(1, 3), ["cancelled", 1]);
        } else {
            assert.equal(error, null);
            rmSync(path("killed"), { recursive: true });
        }
    }
});

test("a backup goes on when its client leaves", async () => {
    const controller = new AbortController();
    const left = fetch(`${server.url}/v1/api/sql`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${root.token}` },
        body: JSON.stringify({ sql: `BACKUP DATABASE ALL TO '${path("left")}'` }),
        signal: controller.signal,
    }).catch(() => null);
    const where = `parameters = '{"path":"${path("left")}"}'`;
    await until(async () => (await jobs(where))[0]);
    controller.abort();
    await left;
    const [, status, , , error] = await until(async () => {
        const [job] = await jobs(where);
        return !["queued", "running"].includes(job[1]) && job;
    });
    assert.equal(status, "completed", error ?? "");
    assert.ok((await root.rows(`SHOW BACKUP '${path("left")}'`)).every((row) => row[3] === "good"));
});

test("kill -9 during a backup: it has failed, and another one can be made", async () => {
    for (let died = false; !died; ) {
        const running = root.sql(`BACKUP DATABASE ALL TO '${path("died")}'`).then(() => true, () => false);
        const [id] = await until(async () => (await jobs("job_type = 'backup' AND status = 'running'"))[0]
            ?? (existsSync(path("died")) ? [null] : null));
        await restart("SIGKILL");
        await running;
        if (id !== null) {
            const [[, status, starts, , error]] = await jobs(`job_id = '${id}'`);
            died = status === "failed";
            assert.equal(starts, 1);
            if (died) assert.equal(error, "the server ended while the job was running");
        }
        rmSync(path("died"), { recursive: true, force: true });
    }
    await root.sql(`BACKUP DATABASE ALL TO '${path("again")}'`);
});

test("one backup at a time: the second is told which one runs", async () => {
    const replies = await Promise.all([1, 2, 3].map((n) =>
        root.sql(`BACKUP DATABASE ALL TO '${path(`many-${n}`)}'`).then(() => null, (error) => error)));
    assert.ok(replies.some((error) => error === null));
    for (const error of replies.filter((reply) => reply !== null)) {
        assert.equal(error.code, "JOB_EXISTS", error.message);
        assert.match(error.message, /^a backup job is (queued|running) already: 'BK-[0-9a-f]{13}'$/);
    }
});

// More rows than the default flush policy leaves hot, in one statement after another.
const ROWS_HOT = 10000;
async function insertMany(table, from, count) {
    for (let first = from; first < from + count; first += 5000) {
        const ids = Array.from({ length: Math.min(5000, from + count - first) }, (_, i) => first + i);
        await root.sql(`INSERT INTO ${table} VALUES ${ids.map((id) => `(${id})`).join(",")}`);
    }
    return from + count;
}

test("a table that is due is flushed by a job of the server's", async () => {
    await root.sql("CREATE SHARED TABLE app.due (id BIGINT PRIMARY KEY)");
    await insertMany("app.due", 0, ROWS_HOT);
    const [, status, starts] = await until(async () => {
        const [job] = await jobs("job_type = 'flush' AND table_name = 'due' AND actor IS NULL");
        return job?.[1] === "completed" && job;
    });
    assert.deepEqual([status, starts], ["completed", 1]);
    assert.deepEqual(await root.rows("SELECT count(*), sum(id) FROM app.due"), [["10000", "49995000"]]);
});

test("a storage that is away: one job that keeps trying, and ends when the storage is back", async () => {
    mkdirSync(path("disk"));
    await root.sql(`CREATE STORAGE disk TYPE filesystem NAME 'disk' PATH '${path("disk")}'`);
    await root.sql("CREATE SHARED TABLE app.away (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = 'disk')");
    renameSync(path("disk"), path("unplugged"));
    await insertMany("app.away", 0, ROWS_HOT);
    const where = "job_type = 'flush' AND table_name = 'away'";
    const [id, , , , message] = await until(async () => {
        const [job] = await jobs(where);
        return job?.[1] === "retrying" && job;
    });
    assert.ok(message.includes(path("disk")), message);
    await sleep(500);
    assert.equal((await jobs(where)).length, 1);
    const error = await root.error("FLUSH TABLE app.away");
    assert.ok(["JOB_EXISTS", "IO_ERROR"].includes(error.code), error.message);
    assert.deepEqual(await root.rows("SELECT count(*) FROM app.away"), [["10000"]]);
    renameSync(path("unplugged"), path("disk"));
    await until(async () => (await jobs(`job_id = '${id}'`))[0][1] === "completed");
    assert.deepEqual(await root.rows("SELECT count(*) FROM app.away"), [["10000"]]);
});

test("kill -9 while a table is flushed: every row is there once, every job ends", async () => {
    await root.sql("CREATE SHARED TABLE app.busy (id BIGINT PRIMARY KEY)");
    let next = 0;
    const unfinished = "table_name = 'busy' AND status NOT IN ('completed', 'failed', 'cancelled')";
    for (let round = 0; round < 4; round++) {
        // One that goes on would move the new rows, too, and there would not be another.
        await until(async () => (await jobs(`job_type = 'flush' AND ${unfinished}`)).length === 0);
        const before = (await jobs("job_type = 'flush' AND table_name = 'busy'")).length;
        next = await insertMany("app.busy", next, ROWS_HOT);
        await until(async () => (await jobs("job_type = 'flush' AND table_name = 'busy'")).length > before);
        await sleep(round * 7);
        await restart("SIGKILL");
        assert.deepEqual(await root.rows("SELECT count(*), count(DISTINCT id), max(id) FROM app.busy"), [[String(next), String(next), String(next - 1)]]);
    }
    // The server may begin a compaction of its own any moment: what matters is that nothing fails or stays.
    await until(async () => (await jobs(unfinished)).length === 0);
    assert.deepEqual(await jobs("table_name = 'busy' AND status IN ('failed', 'cancelled')"), []);
    assert.deepEqual(await root.rows("SELECT count(*), count(DISTINCT id) FROM app.busy"), [[String(next), String(next)]]);
});

test("settings bound what is kept", async () => {
    const settings = Object.fromEntries(await root.rows("SELECT name, value FROM system.settings WHERE name LIKE 'jobs.%'"));
    assert.deepEqual(settings, { "jobs.threads": "2", "jobs.retries_max": "3", "jobs.retention_hours": "720", "jobs.records_max": "10000" });
});
