// Live queries of system tables: their rows are read again about once a second, and what has changed is told.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server, object } from "./server.mjs";
import { LiveClient } from "./live_client.mjs";
import { seeded } from "./random.mjs";

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let server, root, ann;
before(async () => {
    server = await new Server().start();
    root = await server.client();
    ann = await root.addUser("ann");
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, room TEXT)");
});
after(() => server.close());

// Rows by key, as the messages leave them.
class Rows {
    constructor(key, rows) {
        this.key = key;
        this.rows = new Map(rows.map((row) => [row[key], row]));
        this.seq = 0;
    }

    apply(m) {
        const text = JSON.stringify(m);
        assert.equal(m.type, "change", text);
        assert.ok(m.seq > this.seq, text);
        this.seq = m.seq;
        const key = (m.rows ?? m.old_values)[0][this.key];
        const known = this.rows.get(key);
        assert.equal(known === undefined, m.change_type === "insert", text);
        for (const [name, value] of Object.entries(m.old_values?.[0] ?? {})) assert.deepEqual(known[name], value, text);
        if (m.change_type === "delete") {
            this.rows.delete(key);
            return;
        }
        // An update leaves out what was and is NULL.
        const row = m.change_type === "insert" ? m.rows[0] : { ...known, ...m.rows[0] };
        this.rows.set(key, row);
    }

    list() {
        return [...this.rows.values()].sort((a, b) => (String(a[this.key]) < String(b[this.key]) ? -1 : 1));
    }
}

test("users: first rows, insert, update, delete, a condition", async () => {
    const client = await LiveClient.open(server, root.token);
    const { ack, rows, seq } = await client.subscribe("s", "SELECT user_id, role, length(user_id) AS l FROM system.users WHERE role <> 'service' AND deleted_at IS NULL");
    assert.deepEqual([ack.total_rows, seq], [2, 0]);
    assert.deepEqual(ack.schema.map((c) => [c.name, c.flags?.includes("pk") ?? false]), [["user_id", true], ["role", false], ["l", false]]);
    assert.deepEqual(rows.map((r) => r.user_id).sort(), ["ann", "root"]);
    await root.sql("CREATE USER 'bob' WITH PASSWORD 'password of bob' ROLE user");
    assert.deepEqual(await client.next(2500), { type: "change", subscription_id: "s", change_type: "insert", rows: [{ user_id: "bob", role: "user", l: "3" }], seq: 1 });
    await root.sql("ALTER USER 'bob' SET ROLE dba");
    assert.deepEqual(await client.next(2500), { type: "change", subscription_id: "s", change_type: "update", rows: [{ user_id: "bob", role: "dba", l: "3" }],
        old_values: [{ user_id: "bob", role: "user" }], seq: 2 });
    await root.sql("ALTER USER 'bob' SET ROLE service"); // leaves the condition
    assert.deepEqual(await client.next(2500), { type: "change", subscription_id: "s", change_type: "delete", old_values: [{ user_id: "bob", role: "dba", l: "3" }], seq: 3 });
    await root.sql("ALTER USER 'bob' SET ROLE user");
    assert.equal((await client.next(2500)).change_type, "insert");
    await root.sql("ALTER USER 'bob' SET EMAIL 'bob@example.org'"); // not shown
    await client.silent(1500);
    await root.sql("DROP USER 'bob'");
    assert.equal((await client.next(2500)).change_type, "delete");
    client.send({ type: "unsubscribe", subscription_id: "s" });
    await root.sql("CREATE USER 'carl' WITH PASSWORD 'password of carl' ROLE user");
    await client.silent(1500);
    // What names a row is told also when it is not asked for.
    const named = await client.subscribe("n", "SELECT role FROM system.users WHERE user_id = 'ann'");
    assert.deepEqual(named.rows, [{ role: "user", user_id: "ann" }]);
    await client.close();
});

test("who may not read it, and what it cannot be", async () => {
    const client = await LiveClient.open(server, ann.token);
    const own = await LiveClient.open(server, root.token);
    assert.equal((await client.subscribe("s", "SELECT * FROM system.users")).error.code, "PERMISSION_DENIED");
    assert.equal((await client.subscribe("s", "SELECT * FROM system.live_queries")).error.code, "PERMISSION_DENIED");
    // What everybody may read everybody may listen to.
    assert.ok((await client.subscribe("i", "SELECT table_name FROM information_schema.tables WHERE table_schema = 'app'")).rows.length === 1);
    await root.sql("CREATE SHARED TABLE app.news (id INT PRIMARY KEY)");
    assert.equal((await client.next(2500)).rows[0].table_name, "news");
    const refused = async (sql, code, part, options) => {
        const { error } = await own.subscribe("q", sql, options);
        assert.ok(error, sql);
        assert.equal(error.code, code, `${sql}: ${JSON.stringify(error)}`);
        assert.match(error.message, part);
    };
    await refused("SELECT role, COUNT(*) AS n FROM system.users GROUP BY role", "UNSUPPORTED", /aggregates/);
    await refused("SELECT COUNT(*) AS n FROM system.users", "UNSUPPORTED", /aggregates/);
    await refused("SELECT * FROM system.users ORDER BY user_id LIMIT 3", "UNSUPPORTED", /LIMIT/);
    await refused("SELECT * FROM system.nothing", "TABLE_NOT_FOUND", /system\.nothing/);
    await refused("SELECT nothing FROM system.users", "COLUMN_NOT_FOUND", /nothing/);
    await refused("SELECT * FROM system.users", "UNSUPPORTED", /'from'/, { from: 3 });
    await refused("SELECT * FROM system.users OPTIONS (hash = true)", "UNSUPPORTED", /'hash'/);
    await refused("SELECT * FROM system.users WHERE created_at < NOW()", "UNSUPPORTED", /NOW/);
    const explained = Object.fromEntries(await root.rows("EXPLAIN LIVE SELECT * FROM system.users WHERE role = 'dba'"));
    assert.equal(explained.kind, "polled");
    assert.match(explained.index, /once a second/);
    await Promise.all([client.close(), own.close()]);
});

test("every system table can be listened to, and its keys name its rows", async () => {
    const client = await LiveClient.open(server, root.token);
    const tables = object(await root.sql("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('system', 'information_schema')"));
    assert.ok(tables.length >= 15);
    for (const t of tables) {
        const name = `${t.table_schema}.${t.table_name}`;
        const { ack, rows, error } = await client.subscribe(name, `SELECT * FROM ${name}`);
        assert.equal(error, undefined, `${name}: ${JSON.stringify(error)}`);
        const keys = ack.schema.filter((c) => c.flags?.includes("pk")).map((c) => c.name);
        assert.ok(keys.length > 0, name);
        assert.equal(new Set(rows.map((r) => JSON.stringify(keys.map((k) => r[k])))).size, rows.length, `${name}: ${keys}`);
        client.send({ type: "unsubscribe", subscription_id: name });
    }
    await client.close();
});

test("live queries of live queries come to rest", async () => {
    const one = await LiveClient.open(server, root.token);
    const two = await LiveClient.open(server, root.token);
    await one.subscribe("a", "SELECT * FROM system.live_queries");
    const watched = new Rows("live_id", (await two.subscribe("b", "SELECT * FROM system.live")).rows);
    await two.subscribe("c", "SELECT live_id, changes FROM system.live_queries WHERE query_id = 'notes'");
    const other = await LiveClient.open(server, ann.token);
    await other.subscribe("notes", "SELECT * FROM app.notes");
    await sleep(3000);
    const told = two.inbox.splice(0);
    one.inbox.splice(0);
    told.filter((m) => m.subscription_id === "b").forEach((m) => watched.apply(m));
    assert.deepEqual(told.filter((m) => m.subscription_id === "c").map((m) => m.change_type), ["insert"]);
    assert.deepEqual(watched.list().map((q) => q.query_id).sort(), ["a", "b", "c", "notes"]);
    await one.silent(2500);
    await two.silent(1);
    await ann.sql("INSERT INTO app.notes VALUES (1, 'a')"); // and then somebody is told of a row
    assert.equal((await other.next()).change_type, "insert");
    const seen = [await two.next(2500), await two.next(2500)];
    assert.equal(seen.find((m) => m.subscription_id === "c").rows[0].changes, "1");
    await other.close();
    const gone = [await two.next(2500), await two.next(2500)];
    assert.deepEqual(gone.map((m) => m.change_type), ["delete", "delete"]);
    await sleep(1500);
    one.inbox.splice(0);
    await one.silent(2500);
    await two.silent(1);
    await Promise.all([one.close(), two.close()]);
});

test("jobs: several subscribers of one text", async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => LiveClient.open(server, root.token)));
    for (const client of clients) await client.subscribe("s", "SELECT * FROM system.jobs");
    await root.sql("STORAGE FLUSH TABLE app.notes").catch(() => root.sql("FLUSH TABLE app.notes"));
    for (const client of clients) {
        const told = await client.next(4000);
        assert.equal(told.change_type, "insert");
        assert.equal(told.rows[0].job_type.length > 0, true);
    }
    await Promise.all(clients.map((c) => c.close()));
});

test("a role that is lost ends it", async () => {
    const dan = await root.addUser("dan", "dba");
    const client = await LiveClient.open(server, dan.token);
    assert.equal((await client.subscribe("s", "SELECT * FROM system.users")).error, undefined);
    await root.sql("ALTER USER 'dan' SET ROLE user");
    let word;
    do word = await client.next(); while (word.type === "change");
    assert.equal(word.code, "TOKEN_REVOKED");
    await client.ended;
});

test(`random users, seed ${SEED}`, async () => {
    const random = seeded(SEED);
    const below = (n) => Math.floor(random() * n);
    const client = await LiveClient.open(server, root.token);
    const sql = "SELECT user_id, role, email, deleted_at FROM system.users WHERE role <> 'service'";
    const rows = new Rows("user_id", (await client.subscribe("s", sql)).rows);
    const errors = [];
    client.inbox.splice(0).forEach((m) => rows.apply(m));
    client.take = (m) => { try { rows.apply(m); } catch (error) { errors.push(error); } };
    for (let step = 0; step < 120; step++) {
        const name = `r${below(25)}`;
        const statement = [`CREATE USER '${name}' WITH PASSWORD 'password of ${name}' ROLE user`,
            `ALTER USER '${name}' SET ROLE ${["user", "service", "dba"][below(3)]}`,
            `ALTER USER '${name}' SET EMAIL '${name}${below(3)}@example.org'`, `DROP USER '${name}'`][Math.floor(below(16) / 5)];
        await root.sql(statement).catch((error) => { if (!error.code) throw error; });
        if (below(6) === 0) await sleep(below(400));
    }
    await sleep(2200);
    assert.deepEqual(errors, [], `seed ${SEED}`);
    const now = object(await root.sql(sql)).sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
    assert.deepEqual(rows.list(), now, `seed ${SEED}`);
    console.log(`seed ${SEED}: ${rows.seq} changes`);
    assert.ok(rows.seq > 10);
    await client.close();
});

test("the server stops and starts with subscribers", async () => {
    const clients = [];
    for (let i = 0; i < 3; i++) {
        const client = await LiveClient.open(server, root.token);
        await client.subscribe("q", "SELECT * FROM system.stats");
        await client.subscribe("s", "SUBSCRIBE SCHEMA *");
        client.send({ type: "subscribe", subscription: { id: "late", sql: "SELECT * FROM system.columns" } });
        clients.push(client);
    }
    await server.restart(); // which fails when it does not end well
    for (const client of clients) await client.ended;
    root = await server.client();
    const client = await LiveClient.open(server, root.token);
    assert.equal((await client.subscribe("s", "SUBSCRIBE SCHEMA app.notes")).rows.length, 1);
    await client.close();
});
