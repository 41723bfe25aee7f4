// EXPORT USER DATA: everything a user has and never a row of another; who may fetch it; how it goes;
// what is left when it is killed or the disk is full.
// KAL_TEST_SEED, KAL_TEST_COUNT: of the random worlds and of the kills.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { seeded } from "./random.mjs";
import { Server, object } from "./server.mjs";

const COUNT = Number(process.env.KAL_TEST_COUNT ?? 6);
const seed = Number(process.env.KAL_TEST_SEED ?? 20261128);
console.log(`KAL_TEST_SEED=${seed}`);

const random = seeded(seed);
const below = (n) => Math.floor(random() * n);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Names that look like paths, patterns, other names and numbers.
const NAMES = ["ann", "an", "annn", "../ann", "%", "*", "2", "ü", "a/../b", "ann;"];
const server = new Server({ args: ["--export-max-per-user", "100", "--flush-interval-ms", "200"] });
const clients = {};
let root;
async function login() {
    root = await server.client();
    for (const name of NAMES) clients[name] = await server.client(name, `password of ${name}`);
}
before(async () => {
    await server.start();
    root = await server.client();
    for (const name of NAMES) await root.addUser(name);
    await login();
});
after(() => server.close());
const exportsDir = () => join(server.dir, "data", "exports");

// The entries of a ZIP archive by its central directory: name -> text.
function unzip(bytes) {
    const entries = {};
    let end = bytes.length - 22;
    while (end >= 0 && bytes.readUInt32LE(end) !== 0x06054b50) end--;
    assert.ok(end >= 0, "no ZIP archive");
    let at = bytes.readUInt32LE(end + 16);
    for (let i = bytes.readUInt16LE(end + 10); i > 0; i--) {
        assert.equal(bytes.readUInt32LE(at), 0x02014b50);
        const method = bytes.readUInt16LE(at + 10);
        const size = bytes.readUInt32LE(at + 20);
        const [name, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset));
        const local = bytes.readUInt32LE(at + 42);
        const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
        const data = bytes.subarray(start, start + size);
        entries[bytes.subarray(at + 46, at + 46 + name).toString()] = (method === 0 ? data : inflateRawSync(data)).toString();
        at += 46 + name + extra + comment;
    }
    return entries;
}

const download = (url, client) => fetch(server.url + url, { headers: client ? { authorization: `Bearer ${client.token}` } : {} });
const id = (reply) => /^User data export started\. Job ID: (UX-[0-9a-f]{13})$/.exec(reply.message)[1];
const shown = async (client, job) => object(await client.sql("SHOW EXPORT")).find((row) => row.job_id === job);
async function finished(client, job) {
    for (let i = 0; i < 3000; i++) {
        const row = await shown(client, job);
        if (row && !["queued", "running", "retrying"].includes(row.status)) return row;
        await sleep(5);
    }
    throw new Error(`${job} does not end`);
}
async function exported(client, statement = "EXPORT USER DATA") {
    const job = id(await client.sql(statement));
    const row = await finished(client, job);
    assert.equal(row.status, "completed", row.message);
    assert.equal(row.download_url, `/v1/exports/${job}`);
    const reply = await download(row.download_url, client);
    assert.equal(reply.status, 200);
    const bytes = Buffer.from(await reply.arrayBuffer());
    assert.equal(bytes.length, Number(reply.headers.get("content-length")));
    return { job, row, entries: unzip(bytes) };
}
const lines = (text) => text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));

test("random worlds: each gets exactly his own rows", async () => {
    for (let round = 0; round < COUNT; round++) {
        console.log(`round ${round}, seed ${random.seed()}`);
        const model = Object.fromEntries(NAMES.map((name) => [name, {}]));
        const spaces = [`e${round}a`, `e${round}b`];
        for (const ns of spaces) {
            await root.sql(`CREATE NAMESPACE ${ns}`);
            await root.sql(`CREATE SHARED TABLE ${ns}.pool (id INT PRIMARY KEY, t TEXT) WITH (ACCESS_LEVEL = 'public')`);
            await root.sql(`INSERT INTO ${ns}.pool VALUES (1, 'everybody''s')`);
            for (let t = 0; t < 1 + below(3); t++) {
                const stream = below(3) === 0;
                await root.sql(`CREATE ${stream ? "STREAM" : "USER"} TABLE ${ns}.t${t} (id INT PRIMARY KEY, who TEXT, n DOUBLE)${stream ? " WITH (TTL_SECONDS = 3600)" : ""}`);
                for (const name of NAMES) {
                    const rows = Array.from({ length: below(40) }, (_, i) => [i, `of ${name}`, i / 7]);
                    if (rows.length === 0) continue;
                    await clients[name].sql(`INSERT INTO ${ns}.t${t} VALUES ($1, $2, $3)`, rows);
                    model[name][`${ns}/t${t}`] = rows;
                }
                if (!stream && below(2) === 0) await root.sql(`FLUSH TABLE ${ns}.t${t}`);
                if (!stream) for (const name of NAMES.slice(0, 3)) {
                    await clients[name].sql(`DELETE FROM ${ns}.t${t} WHERE id % 5 = 2`);
                    const rows = (model[name][`${ns}/t${t}`] ?? []).filter(([i]) => i % 5 !== 2);
                    if (rows.length > 0) model[name][`${ns}/t${t}`] = rows;
                    else delete model[name][`${ns}/t${t}`];
                }
            }
        }
        for (const name of NAMES) {
            const { entries, row } = await exported(clients[name]);
            const about = JSON.parse(entries["export.json"]);
            assert.equal(about.user, name);
            const tables = Object.keys(model[name]).sort();
            assert.deepEqual(about.tables.map((t) => `${t.namespace}/${t.table}`).sort(), tables);
            assert.deepEqual(Object.keys(entries).sort(), ["export.json", ...tables.flatMap((t) => [`${t}.jsonl`, `${t}.schema.json`])].sort());
            let count = 0;
            for (const table of tables) {
                const rows = lines(entries[`${table}.jsonl`]).sort((a, b) => a.id - b.id);
                assert.deepEqual(rows.map((r) => [r.id, r.who, r.n]), model[name][table]);
                assert.equal(about.tables.find((t) => `${t.namespace}/${t.table}` === table).rows, rows.length);
                assert.deepEqual(JSON.parse(entries[`${table}.schema.json`]).columns.map((c) => [c.name, c.type]), [["id", "Int"], ["who", "Text"], ["n", "Double"]]);
                count += rows.length;
            }
            assert.match(row.message, new RegExp(`^${count} rows of ${tables.length} tables, \\d+ bytes$`));
        }
        for (const ns of spaces) await root.sql(`DROP NAMESPACE ${ns} CASCADE`);
    }
});

test("of one moment: two tables that change together", async () => {
    await root.sql("CREATE NAMESPACE pair");
    for (const name of ["a", "b"]) await root.sql(`CREATE USER TABLE pair.${name} (id INT PRIMARY KEY, n INT)`);
    await clients.ann.request("INSERT INTO pair.a VALUES (1, 0); INSERT INTO pair.b VALUES (1, 0)");
    let stop = false;
    const writer = (async () => {
        for (let n = 1; !stop; n++)
            await clients.ann.request(`BEGIN; UPDATE pair.a SET n = ${n} WHERE id = 1; UPDATE pair.b SET n = ${n} WHERE id = 1; INSERT INTO pair.a VALUES (${n + 1}, 0); INSERT INTO pair.b VALUES (${n + 1}, 0); COMMIT`);
    })();
    for (let round = 0; round < 5; round++) {
        await sleep(below(100));
        const { entries } = await exported(clients.ann);
        const [a, b] = ["a", "b"].map((name) => lines(entries[`pair/${name}.jsonl`]).sort((x, y) => x.id - y.id));
        assert.deepEqual(a, b);
        assert.equal(a.length, a[0].n + 1);
    }
    stop = true;
    await writer;
    await root.sql("DROP NAMESPACE pair CASCADE");
});

test("somebody else's export is not there: by id, by path, with and without a token", async () => {
    await root.sql("CREATE NAMESPACE own");
    await root.sql("CREATE USER TABLE own.t (id INT PRIMARY KEY, secret TEXT)");
    await clients.ann.sql("INSERT INTO own.t VALUES (1, 'of ann')");
    const { job, row } = await exported(clients.ann);
    const [kind, digits] = job.split("-");
    const absent = await (await download(`/v1/exports/${kind}-${"a".repeat(13)}`, clients.an)).text();
    for (const name of NAMES.filter((n) => n !== "ann")) {
        const reply = await download(row.download_url, clients[name]);
        assert.equal(reply.status, 404);
        assert.equal(await reply.text(), absent, "the same as of one that never was");
        assert.deepEqual((await clients[name].rows("SHOW EXPORT")).filter(([j]) => j === job), []);
    }
    const service = await root.addUser("exports-service", "service");
    assert.equal((await download(row.download_url, service)).status, 404);
    assert.equal((await download(row.download_url)).status, 401);
    assert.equal((await download(row.download_url, { token: "x.y.z" })).status, 401);
    const dba = await root.addUser("exports-dba", "dba");
    for (const client of [root, dba]) assert.equal((await download(row.download_url, client)).status, 200);
    // Jobs of other kinds, and what is no id.
    await root.sql("FLUSH TABLE own.t");
    const jobs = (await root.rows("SELECT job_id FROM system.jobs WHERE job_type <> 'user_export'")).map(([j]) => j);
    const hostile = [...jobs, `FL-${digits}`, `BK-${digits}`, `${job}.zip`, `${job}/`, `${job}/..x`, "..%2f..%2ftoken-secret", "%2e%2e/token-secret",
        `${job}%00`, "", "x".repeat(3000), "UX-", "UX-zzzzzzzzzzzzz", `UX-${digits.slice(1)}`, `UX-0${digits}`];
    for (const name of hostile) {
        for (const client of [clients.an, root]) {
            const reply = await download(`/v1/exports/${name}`, client);
            assert.equal(reply.status, 404, name);
            await reply.text();
        }
    }
    // Raw, so that nobody normalises the path on the way.
    const rawStatus = (target) => new Promise((resolve, reject) => {
        const socket = connect(server.port, "127.0.0.1", () => socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${root.token}\r\nConnection: close\r\n\r\n`));
        let text = "";
        socket.on("data", (data) => (text += data));
        socket.on("error", reject);
        socket.on("close", () => resolve(Number(text.split(" ")[1])));
    });
    for (const target of ["/v1/exports/../../token-secret", `/v1/exports/../exports/${job}`, "/v1/exports/..", `/v1/exports/${job}/../${job}`, "/v1/exports//etc/passwd"])
        assert.equal(await rawStatus(target), 404, target);
    assert.equal((await fetch(server.url + row.download_url, { method: "POST", headers: { authorization: `Bearer ${clients.ann.token}` } })).status, 405);
    const head = await fetch(server.url + row.download_url, { method: "HEAD", headers: { authorization: `Bearer ${clients.ann.token}` } });
    assert.equal(head.status, 200);
    assert.equal(Number(head.headers.get("content-length")), statSync(join(exportsDir(), `${job}.zip`)).size);
    assert.equal(statSync(join(exportsDir(), `${job}.zip`)).mode & 0o777, 0o600);
});

test("FOR another user: dba and system, noted in the log", async () => {
    for (const client of [clients.an, await root.addUser("exports-service-2", "service")]) {
        for (const name of ["ann", "nobody-at-all"]) {
            const error = await client.error(`EXPORT USER DATA FOR '${name}'`);
            assert.equal(error.code, "PERMISSION_DENIED");
            assert.doesNotMatch(error.message, /exist/);
        }
    }
    assert.equal((await root.error("EXPORT USER DATA FOR 'nobody-at-all'")).code, "USER_NOT_FOUND");
    assert.equal((await root.error("EXPORT USER DATA FOR")).code, "INVALID_SQL");
    assert.equal((await root.error("EXPORT USER")).code, "INVALID_SQL");
    assert.equal((await root.error("BEGIN; EXPORT USER DATA; COMMIT")).code, "UNSUPPORTED");
    const { entries, job } = await exported(root, "EXPORT USER DATA FOR 'ann'");
    assert.equal(JSON.parse(entries["export.json"]).user, "ann");
    assert.deepEqual(lines(entries["own/t.jsonl"]), [{ id: 1, secret: "of ann" }]);
    assert.match(server.log, new RegExp(`'root' exports the data of user 'ann' as ${job}`));
    assert.equal(await shown(clients.ann, job), undefined, "it is root's");
    assert.equal((await download(`/v1/exports/${job}`, clients.ann)).status, 404);
    const self = await exported(clients.ann, "EXPORT USER DATA FOR 'ann'");
    assert.equal((await download(self.row.download_url, clients.ann)).status, 200);
});

test("large: streamed to slow readers while others are answered; whoever leaves costs nothing", async () => {
    await root.sql("CREATE USER TABLE own.large (id INT PRIMARY KEY, text TEXT)");
    for (let i = 0; i < 5; i++)
        await clients.ann.sql(`INSERT INTO own.large SELECT i, gen_random_uuid()::TEXT || gen_random_uuid()::TEXT || gen_random_uuid()::TEXT || gen_random_uuid()::TEXT FROM range(${i * 20000}, ${(i + 1) * 20000}) t(i)`);
    const { entries, row, job } = await exported(clients.ann);
    assert.equal(lines(entries["own/large.jsonl"]).length, 100000);
    const size = statSync(join(exportsDir(), `${job}.zip`)).size;
    assert.ok(size > 4 * 1024 * 1024, `${size}`);
    const begin = () => new Promise((resolve, reject) => {
        const socket = connect(server.port, "127.0.0.1", () => socket.write(`GET ${row.download_url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${clients.ann.token}\r\n\r\n`));
        socket.once("data", () => {
            socket.pause();
            resolve(socket);
        });
        socket.on("error", reject);
    });
    const slow = await Promise.all(Array.from({ length: 20 }, begin));
    for (let i = 0; i < 20; i++) assert.deepEqual(await clients.an.rows("SELECT count(*) FROM own.large"), [["0"]]);
    for (const socket of slow.slice(0, 15)) socket.destroy();
    await Promise.all(slow.slice(15).map((socket) => new Promise((resolve) => {
        let read = 0;
        socket.on("data", (data) => {
            read += data.length;
            if (read >= size - 65536 * 4) resolve();
        });
        socket.resume();
    })));
    // Two on one connection, one behind the other.
    const [first, second] = await Promise.all([download(row.download_url, clients.ann), download(row.download_url, clients.ann)]);
    assert.deepEqual(Buffer.from(await first.arrayBuffer()), Buffer.from(await second.arrayBuffer()));
    // A file that became shorter: the client sees that something is missing.
    writeFileSync(join(exportsDir(), `${job}.zip`), readFileSync(join(exportsDir(), `${job}.zip`)).subarray(0, 1000));
    assert.equal((await download(row.download_url, clients.ann)).status, 200);
    await server.restart();
    await login();
});

test("kill -9 while exports are made: each is whole or made again, and nothing is left half", async () => {
    for (let round = 0; round < COUNT; round++) {
        const job = id(await clients.ann.sql("EXPORT USER DATA"));
        await sleep(below(1200));
        await server.restart("SIGKILL");
        await login();
        const row = await finished(clients.ann, job);
        assert.equal(row.status, "completed", row.message);
        const entries = unzip(Buffer.from(await (await download(row.download_url, clients.ann)).arrayBuffer()));
        assert.equal(lines(entries["own/large.jsonl"]).length, 100000);
    }
    for (let i = 0; readdirSync(exportsDir()).some((name) => name.endsWith(".partial")); i++) {
        assert.ok(i < 1000);
        await sleep(50);
    }
});

test("KILL JOB ends an export; who is dropped has none", async () => {
    for (let killed = false; !killed; ) {
        const job = id(await clients.ann.sql("EXPORT USER DATA"));
        killed = await root.sql(`KILL JOB '${job}'`).then(() => true, () => false);
        const row = await finished(clients.ann, job);
        if (!killed) continue;
        assert.equal(row.status, "cancelled");
        assert.equal(row.download_url, null);
        assert.equal((await download(`/v1/exports/${job}`, clients.ann)).status, 404);
        assert.ok(!readdirSync(exportsDir()).some((name) => name.startsWith(job)));
    }
    const gone = await root.addUser("gone");
    await gone.sql("INSERT INTO own.t VALUES (1, 'x')");
    const his = await exported(gone);
    const ofHim = await exported(root, "EXPORT USER DATA FOR 'gone'");
    await root.sql("DROP USER 'gone'");
    for (const { row } of [his, ofHim]) assert.equal((await download(row.download_url, root)).status, 404);
});

test("bounded: how many, how large, how long; a full disk is said", async (t) => {
    const small = new Server({ args: ["--export-retention-seconds", "3", "--export-max-per-user", "2", "--export-size-limit-mb", "1"] });
    const mounted = process.getuid() === 0;
    try {
        await small.start();
        const there = await small.client();
        await there.sql("CREATE NAMESPACE app");
        await there.sql("CREATE USER TABLE app.t (id INT PRIMARY KEY, text TEXT)");
        const ann = await there.addUser("ann");
        await ann.sql("INSERT INTO app.t VALUES (1, 'x')");
        const get = (url) => fetch(small.url + url, { headers: { authorization: `Bearer ${ann.token}` } });
        const first = await finished(ann, id(await ann.sql("EXPORT USER DATA")));
        assert.equal((await get(first.download_url)).status, 200);
        await finished(ann, id(await ann.sql("EXPORT USER DATA")));
        const error = await ann.error("EXPORT USER DATA");
        assert.equal(error.code, "LIMIT_EXCEEDED");
        assert.match(error.message, /2 exports, the limit is 2/);
        assert.match((await there.sql("EXPORT USER DATA")).message, /started/); // others have their own
        await sleep(3100);
        assert.equal((await get(first.download_url)).status, 404);
        assert.deepEqual(await shown(ann, first.job_id).then((row) => [row.message, row.download_url]), ["expired", null]);
        for (let i = 0; readdirSync(join(small.dir, "data", "exports")).length > 0; i++) {
            assert.ok(i < 200, "they are removed");
            await sleep(50);
        }
        await ann.sql("INSERT INTO app.t SELECT i, gen_random_uuid()::TEXT || gen_random_uuid()::TEXT FROM range(2, 40002) t(i)");
        const large = await finished(ann, id(await ann.sql("EXPORT USER DATA")));
        assert.equal(large.status, "failed");
        assert.match(large.message, /exceeds 1048576 bytes/);
        assert.deepEqual(readdirSync(join(small.dir, "data", "exports")), []);
        if (!mounted) return t.skip("needs to mount a small file system");
        const directory = join(small.dir, "data", "exports");
        if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory]).status !== 0) return t.skip("no mounting here");
        try {
            const full = await finished(ann, id(await ann.sql("EXPORT USER DATA")));
            assert.equal(full.status, "failed");
            assert.match(full.message, /No space left/);
            assert.deepEqual(readdirSync(directory), []);
        } finally {
            assert.equal(spawnSync("umount", [directory]).status, 0);
        }
    } finally {
        await small.close();
    }
});

test("two EXPORTs at once: the second is told which one runs", async () => {
    const replies = await Promise.all([1, 2, 3].map(() => clients.ann.sql("EXPORT USER DATA").then((reply) => ({ reply }), (error) => ({ error }))));
    const started = replies.filter((r) => r.reply);
    assert.ok(started.length >= 1);
    for (const { error } of replies.filter((r) => r.error)) {
        assert.equal(error.code, "RATE_LIMIT_EXCEEDED");
        assert.match(error.message, /UX-[0-9a-f]{13}/);
    }
    for (const { reply } of started) await finished(clients.ann, id(reply));
});
