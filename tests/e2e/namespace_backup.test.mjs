// The backup of one namespace and its restoration while the server runs: what comes back is what was
// there, for every user, table and type; of one moment while others write; all of it or nothing,
// whatever is damaged, full or killed when.
// KAL_TEST_SEED, KAL_TEST_COUNT: of the random worlds and of the kills.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { seeded } from "./random.mjs";
import { Server, object } from "./server.mjs";
import { TYPES } from "./values.mjs";

const require = createRequire(join(process.env.KALAMDB_ROOT, "build", "deps", "node_modules", "here.js"));
const { DuckDBInstance } = require("@duckdb/node-api");

const COUNT = Number(process.env.KAL_TEST_COUNT ?? 6);
const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);
console.log(`KAL_TEST_SEED=${seed}`);

const random = seeded(seed);
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const KEYS = ["BIGINT", "TEXT", "UUID", "BYTES", "SMALLINT", "DATE"];
const USERS = ["root", "ann", "bob", "ü-Ünï", "x/../y"];

const server = new Server({ args: ["--flush-interval-ms", "200"] });
const clients = {};
let root;
async function login() {
    root = await server.client();
    for (const name of USERS) clients[name] = name === "root" ? root : await server.client(name, `password of ${name}`);
}
before(async () => {
    await server.start();
    root = await server.client();
    for (const name of USERS.slice(1)) await root.addUser(name);
    await login();
});
after(() => server.close());

const path = (name) => join(server.dir, name);
const sql = (text) => `'${text.replaceAll("'", "''")}'`;
const backup = (ns, name) => root.sql(`BACKUP DATABASE ${ns} TO ${sql(path(name))}`);
const restore = (ns, name, rest = "") => root.sql(`RESTORE DATABASE ${ns} FROM ${sql(path(name))} ${rest}`);

// The reply as it is on the wire, without its time: numbers that JavaScript would round stay as they are.
async function raw(client, statement) {
    const reply = await fetch(`${server.url}/v1/api/sql`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${client.token}` },
        body: JSON.stringify({ sql: statement }),
    });
    const text = await reply.text();
    assert.ok(text.includes('"status":"success"'), `${statement}: ${text}`);
    return text.replace(/"took":[0-9.]+/g, "");
}

// Everything that anybody can see of a namespace.
async function see(ns, orders) {
    const seen = {};
    const tables = await root.rows(`SHOW TABLES IN ${ns}`);
    for (const [, name] of tables) {
        seen[`describe ${name}`] = await raw(root, `DESCRIBE ${ns}.${name}`);
        seen[`create ${name}`] = await raw(root, `SHOW CREATE TABLE ${ns}.${name}`);
        seen[`history ${name}`] = (await root.rows(`DESCRIBE ${ns}.${name} HISTORY`)).map((row) => row.slice(0, 4));
        for (const user of USERS)
            seen[`rows ${name} ${user}`] = await raw(clients[user], `SELECT * FROM ${ns}.${name}${orders[name] ?? ""}`);
    }
    seen.tables = JSON.stringify(tables.map((row) => row.slice(0, 3)));
    seen.options = JSON.stringify(await root.rows(`SELECT options FROM system.namespaces WHERE namespace_id = '${ns}'`));
    return seen;
}

const cell = (type) => (below(4) === 0 ? null : pick(TYPES.find(([t]) => t === type).slice(1)));

// A random table with rows of several users, some of them in segments, altered in between.
async function makeTable(ns, name, orders) {
    const kind = pick(["USER", "SHARED", "STREAM"]);
    const types = Array.from({ length: 1 + below(8) }, () => pick(TYPES)[0]);
    const keyType = pick(KEYS);
    const keyed = kind !== "STREAM" || below(2) === 0;
    const options = { USER: "", SHARED: " WITH (ACCESS_LEVEL = 'public')", STREAM: " WITH (TTL_SECONDS = 3600)" }[kind];
    await root.sql(`CREATE ${kind} TABLE ${ns}.${name} (n BIGINT, k ${keyType}${keyed ? " NOT NULL" : ""}, ${
        types.map((type, i) => `c${i} ${type}${below(4) === 0 ? ` COMMENT 'c ''${i}'''` : ""}`).join(", ")}${
        keyed ? ", PRIMARY KEY (n, k)" : ""})${options}`);
    orders[name] = " ORDER BY n";
    let next = 1;
    const fill = async (columns) => {
        for (const user of kind === "SHARED" ? ["root"] : USERS.filter(() => below(3) > 0)) {
            const rows = Array.from({ length: below(30) }, () => [next++, pick(TYPES.find(([t]) => t === keyType).slice(1)), ...columns.map(cell)]);
            if (rows.length > 0)
                await clients[user].sql(`INSERT INTO ${ns}.${name} (n, k${columns.map((_, i) => `, c${i}`).join("")}) VALUES (${
                    ["n", "k", ...columns].map((_, i) => `$${i + 1}`).join(", ")})`, rows);
        }
    };
    await fill(types);
    if (kind !== "STREAM" && below(2) === 0) await root.sql(`FLUSH TABLE ${ns}.${name}`);
    if (kind !== "STREAM") {
        await root.sql(`ALTER TABLE ${ns}.${name} ADD COLUMN later INT DEFAULT ${below(100)}`);
        if (below(2) === 0) await root.sql(`ALTER TABLE ${ns}.${name} RENAME COLUMN later TO latest`);
        if (below(3) === 0) await root.sql(`ALTER TABLE ${ns}.${name} DROP COLUMN c0`), types[0] = null;
    }
    if (types[0] !== null) await fill(types);
    if (kind !== "STREAM" && below(2) === 0) {
        for (const user of USERS) await clients[user].sql(`DELETE FROM ${ns}.${name} WHERE n % 7 = 3`).catch(() => null);
    }
}

test("random worlds: dropped and restored, and restored under another name, they are the same", async () => {
    for (let round = 0; round < COUNT; round++) {
        const ns = `w${round}`;
        const orders = {};
        console.log(`round ${round}, seed ${random.seed()}`);
        await root.sql(`CREATE NAMESPACE ${ns}`);
        if (below(2) === 0) await root.sql(`ALTER NAMESPACE ${ns} SET OPTIONS (colour = 'grün', depth = 12)`);
        const count = 1 + below(4);
        for (let i = 0; i < count; i++) await makeTable(ns, `t${i}`, orders);
        const hasView = below(2) === 0;
        if (hasView) await root.sql(`CREATE VIEW ${ns}.v AS SELECT n, k FROM ${ns}.t0 WHERE n > 3`), orders.v = " ORDER BY n";
        await backup(ns, ns);
        assert.ok((await root.rows(`SHOW BACKUP ${sql(path(ns))}`)).every((row) => row[3] === "good"));
        const was = await see(ns, orders);
        if (hasView) {
            const error = await root.error(`RESTORE DATABASE ${ns}_copy FROM ${sql(path(ns))}`);
            assert.equal(error.code, "UNSUPPORTED");
            assert.match(error.message, /view 'v'/);
        } else {
            await restore(`${ns}_copy`, ns);
            const copy = await see(`${ns}_copy`, orders);
            for (const key of Object.keys(was))
                assert.equal(JSON.stringify(copy[key]).replaceAll(`${ns}_copy`, ns), JSON.stringify(was[key]), key);
        }
        await root.sql(`DROP NAMESPACE ${ns} CASCADE`);
        await restore(ns, ns);
        assert.deepEqual(await see(ns, orders), was);
        await server.restart(round % 2 === 0 ? "SIGKILL" : "SIGTERM");
        await login();
        assert.deepEqual(await see(ns, orders), was, "after a restart");
        // It goes on as a namespace.
        for (const [, name, type] of await root.rows(`SHOW TABLES IN ${ns}`)) {
            if (type !== "view" && type !== "stream") await root.sql(`FLUSH TABLE ${ns}.${name}`);
        }
        assert.deepEqual(await see(ns, orders), was, "after a flush");
        await root.sql(`DROP NAMESPACE ${ns} CASCADE`);
    }
});

test("all types in a table of each kind; plain DuckDB reads the files", async () => {
    await root.sql("CREATE NAMESPACE every");
    const columns = TYPES.map(([type], i) => `c${i} ${type}`).join(", ");
    await root.sql(`CREATE USER TABLE every.own (id INT PRIMARY KEY, ${columns})`);
    await root.sql(`CREATE SHARED TABLE every.pool (id INT PRIMARY KEY, ${columns}) WITH (ACCESS_LEVEL = 'public')`);
    await root.sql(`CREATE STREAM TABLE every.feed (id INT, ${columns}) WITH (TTL_SECONDS = 3600)`);
    await root.sql("CREATE USER TABLE every.empty (id INT PRIMARY KEY)");
    const longest = Math.max(...TYPES.map((t) => t.length)) - 1;
    const rows = Array.from({ length: longest + 1 }, (_, row) => [row, ...TYPES.map((t) => (row === longest ? null : t[1 + (row % (t.length - 1))]))]);
    for (const table of ["own", "pool", "feed"]) {
        for (const user of table === "pool" ? ["root"] : ["ann", "bob", "x/../y"])
            await clients[user].sql(`INSERT INTO every.${table} VALUES (${["id", ...TYPES].map((_, i) => `$${i + 1}`).join(", ")})`, rows);
    }
    await backup("every", "every");
    const orders = { own: " ORDER BY id", pool: " ORDER BY id", feed: " ORDER BY id" };
    const was = await see("every", orders);
    await root.sql("DROP NAMESPACE every CASCADE");
    await restore("every", "every");
    assert.deepEqual(await see("every", orders), was);
    const duckdb = await (await DuckDBInstance.create(":memory:")).connect();
    const read = async (text) => (await duckdb.runAndReadAll(text)).getRowsJson();
    const file = (table) => sql(join(path("every"), "tables", `${table}.*.parquet`));
    assert.deepEqual(await read(`SELECT _user_id, count(*)::INT FROM ${file("own")} GROUP BY ALL ORDER BY ALL`),
        ["ann", "bob", "x/../y"].map((user) => [user, rows.length]));
    assert.deepEqual(await read(`SELECT count(*)::INT, count(DISTINCT _seq)::INT FROM ${file("pool")}`), [[rows.length, rows.length]]);
    assert.deepEqual(await read(`SELECT DISTINCT abs(epoch(_inserted_at::TIMESTAMP) - epoch(now())) < 600 FROM ${file("feed")}`), [[true]]);
    const [bigint, text] = ["BIGINT", "TEXT"].map((name) => TYPES.findIndex(([type]) => type === name));
    assert.deepEqual(await read(`SELECT c${bigint}::VARCHAR, c${text} FROM ${file("own")} WHERE id = 1 AND _user_id = 'ann'`), [[TYPES[bigint][2], TYPES[text][2]]]);
    assert.equal(existsSync(join(path("every"), "tables", "empty.0001.parquet")), false);
    await root.sql("DROP NAMESPACE every CASCADE");
});

test("of one moment while others write: two tables that change together are equal", async () => {
    await root.sql("CREATE NAMESPACE busy");
    for (const [kind, name] of [["SHARED", "a"], ["SHARED", "b"], ["USER", "own"]])
        await root.sql(`CREATE ${kind} TABLE busy.${name} (id BIGINT PRIMARY KEY, n BIGINT)`);
    await root.sql("INSERT INTO busy.a VALUES (1, 0)");
    await root.sql("INSERT INTO busy.b VALUES (1, 0)");
    let stop = false;
    const acked = { n: 0, ann: 0 };
    const writers = [
        (async () => {
            for (let n = 1; !stop; n++) {
                await root.request(`BEGIN; UPDATE busy.a SET n = ${n} WHERE id = 1; UPDATE busy.b SET n = ${n} WHERE id = 1; INSERT INTO busy.a VALUES (${n + 1}, 0); INSERT INTO busy.b VALUES (${n + 1}, 0); COMMIT`);
                acked.n = n;
            }
        })(),
        (async () => {
            for (let id = 1; !stop; id++) {
                await clients.ann.sql("INSERT INTO busy.own (id, n) VALUES ($1, 0)", [id]);
                acked.ann = id;
            }
        })(),
        (async () => {
            while (!stop) await root.sql("FLUSH ALL IN busy");
        })(),
        (async () => { // definitions change, too: both tables have the column or neither
            for (let i = 0; !stop; i++) {
                await root.sql(`ALTER TABLE busy.own ADD COLUMN x${i} INT DEFAULT ${i}`);
                await sleep(20);
            }
        })(),
    ];
    const made = [];
    for (let round = 0; round < 4; round++) {
        await sleep(100 + below(100));
        const least = { ...acked };
        await backup("busy", `busy${round}`);
        made.push({ round, least, most: { ...acked } });
    }
    stop = true;
    await Promise.all(writers);
    for (const { round, least, most } of made) {
        await restore(`busy_${round}`, `busy${round}`);
        const ns = `busy_${round}`;
        const [[a]] = await root.rows(`SELECT n FROM ${ns}.a WHERE id = 1`);
        const [[b]] = await root.rows(`SELECT n FROM ${ns}.b WHERE id = 1`);
        assert.equal(a, b);
        assert.ok(Number(a) >= least.n && Number(a) <= most.n + 1, `${a} of ${least.n}..${most.n}`);
        assert.deepEqual(await root.rows(`SELECT count(*), max(id) FROM ${ns}.a`), [[String(Number(a) + 1), String(Number(a) + 1)]]);
        assert.deepEqual(await root.rows(`SELECT id FROM ${ns}.a ORDER BY id`), await root.rows(`SELECT id FROM ${ns}.b ORDER BY id`));
        const [[count, last]] = await clients.ann.rows(`SELECT count(*), max(id) FROM ${ns}.own`);
        assert.equal(count, last ?? "0");
        assert.ok(Number(count) >= least.ann && Number(count) <= most.ann + 1);
        await root.sql(`DROP NAMESPACE ${ns} CASCADE`);
    }
    await root.sql("DROP NAMESPACE busy CASCADE");
});

test("rows of a STREAM table keep their age; new rows go on behind them", async () => {
    await root.sql("CREATE NAMESPACE age");
    await root.sql("CREATE STREAM TABLE age.s (a INT) WITH (TTL_SECONDS = 4)");
    await clients.ann.sql("INSERT INTO age.s VALUES (1), (2)");
    await backup("age", "age");
    await root.sql("DROP NAMESPACE age CASCADE");
    await restore("age", "age");
    await clients.ann.sql("INSERT INTO age.s VALUES (3)");
    const rows = await clients.ann.rows("SELECT a FROM age.s");
    assert.deepEqual(rows.slice(-1), [[3]]);
    await sleep(4100);
    assert.deepEqual(await clients.ann.rows("SELECT a FROM age.s WHERE a < 3"), []);
    await root.sql("DROP NAMESPACE age CASCADE");
    await restore("age", "age");
    assert.deepEqual(await clients.ann.rows("SELECT a FROM age.s"), [], "it is too old by now");
    await root.sql("DROP NAMESPACE age CASCADE");
});

// A namespace whose backup the next tests damage.
async function makeSmall() {
    await root.sql("CREATE NAMESPACE small");
    await root.sql("CREATE USER TABLE small.own (id BIGINT PRIMARY KEY, text TEXT)");
    await root.sql("CREATE SHARED TABLE small.pool (id BIGINT PRIMARY KEY, text TEXT)");
    for (const user of ["ann", "bob"])
        await clients[user].sql("INSERT INTO small.own SELECT i, 'text ' || i FROM range(1, 3001) t(i)");
    await root.sql("INSERT INTO small.pool SELECT i, repeat('x', 100) FROM range(1, 3001) t(i)");
    await backup("small", "small");
}
const namespaces = async () => (await root.rows("SHOW NAMESPACES")).map(([name]) => name);
const rehash = (name) => { // after damage that has a right checksum
    const list = JSON.parse(readFileSync(join(path(name), "backup.json"), "utf8"));
    for (const file of list.files) {
        const bytes = readFileSync(join(path(name), file.name));
        file.size = bytes.length;
        file.sha256 = createHash("sha256").update(bytes).digest("hex");
    }
    writeFileSync(join(path(name), "backup.json"), JSON.stringify(list));
};

test("what is damaged is named, and nothing of it becomes visible", async () => {
    await makeSmall();
    const files = (await root.rows(`SHOW BACKUP ${sql(path("small"))}`)).map(([name]) => name);
    assert.deepEqual(files, ["namespace.json", "tables/own.0001.parquet", "tables/own.json", "tables/pool.0001.parquet", "tables/pool.json", "users.txt"]);
    const damaged = async (code, text, change) => {
        cpSync(path("small"), path("bad"), { recursive: true });
        change();
        const error = await root.error(`RESTORE DATABASE bad FROM ${sql(path("bad"))}`);
        assert.equal(error.code, code, error.message);
        assert.match(error.message, text);
        assert.ok(!(await namespaces()).includes("bad"));
        rmSync(path("bad"), { recursive: true });
    };
    for (const name of files) {
        const file = () => join(path("bad"), name);
        const quoted = new RegExp(`'${name.replaceAll(".", "\\.")}'`);
        await damaged("DATA_CORRUPTED", quoted, () => unlinkSync(file()));
        await damaged("DATA_CORRUPTED", quoted, () => truncateSync(file(), statSync(file()).size - 1));
        await damaged("DATA_CORRUPTED", quoted, () => writeFileSync(file(), Buffer.concat([readFileSync(file()), Buffer.from(" ")])));
        for (let i = 0; i < 3; i++) {
            const at = below(statSync(join(path("small"), name)).size);
            await damaged("DATA_CORRUPTED", quoted, () => {
                const bytes = readFileSync(file());
                bytes[at] ^= 1 << below(8);
                writeFileSync(file(), bytes);
            });
        }
        await damaged("IO_ERROR", /symbolic links/, () => { // out of the backup
            renameSync(file(), join(path("bad"), "elsewhere"));
            symlinkSync(join(path("bad"), "elsewhere"), file());
        });
    }
    // Checksums that are right do not help what cannot be.
    const edited = (name, change) => () => {
        const file = join(path("bad"), name);
        writeFileSync(file, change(readFileSync(file, "utf8")));
        rehash("bad");
    };
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replace('"rows":6000', '"rows":-1')));
    await damaged("DATA_CORRUPTED", /own/, edited("tables/own.json", (t) => t.replace('"rows":6000', '"rows":5999')));
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replaceAll('"table_name":"own"', '"table_name":"other"')));
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replaceAll('"small"', '"system"')));
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replace("tables/own.0001.parquet", "tables/pool.0001.parquet")));
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replace("tables/own.0001.parquet", "../../../../etc/passwd")));
    await damaged("DATA_CORRUPTED", /own\.json/, edited("tables/own.json", (t) => t.replaceAll('"version":1', '"version":2')));
    await damaged("LIMIT_EXCEEDED", /own\.json/, edited("tables/own.json", () => "[".repeat(100000)));
    await damaged("UNSUPPORTED", /own\.json.*format/, edited("tables/own.json", (t) => t.replace('"format":1', '"format":99')));
    await damaged("DATA_CORRUPTED", /own/, edited("tables/own.json", (t) => t.replaceAll('"BigInt"', '"Text"')));
    await damaged("DATA_CORRUPTED", /namespace\.json/, edited("namespace.json", (t) => t.replace('"small"', '"large"')));
    await damaged("USER_NOT_FOUND", /does not exist here: 'nobody'/, edited("users.txt", (t) => `${t}99 5 nobody\n`));
    await damaged("DATA_CORRUPTED", /users\.txt does not name/, edited("users.txt", (t) => t.split("\n").slice(1).join("\n")));
    await damaged("DATA_CORRUPTED", /users\.txt/, edited("users.txt", (t) => `${t}\n`));
    await damaged("DATA_CORRUPTED", /own\.0001\.parquet|own/, () => {
        cpSync(join(path("bad"), "tables/pool.0001.parquet"), join(path("bad"), "tables/own.0001.parquet"));
        rehash("bad");
    });
    for (const list of ['{"name":"tables/../x"}', '{"name":"/etc/passwd"}', '{"name":"rocksdb/1.sst"}', '{"name":"tables/.x"}'])
        await damaged("DATA_CORRUPTED", /backup\.json/, () => writeFileSync(join(path("bad"), "backup.json"),
            `{"format":3,"version":"1","created_at":1,"namespace":"small","files":[${list.replace("}", `,"size":1,"sha256":"${"0".repeat(64)}"}`)}]}`));
    await damaged("DATA_CORRUPTED", /backup\.json/, () => writeFileSync(join(path("bad"), "backup.json"), '{"format":3,"version":"1","created_at":1,"namespace":"../x","files":[]}'));
    // A file that no table knows.
    await damaged("DATA_CORRUPTED", /belong to no table/, () => {
        cpSync(join(path("bad"), "tables/own.0001.parquet"), join(path("bad"), "tables/own.0002.parquet"));
        const list = JSON.parse(readFileSync(join(path("bad"), "backup.json"), "utf8"));
        list.files.splice(2, 0, { name: "tables/own.0002.parquet", size: 0, sha256: "" });
        writeFileSync(join(path("bad"), "backup.json"), JSON.stringify(list));
        rehash("bad");
    });
    // Whoever makes a data directory of it is told what to do.
    const ended = spawnSync(process.env.KALAMDB_SERVER, ["--restore", path("small"), "--data", path("never")], { encoding: "utf8" });
    assert.equal(ended.status, 1);
    assert.match(ended.err ?? ended.stderr, /backup of one namespace/);
    assert.ok(!existsSync(path("never")));
    await restore("good", "small");
    assert.deepEqual(await clients.ann.rows("SELECT count(*), sum(id) FROM good.own"), await clients.ann.rows("SELECT count(*), sum(id) FROM small.own"));
    await root.sql("DROP NAMESPACE good CASCADE");
});

test("refused: names, rights, what exists", async () => {
    const refused = async (statement, code, text, client = root) => {
        const error = await client.error(statement);
        assert.equal(error.code, code, `${statement}: ${error.message}`);
        assert.match(`${error.message} ${error.hint ?? ""}`, text);
    };
    const b = sql(path("small"));
    await refused(`RESTORE DATABASE small FROM ${b}`, "NAMESPACE_EXISTS", /'small' already exists/);
    assert.match((await restore("IF NOT EXISTS small", "small")).message, /already exists \(skipped\)/);
    assert.match((await root.sql(`BACKUP DATABASE IF EXISTS nothing TO ${sql(path("nothing"))}`)).message, /does not exist \(skipped\)/);
    assert.ok(!existsSync(path("nothing")));
    await refused(`BACKUP DATABASE smal TO ${sql(path("x"))}`, "NAMESPACE_NOT_FOUND", /'smal'.*'small'/);
    await refused(`BACKUP DATABASE system TO ${sql(path("x"))}`, "PERMISSION_DENIED", /server's own/);
    await refused(`BACKUP DATABASE small TO ${b}`, "ALREADY_EXISTS", /exists already/);
    await refused("BACKUP DATABASE small TO 'relative/../x'", "INVALID_INPUT", /begins with '\/'/);
    await refused(`RESTORE DATABASE new FROM ${sql(path("nowhere"))}`, "BACKUP_NOT_FOUND", /nowhere/);
    await refused("RESTORE DATABASE new FROM 'small'", "INVALID_INPUT", /begins with '\/'/);
    for (const name of ["system", "information_schema", "kalamdb", '"Up"', '"a/b"'])
        await refused(`RESTORE DATABASE ${name} FROM ${b}`, name === "system" || name === "information_schema" ? "NAMESPACE_EXISTS" : "INVALID_INPUT", /./);
    await refused(`RESTORE DATABASE new FROM ${b} SKIP`, "INVALID_SQL", /MISSING USERS/);
    await refused(`RESTORE DATABASE new FROM ${b} USERS`, "INVALID_SQL", /BY NAME/);
    await refused(`RESTORE DATABASE new ${b}`, "INVALID_SQL", /FROM/);
    await refused("BACKUP DATABASE", "INVALID_SQL", /namespace or ALL/);
    for (const role of ["user", "service"]) {
        const client = await root.addUser(`the-${role}`, role);
        for (const statement of [`BACKUP DATABASE small TO ${sql(path("no"))}`, `RESTORE DATABASE no FROM ${b}`, `SHOW BACKUP ${b}`, "SHOW BACKUPS FOR DATABASE small", `RESTORE DATABASE IF NOT EXISTS small FROM ${b}`, `BACKUP DATABASE IF EXISTS no TO ${b}`])
            await refused(statement, "PERMISSION_DENIED", /./, client);
    }
    const dba = await root.addUser("the-dba", "dba");
    await dba.sql(`RESTORE DATABASE of_dba FROM ${b}`);
    await dba.sql("DROP NAMESPACE of_dba CASCADE");
    assert.ok(!existsSync(path("no")));
    const shown = object(await root.sql("SHOW BACKUPS FOR DATABASE small"));
    assert.ok(shown.some((row) => row.status === "completed" && row.parameters.includes(path("small"))));
    assert.ok(object(await root.sql("SHOW BACKUP FOR DATABASE ALL")).every((row) => !row.parameters.includes(path("small"))));
});

test("users who do not exist here: named, or left out when that is said", async () => {
    const other = new Server();
    try {
        await other.start();
        const there = await other.client();
        const bob = await there.addUser("bob");
        const account = await there.error(`RESTORE DATABASE small FROM ${sql(path("small"))}`);
        assert.equal(account.code, "USER_NOT_FOUND");
        assert.match(account.message, /1 user of this server is not the account of that name in the backup: 'bob'/);
        assert.match(account.hint, /USERS BY NAME/);
        assert.match((await there.sql(`RESTORE DATABASE nobodys FROM ${sql(path("small"))} SKIP MISSING USERS`)).message, /6000 rows of users who are not here were left out/);
        assert.deepEqual(await bob.rows("SELECT count(*) FROM nobodys.own"), [["0"]], "he has only the name");
        await there.sql("DROP NAMESPACE nobodys CASCADE");
        const error = await there.error(`RESTORE DATABASE small FROM ${sql(path("small"))} USERS BY NAME`);
        assert.equal(error.code, "USER_NOT_FOUND");
        assert.match(error.message, /1 user with rows in the backup does not exist here: 'ann'/);
        assert.match(error.hint, /SKIP MISSING USERS/);
        assert.deepEqual((await there.rows("SHOW NAMESPACES")).map(([name]) => name).includes("small"), false);
        const reply = await there.sql(`RESTORE DATABASE small FROM ${sql(path("small"))} SKIP MISSING USERS USERS BY NAME`);
        assert.match(reply.message, /2 tables and views, 6000 rows; 3000 rows of users who are not here were left out/);
        assert.deepEqual(await bob.rows("SELECT count(*) FROM small.own"), [["3000"]]);
        assert.deepEqual(await (await there.addUser("ann")).rows("SELECT count(*) FROM small.own"), [["0"]]);
        await other.restart("SIGKILL");
        assert.deepEqual(await (await other.client("bob", "password of bob")).rows("SELECT count(*) FROM small.own"), [["3000"]]);
    } finally {
        await other.close();
    }
});

test("a user who was dropped is not there: his rows come back to nobody", async () => {
    const leaver = await root.addUser("leaver");
    await root.sql("CREATE NAMESPACE behind");
    await root.sql("CREATE USER TABLE behind.t (id INT PRIMARY KEY)");
    await leaver.sql("INSERT INTO behind.t VALUES (1)");
    await clients.ann.sql("INSERT INTO behind.t VALUES (2)");
    await backup("behind", "behind");
    await root.sql("DROP NAMESPACE behind CASCADE");
    await root.sql("DROP USER 'leaver'");
    const error = await root.error(`RESTORE DATABASE behind FROM ${sql(path("behind"))}`);
    assert.equal(error.code, "USER_NOT_FOUND");
    assert.match(error.message, /'leaver'/);
    assert.match((await restore("behind", "behind", "SKIP MISSING USERS")).message, /1 rows; 1 rows of users/);
    assert.deepEqual(await clients.ann.rows("SELECT id FROM behind.t"), [[2]]);
    await root.sql("DROP NAMESPACE behind CASCADE");
});

const job = async (type) => object(await root.sql(`SELECT job_id, status, progress FROM system.jobs WHERE job_type = '${type}' AND status = 'running'`))[0];
async function until(what) {
    for (let i = 0; i < 2000; i++) {
        const found = await what();
        if (found) return found;
        await sleep(2);
    }
    throw new Error("it did not come");
}

test("KILL JOB ends a backup and a restoration, and leaves nothing of either", async () => {
    await root.sql("CREATE NAMESPACE large");
    await root.sql("CREATE SHARED TABLE large.t (id BIGINT PRIMARY KEY, text TEXT)");
    for (let i = 0; i < 4; i++) await root.sql(`INSERT INTO large.t SELECT i, repeat('x', 200) FROM range(${i * 40000}, ${(i + 1) * 40000}) t(i)`);
    await backup("large", "large");
    for (const [type, run] of [["backup", () => backup("large", "killed")], ["restore", () => restore("killed", "large")]]) {
        for (let killed = false; !killed; ) {
            const running = run().then(() => null, (error) => error);
            const found = await until(() => job(type));
            const answer = await root.sql(`KILL JOB '${found.job_id}'`).then(() => true, () => false);
            const error = await running;
            killed = answer;
            if (killed) assert.equal(error.code, "CANCELLED", error.message);
            else await root.sql("DROP NAMESPACE IF EXISTS killed CASCADE"), rmSync(path("killed"), { recursive: true, force: true });
        }
        assert.ok(!existsSync(path("killed")));
        assert.ok(!(await namespaces()).includes("killed"));
    }
    assert.deepEqual(readdirSync(server.dir).filter((name) => name.includes(".partial-")), []);
});

test("a full file system: the backup fails by name and leaves nothing", async (t) => {
    if (process.getuid() !== 0) return t.skip("needs to mount a small file system");
    mkdirSync(path("tiny"));
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", path("tiny")]).status !== 0) return t.skip("no mounting here");
    try {
        await root.sql("CREATE NAMESPACE noise");
        await root.sql("CREATE SHARED TABLE noise.t (id BIGINT PRIMARY KEY, b UUID, c UUID)");
        await root.sql("INSERT INTO noise.t SELECT i, gen_random_uuid(), gen_random_uuid() FROM range(10000) t(i)");
        const error = await root.error(`BACKUP DATABASE noise TO ${sql(path("tiny/b"))}`);
        assert.equal(error.code, "IO_ERROR", error.message);
        assert.ok(error.message.includes(path("tiny")), error.message);
        assert.deepEqual(readdirSync(path("tiny")), []);
        await root.sql("INSERT INTO noise.t (id) VALUES (-1)");
    } finally {
        assert.equal(spawnSync("umount", [path("tiny")]).status, 0);
    }
});

test("kill -9 during backups and restorations: whole or not there, and no row is left behind", async () => {
    const rowsOf = (ns) => root.rows(`SELECT count(*), sum(id), min(text) FROM ${ns}.t`);
    const whole = await rowsOf("large");
    for (let round = 0; round < COUNT * 2; round++) {
        const restores = round % 2 === 1;
        const running = (restores ? restore("died", "large") : backup("large", `died${round}`)).then(() => true, () => false);
        await until(() => job(restores ? "restore" : "backup").catch(() => null));
        await sleep(below(restores ? 1500 : 300));
        await server.stop("SIGKILL");
        const done = await running;
        await server.start();
        await login();
        if (restores) {
            const there = (await namespaces()).includes("died");
            assert.ok(there || !done, "it was acknowledged");
            if (there) {
                assert.deepEqual(await rowsOf("died"), whole);
                await root.sql("DROP NAMESPACE died CASCADE");
            } else {
                const [[status]] = await root.rows("SELECT status FROM system.jobs WHERE job_type = 'restore' ORDER BY created_at DESC LIMIT 1");
                assert.equal(status, "failed");
            }
            await restore("died", "large");
            assert.deepEqual(await rowsOf("died"), whole);
            await root.sql("DROP NAMESPACE died CASCADE");
        } else if (existsSync(path(`died${round}`))) {
            assert.ok((await root.rows(`SHOW BACKUP ${sql(path(`died${round}`))}`)).every((row) => row[3] === "good"));
        } else {
            assert.ok(!done);
        }
    }
    assert.deepEqual(await rowsOf("large"), whole);
});
