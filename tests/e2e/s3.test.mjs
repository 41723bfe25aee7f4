// Tables whose cold rows lie in a bucket: made, read and changed by every statement, backed up, dropped;
// what happens when the bucket, the network or the secret is not as it should be; kill -9 on the way.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, object } from "./server.mjs";
import { S3Server } from "./s3_server.mjs";

const SECRET = "Sup3r/s3cret+key=0123456789";
const s3 = new S3Server({ secret: SECRET });
const server = new Server({ args: ["--flush-interval-ms", "200", "--s3-cache-mb", "64", "--log-level", "debug", "--timeout-ms", "10000"] });
const base = mkdtempSync(join(tmpdir(), "kalamdb-s3-"));
let root;
let replies = ""; // all that was answered: no secret may be in it

const credentials = (secret = SECRET, more = {}) => JSON.stringify({ access_key_id: s3.accessKey, secret_access_key: secret, ...more });
const createStorage = (id, place, more = "") =>
    `CREATE STORAGE ${id} TYPE s3 NAME 'Far' ${place} REGION 'us-east-1' ENDPOINT '${s3.endpoint}' ${more} CREDENTIALS '${credentials()}'`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, condition, ms = 60000) {
    const end = Date.now() + ms;
    while (!(await condition())) {
        assert.ok(Date.now() < end, `waited in vain for ${what}\n${server.log.slice(-3000)}`);
        await sleep(50);
    }
}

async function login() {
    root = await server.client();
    const request = root.request.bind(root);
    root.request = async (...args) => {
        try {
            const body = await request(...args);
            replies += JSON.stringify(body);
            return body;
        } catch (error) {
            replies += `${error.message} ${error.hint} ${error.details}`;
            throw error;
        }
    };
}

const stat = async (name) => Number((await root.rows(`SELECT metric_value FROM system.stats WHERE metric_name = '${name}'`))[0][0]);
const cacheFiles = () => readdirSync(join(server.dir, "data", "cache"));
// Nothing in the cache any more: the next read asks the bucket.
async function emptyCache(signal = "SIGTERM") {
    await server.restart(signal);
    await login();
    assert.deepEqual(cacheFiles(), []);
}

before(async () => {
    await s3.start();
    await server.start();
    await login();
    await root.sql("CREATE NAMESPACE app");
});
after(async () => {
    await server.close();
    await s3.stop();
    rmSync(base, { recursive: true, force: true });
});

test("what CREATE STORAGE says no to", async () => {
    const place = "BUCKET 'bucket/no'";
    const make = (text) => `CREATE STORAGE s TYPE s3 NAME 'x' ${text}`;
    const good = `CREDENTIALS '${credentials()}'`;
    const endpoint = `ENDPOINT '${s3.endpoint}'`;
    for (const [text, message] of [
        [`${endpoint} ${good}`, /BUCKET is missing/],
        [`${place} PATH 's3://bucket/x' ${endpoint} ${good}`, /give one/],
        [`PATH '/a/directory' ${endpoint} ${good}`, /begins with s3:\/\//],
        [`BUCKET 'Not_A_Bucket' ${endpoint} ${good}`, /cannot be the name of a bucket/],
        [`${place} ${endpoint}`, /CREDENTIALS is missing/],
        [`${place} ${endpoint} CREDENTIALS '{"access_key_id":"${s3.accessKey}"}'`, /'secret_access_key' of CREDENTIALS is missing/],
        [`${place} ${endpoint} CREDENTIALS '${credentials(SECRET, { color: "red" })}'`, /unknown member/],
        [`${place} ENDPOINT 'ftp://127.0.0.1' ${good}`, /must begin with https:\/\/ or http:\/\//],
        [`${place} ${endpoint} CREDENTIALS '${credentials(SECRET, { endpoint: s3.endpoint })}'`, /ENDPOINT is given in CREDENTIALS, too/],
        [`${place} ${endpoint} REGION 'Here There' ${good}`, /REGION must be/],
        [`${place} ${endpoint} CREDENTIALS '${credentials("wrong")}'`, /bucket\/no|'bucket'.*SignatureDoesNotMatch/],
        [`${place} ${endpoint} CREDENTIALS '${credentials(SECRET, { session_token: "t" })}'`, /InvalidToken/],
        [`BUCKET 'another' ${endpoint} ${good}`, /'another'.*NoSuchBucket/],
        [`${place} ENDPOINT 'http://127.0.0.1:1' ${good}`, /http:\/\/127\.0\.0\.1:1/],
        [`${place} REGION 'eu-west-1' ${endpoint} ${good}`, /AuthorizationHeaderMalformed/],
    ]) {
        const error = await root.error(make(text));
        assert.match(error.message, message);
    }
    const half = make(`${place} ${endpoint} CREDENTIALS '{"access_key_id":"AK", oops'`);
    const error = await root.error(half);
    assert.match(error.message, /not valid JSON/);
    assert.ok(error.position === undefined || half.slice(error.position).startsWith("oops"), JSON.stringify(error));
    assert.match((await root.error(`CREATE STORAGE s TYPE filesystem NAME 'x' PATH '${base}/x' ${good}`)).message, /CREDENTIALS is of storages of type s3/);
    assert.equal((await root.rows("SHOW STORAGES")).length, 1);
    assert.deepEqual(s3.keys(), []);
});

test("create, show, check, alter", async () => {
    await root.sql(createStorage("far", "BUCKET 'bucket/some/prefix'", "DESCRIPTION 'd'"));
    const shown = (await root.rows("SHOW STORAGES"))[1];
    assert.deepEqual(shown, ["far", "Far", "s3", "s3://bucket/some/prefix", "***", "d"]);
    assert.deepEqual(await root.rows("SELECT storage_type, base_directory, credentials, region, endpoint FROM system.storages ORDER BY storage_id"),
        [["s3", "s3://bucket/some/prefix", "***", "us-east-1", s3.endpoint], ["filesystem", "", null, null, null]]);
    for (const sql of ["STORAGE CHECK far", "STORAGE CHECK far EXTENDED"]) {
        const row = object(await root.sql(sql))[0];
        assert.deepEqual([row.status, row.readable, row.writable, row.listable, row.deletable, row.total_bytes, row.used_bytes, row.error],
            ["healthy", true, true, true, true, null, null, null]);
    }
    assert.deepEqual(s3.keys(), []);
    for (const place of ["BUCKET 'bucket'", "BUCKET 'bucket/some'", "PATH 's3://bucket/some/prefix/in'", "BASE_DIRECTORY 's3://bucket/some/prefix'"])
        assert.match((await root.error(createStorage("other", place))).message, /overlaps 's3:\/\/bucket\/some\/prefix' of storage 'far'/);
    await root.sql(createStorage("other", "PATH 's3://bucket/some/prefix2'"));
    await root.sql("DROP STORAGE other");

    const ann = await root.addUser("ann");
    for (const sql of [createStorage("mine", "BUCKET 'bucket/mine'"), `ALTER STORAGE far SET CREDENTIALS '${credentials()}'`, "STORAGE CHECK far", "SELECT * FROM system.storages"])
        assert.equal((await ann.error(sql)).code, "PERMISSION_DENIED");
    assert.match((await root.error("ALTER STORAGE far SET CREDENTIALS '{\"access_key_id\":1}'")).message, /'access_key_id' of CREDENTIALS/);
    assert.match((await root.error(`ALTER STORAGE far SET CREDENTIALS '${credentials("wrong")}'`)).message, /SignatureDoesNotMatch/);
    assert.match((await root.error(`ALTER STORAGE far SET CREDENTIALS '${credentials(SECRET, { endpoint: "http://elsewhere" })}'`)).message, /endpoint of a storage cannot be changed/);
    assert.match((await root.error(`ALTER STORAGE local SET CREDENTIALS '${credentials()}'`)).message, /storage 'local' has no credentials/);
    s3.token = "temporary-session-token";
    await root.sql(`ALTER STORAGE far SET CREDENTIALS '${credentials(SECRET, { session_token: s3.token })}' SET NAME 'Farther'`);
    assert.equal(object(await root.sql("STORAGE CHECK far"))[0].status, "healthy");
    s3.token = null;
    await root.sql(`ALTER STORAGE far SET CREDENTIALS '${credentials()}'`);
    await server.restart("SIGKILL");
    await login();
    assert.equal(object(await root.sql("STORAGE CHECK far"))[0].status, "healthy");
});

const ROWS = 3000;
const insert = async (table, from, to, client = root) => {
    const values = [];
    for (let i = from; i < to; i++) values.push(`(${i}, 'name ${i % 7}', ${i * 2})`);
    await client.sql(`INSERT INTO ${table} (id, name, n) VALUES ${values.join(", ")}`);
};
const sum = (rows) => rows.reduce((a, b) => a + Number(b), 0);

for (const type of ["SHARED", "USER"])
    test(`every statement on a ${type} table`, async () => {
        const table = `app.${type.toLowerCase()}`;
        await root.sql(`CREATE ${type} TABLE ${table} (id INT PRIMARY KEY, name TEXT, n BIGINT) STORAGE far`);
        await insert(table, 0, ROWS);
        await root.sql(`FLUSH TABLE ${table}`);
        await insert(table, ROWS, 2 * ROWS);
        await root.sql(`FLUSH TABLE ${table}`);
        assert.equal(s3.keys().filter((key) => key.startsWith(`some/prefix/app/${type.toLowerCase()}/`)).length, 2);
        // What was written is here already; after a restart it is fetched, once.
        const misses = await stat("s3_cache_misses");
        const count = async () => Number((await root.rows(`SELECT count(n) FROM ${table} WHERE name LIKE 'name%'`))[0][0]);
        assert.equal(await count(), 2 * ROWS);
        assert.equal(await stat("s3_cache_misses"), misses);
        await emptyCache();
        s3.gets.clear();
        const answers = await Promise.all(Array.from({ length: 8 }, count));
        assert.deepEqual(answers, Array(8).fill(2 * ROWS));
        assert.deepEqual([...s3.gets.values()], [1, 1]);
        assert.equal(await count(), 2 * ROWS);
        assert.deepEqual([...s3.gets.values()], [1, 1]);
        assert.ok(await stat("s3_cache_hits") >= 2);
        assert.ok(await stat("s3_cache_bytes") > 0);

        assert.deepEqual(await root.rows(`SELECT n FROM ${table} WHERE id = 17`), [["34"]].map((r) => r));
        assert.match((await root.error(`INSERT INTO ${table} (id, name, n) VALUES (17, 'x', 1)`)).message, /17|exists|duplicate/i);
        await root.sql(`UPDATE ${table} SET n = n + 1 WHERE id < 100`);
        await root.sql(`DELETE FROM ${table} WHERE id >= ${2 * ROWS - 100}`);
        await root.sql(`INSERT INTO ${table} (id, name, n) VALUES (500, 'new', 7) ON CONFLICT (id) DO UPDATE SET n = 7, name = 'name new'`);
        await root.sql(`ALTER TABLE ${table} ADD COLUMN more TEXT DEFAULT 'm'`);
        const expected = sum(Array.from({ length: 2 * ROWS - 100 }, (_, i) => (i === 500 ? 7 : i * 2 + (i < 100 ? 1 : 0))));
        const total = async () => Number((await root.rows(`SELECT sum(n) FROM ${table} WHERE more = 'm'`))[0][0]);
        assert.equal(await total(), expected);
        await root.sql(`STORAGE COMPACT TABLE ${table}`);
        await root.sql(`FLUSH TABLE ${table}`);
        assert.equal(await total(), expected);
        await emptyCache("SIGKILL");
        assert.equal(await total(), expected);
        // The segments that were merged go.
        await until("the sweep", async () => {
            const [[known]] = await root.rows(`SELECT count(*) FROM system.segments WHERE table_name = '${type.toLowerCase()}'`);
            return s3.keys().filter((key) => key.startsWith(`some/prefix/app/${type.toLowerCase()}/`)).length === Number(known);
        });
    });

test("a user sees his own rows only", async () => {
    const bob = await root.addUser("bob");
    await insert("app.user", 10, 20, bob);
    await root.sql("FLUSH TABLE app.user");
    await emptyCache();
    const again = await server.client("bob", "password of bob");
    assert.equal(Number((await again.rows("SELECT count(n) FROM app.user WHERE n >= 0"))[0][0]), 10);
    assert.equal(Number((await root.rows("SELECT count(n) FROM app.user WHERE n >= 0"))[0][0]), 2 * ROWS - 100);
});

test("a backup holds the segments of the bucket", async () => {
    const path = join(base, "backup");
    await emptyCache();
    await root.sql(`BACKUP DATABASE ALL TO '${path}'`);
    const query = "SELECT count(n), sum(n) FROM app.shared WHERE n >= 0";
    const expected = await root.rows(query);
    const restored = new Server();
    execFileSync(process.env.KALAMDB_SERVER, ["--data", join(restored.dir, "data"), "--restore", path], { stdio: "pipe" });
    await restored.start();
    const requests = s3.requests.length;
    const other = await restored.client();
    assert.deepEqual(await other.rows(query), expected);
    assert.equal(s3.requests.slice(requests).filter((r) => r.startsWith("GET")).length, 0);
    await restored.close();
});

test("the bucket is not as it should be: an error that says so, others go on, nothing is deleted", async () => {
    const query = "SELECT count(n) FROM app.shared WHERE n >= 0";
    const count = async () => Number((await root.rows(query))[0][0]);
    const keys = s3.keys();
    const objects = s3.buckets.get("bucket");
    await root.sql("CREATE SHARED TABLE app.near (id INT PRIMARY KEY, name TEXT, n BIGINT)");
    await insert("app.near", 0, 100);
    await root.sql("FLUSH TABLE app.near");
    const near = async () => assert.equal(Number((await root.rows("SELECT count(n) FROM app.near WHERE n >= 0"))[0][0]), 100);
    const expected = await count();
    const contents = new Map([...objects].filter(([key]) => key.includes("app/shared/")));
    const change = (to) => () => contents.forEach((content, key) => objects.set(key, to(content)));
    const back = change((content) => content);
    for (const [spoil, repair, message] of [
        [() => contents.forEach((_, key) => objects.delete(key)), back, /is missing in storage 'far'/],
        [change((content) => content.subarray(0, 1000)), back, /has 1000 bytes instead of/],
        [change((content) => Buffer.concat([content, Buffer.from("x")])), back, /has at least \d+ bytes instead of/],
        [change((content) => Buffer.from(content).fill(content[900] ^ 1, 900, 901)), back, /in storage 'far' is damaged/],
        [() => (s3.secret = "rotated"), () => (s3.secret = SECRET), /'bucket'.*SignatureDoesNotMatch/],
        [() => s3.fault({ method: "GET", match: "app/shared", kind: "status", status: 503, code: "SlowDown", times: 1e6 }), () => (s3.faults = []), /'bucket'.*SlowDown/],
        [() => s3.fault({ method: "GET", match: "app/shared", kind: "truncate", times: 1e6 }), () => (s3.faults = []), /'bucket' at /],
        [() => s3.fault({ method: "GET", match: "app/shared", kind: "cut", times: 1e6 }), () => (s3.faults = []), /'bucket' at /],
    ]) {
        await emptyCache();
        spoil();
        for (const sql of [query, "SELECT n FROM app.shared WHERE id = 17", "UPDATE app.shared SET n = n WHERE id = 17"]) {
            const error = await root.error(sql);
            assert.ok([...contents.keys()].some((key) => error.message.includes(key.slice("some/prefix/".length))), error.message);
            assert.match(error.message, message);
        }
        await near();
        repair();
        assert.equal(await count(), expected);
        assert.deepEqual(s3.keys(), keys);
    }

    // Failures that pass are nobody's concern.
    await emptyCache();
    for (const fault of [{ kind: "status", status: 500, times: 2 }, { kind: "cut" }, { kind: "truncate" }])
        s3.fault({ method: "GET", match: "app/shared", ...fault });
    assert.equal(await count(), expected);
    assert.ok(await stat("s3_retries") >= 3);

    // An endpoint that nobody listens on: rows written stay hot and are not lost.
    await emptyCache();
    const port = s3.port;
    await s3.stop();
    assert.match((await root.error(query)).message, /'bucket' at http:\/\/127\.0\.0\.1/);
    const row = object(await root.sql("STORAGE CHECK far"))[0];
    assert.equal(row.status, "unreachable");
    assert.match(row.error, /'bucket' at http:\/\/127\.0\.0\.1/);
    await near();
    await insert("app.shared", 10000, 10010);
    await insert("app.near", 100, 110);
    await root.sql("FLUSH TABLE app.near");
    await root.sql("DELETE FROM app.near WHERE id >= 100");
    await s3.start(port);
    await root.sql("FLUSH TABLE app.shared");
    assert.equal(await count(), expected + 10);
});

test("a statement that waits for the bucket can be given up; the others go on", async () => {
    await root.addUser("dora", "dba");
    await emptyCache();
    const other = await server.client("dora", "password of dora");
    s3.fault({ method: "GET", match: "app/shared", kind: "hold", times: 2 });
    const slow = root.rows("SELECT count(n) FROM app.shared WHERE n >= 0");
    await until("the request", () => s3.held.length > 0);
    // Reads and writes by key of the same user, and statements in DuckDB of another one.
    await root.sql("INSERT INTO app.near (id, name, n) VALUES (200, 'x', 1)");
    assert.deepEqual(await root.rows("SELECT n FROM app.near WHERE id = 200"), [["1"]]);
    assert.equal(Number((await other.rows("SELECT count(n) FROM app.near WHERE n >= 0"))[0][0]), 101);
    s3.faults = [];
    s3.release();
    assert.ok(Number((await slow)[0][0]) > 0);
});

// USER tables are read by another way than SHARED ones.
test("no statement waits for the bucket longer than it may", async () => {
    await emptyCache();
    s3.fault({ method: "GET", match: "app/user", kind: "hold", times: 2 });
    try {
        const start = Date.now();
        assert.equal((await root.error("SELECT count(n) FROM app.user WHERE n >= 0")).code, "QUERY_TIMEOUT");
        assert.ok(Date.now() - start < 20000, "and not when the bucket is given up");
    } finally {
        s3.faults = [];
        s3.release();
    }
    assert.ok(Number((await root.rows("SELECT count(n) FROM app.user WHERE n >= 0"))[0][0]) > 0);
});

test("a cache that is too small for a table, and a full one", async () => {
    await server.stop();
    server.args = ["--flush-interval-ms", "200", "--s3-cache-mb", "1", "--log-level", "debug"];
    await server.start();
    await login();
    await root.sql("CREATE SHARED TABLE app.wide (id INT PRIMARY KEY, pad TEXT) STORAGE far WITH (COMPRESSION = 'none')").catch(() =>
        root.sql("CREATE SHARED TABLE app.wide (id INT PRIMARY KEY, pad TEXT) WITH (STORAGE_ID = 'far', COMPRESSION = 'none')"));
    for (let part = 0; part < 5; part++) {
        const values = [];
        for (let i = 0; i < 400; i++) {
            let pad = "";
            while (pad.length < 1000) pad += Math.random().toString(36).slice(2);
            values.push(`(${part * 400 + i}, '${pad}')`);
        }
        await root.sql(`INSERT INTO app.wide VALUES ${values.join(", ")}`);
        await root.sql("FLUSH TABLE app.wide");
    }
    for (let i = 0; i < 3; i++)
        assert.equal(Number((await root.rows("SELECT count(pad) FROM app.wide WHERE pad <> ''"))[0][0]), 2000);
    await Promise.all(Array.from({ length: 6 }, async (_, i) =>
        assert.deepEqual(await root.rows(`SELECT length(pad) >= 1000 FROM app.wide WHERE id = ${i * 300}`), [[true]])));
    assert.ok(await stat("s3_cache_evictions") > 0);
    // Only what is being read passes the limit: a compaction may be at it.
    const bytes = () => cacheFiles().reduce((sum, name) => sum + (statSync(join(server.dir, "data", "cache", name), { throwIfNoEntry: false })?.size ?? 0), 0);
    await until("the cache to be within its limit", () => bytes() <= 1 << 20);
    await root.sql("DROP TABLE app.wide");
    await until("the sweep", () => !s3.keys().some((key) => key.includes("/wide/")));
});

test("kill -9 while rows are flushed to the bucket loses nothing", async () => {
    await root.sql("CREATE SHARED TABLE app.killed (id INT PRIMARY KEY, name TEXT, n BIGINT) WITH (STORAGE_ID = 'far')");
    let acked = 0;
    for (let round = 0; round < 6; round++) {
        await insert("app.killed", acked, acked + 200);
        acked += 200;
        // Before the object is there, or after it is there and before the answer.
        s3.fault({ method: "PUT", match: "app/killed", kind: round % 2 === 0 ? "hold" : "lose", times: 10 });
        const flush = root.sql("FLUSH TABLE app.killed").catch(() => null);
        await until("the flush", () => s3.requests.some((r) => r.startsWith("PUT") && r.includes("app/killed")));
        await server.stop("SIGKILL");
        await flush;
        s3.requests.length = 0;
        s3.faults = [];
        s3.release();
        await server.start();
        await login();
        assert.equal(Number((await root.rows("SELECT count(*) FROM app.killed"))[0][0]), acked);
        assert.equal(Number((await root.rows("SELECT count(DISTINCT id) FROM app.killed WHERE n = id * 2"))[0][0]), acked);
    }
    await root.sql("FLUSH TABLE app.killed");
    assert.equal(Number((await root.rows("SELECT count(DISTINCT id) FROM app.killed WHERE n = id * 2"))[0][0]), acked);
    await until("the sweep", async () => {
        const [[known]] = await root.rows("SELECT count(*) FROM system.segments WHERE table_name = 'killed'");
        return s3.keys().filter((key) => key.includes("/killed/")).length === Number(known);
    });
});

test("a stop of the server does not wait for the bucket", async () => {
    await insert("app.killed", 100000, 100100);
    s3.fault({ method: "PUT", match: "app/killed", kind: "hold", times: 10 });
    const flush = root.sql("FLUSH TABLE app.killed").catch(() => null);
    await until("the request", () => s3.held.length > 0);
    await server.restart();
    await flush;
    s3.faults = [];
    s3.release();
    await login();
    await root.sql("FLUSH TABLE app.killed");
    assert.equal(Number((await root.rows("SELECT count(*) FROM app.killed WHERE id >= 100000"))[0][0]), 100);
});

test("dropped tables leave nothing in the bucket, and then the storage can go", async () => {
    for (const table of ["shared", "user", "killed"]) await root.sql(`DROP TABLE app.${table}`);
    await until("the sweep", () => s3.keys().length === 0);
    assert.equal(s3.uploads.size, 0);
    await until("the storage is free", async () => {
        try {
            await root.sql("DROP STORAGE far");
            return true;
        } catch (error) {
            assert.match(error.message, /being removed/);
            return false;
        }
    });
});

test("the secret is in no reply, log line or job", async () => {
    const jobs = JSON.stringify(await root.rows("SELECT * FROM system.jobs")) + JSON.stringify(await root.rows("SELECT * FROM system.settings"));
    for (const secret of [SECRET, "temporary-session-token", s3.accessKey])
        for (const [where, text] of [["the log", server.log], ["a reply", replies], ["system tables", jobs]])
            assert.ok(!text.includes(secret), `${secret} is in ${where}`);
});
