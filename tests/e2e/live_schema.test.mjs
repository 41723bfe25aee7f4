// SUBSCRIBE SCHEMA through the real server: the definitions that are there, and what becomes of them. A client that
// applies its messages to what it has must always have what DESCRIBE says, whatever is altered meanwhile.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server, object } from "./server.mjs";
import { LiveClient } from "./live_client.mjs";
import { seeded } from "./random.mjs";

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const STEPS = Number(process.env.STEPS ?? 150);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let server, root, ann;
before(async () => {
    server = await new Server().start();
    root = await server.client();
    ann = await root.addUser("ann");
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE NAMESPACE other");
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, room TEXT DEFAULT 'a' COMMENT 'where')");
    await root.sql("CREATE SHARED TABLE other.news (id INT PRIMARY KEY)");
});
after(() => server.close());

// The columns as typed changes leave them: column_id -> name.
function applyChanges(names, changes) {
    for (const change of changes) {
        if (change.kind === "add_column") names.set(change.column_id, change.name);
        else if (change.kind === "drop_column") assert.ok(names.delete(change.column_id), JSON.stringify(change));
        else if (change.kind === "rename_column") names.set(change.column_id, change.after);
    }
}
const columnNames = (definition) => new Map(definition.columns.map((c) => [c.column_id, c.column_name]));
const sorted = (map) => [...map].sort((a, b) => a[0] - b[0]);

// What a client knows: table_id -> definition.
class Schemas {
    constructor(rows) {
        this.tables = new Map(rows.map((row) => [row.table_id, row.definition]));
        this.seq = 0;
        this.counts = { created: 0, altered: 0, renamed: 0, dropped: 0, versions: 0 };
        assert.equal(this.tables.size, rows.length);
    }

    apply(m) {
        const known = this.tables.get(m.table_id);
        const text = JSON.stringify(m);
        assert.equal(m.type, "schema_change", text);
        assert.ok(m.seq > this.seq, text);
        this.seq = m.seq;
        this.counts[m.kind]++;
        this.counts.versions += m.versions.length;
        if (m.kind === "created") assert.equal(known, undefined, text);
        else assert.deepEqual(m.from, { namespace_id: known.namespace_id, table_name: known.table_name, schema_version: known.schema_version }, text);
        if (m.kind === "dropped") {
            assert.deepEqual([m.schema_version, m.definition, m.versions], [null, null, []], text);
            this.tables.delete(m.table_id);
            return;
        }
        // Every version between what was known and what is, none left out.
        const first = known?.schema_version ?? 0;
        assert.deepEqual(m.versions.map((v) => v.version), Array.from({ length: m.schema_version - first }, (_, i) => first + 1 + i), text);
        assert.equal(m.kind === "renamed", known !== undefined && known.table_name !== m.table_name, text);
        assert.deepEqual([m.definition.namespace_id, m.definition.table_name, m.definition.table_id, m.definition.schema_version],
            [m.namespace_id, m.table_name, m.table_id, m.schema_version], text);
        if (known) {
            const names = columnNames(known);
            for (const version of m.versions) applyChanges(names, version.changes);
            assert.deepEqual(sorted(names), sorted(columnNames(m.definition)), text);
        }
        this.tables.set(m.table_id, m.definition);
    }

    // As DESCRIBE, SHOW CREATE TABLE's source and information_schema have it.
    async check(client, namespaces) {
        const shown = object(await client.sql("SELECT table_schema, table_name, table_id, schema_version FROM information_schema.tables"))
            .filter((t) => namespaces.includes(t.table_schema));
        assert.deepEqual(shown.map((t) => `${t.table_id} ${t.table_schema}.${t.table_name} ${t.schema_version}`).sort(),
            [...this.tables.values()].map((d) => `${d.table_id} ${d.namespace_id}.${d.table_name} ${d.schema_version}`).sort());
        for (const d of this.tables.values()) {
            const described = object(await client.sql(`DESCRIBE TABLE ${d.namespace_id}.${d.table_name}`));
            assert.deepEqual(described.map((c) => [c.column_name, c.ordinal_position, c.is_nullable, c.is_primary_key, c.column_comment, c.column_id, c.schema_version]),
                d.columns.map((c) => [c.column_name, c.ordinal_position, c.is_nullable, c.is_primary_key, c.column_comment, c.column_id, d.schema_version]));
        }
    }
}

test("definitions, then each kind of change, to whoever is logged in", async () => {
    const client = await LiveClient.open(server, ann.token);
    const { ack, rows, seq } = await client.subscribe("s", "SUBSCRIBE SCHEMA app");
    assert.deepEqual(ack.schema.map((c) => [c.name, c.data_type]), [["namespace_id", "Text"], ["table_name", "Text"],
        ["table_id", "Int"], ["schema_version", "Int"], ["definition", "Json"]]);
    assert.deepEqual([ack.total_rows, rows.length, seq], [1, 1, 0]);
    assert.equal(rows[0].definition.table_type, "user");
    assert.deepEqual(rows[0].definition.primary_key, ["id"]);
    const room = rows[0].definition.columns[1];
    assert.deepEqual([room.column_name, room.data_type, room.is_nullable, room.default_value, room.column_comment],
        ["room", "Text", true, { Literal: "a" }, "where"]);

    const began = Date.now();
    await root.sql("CREATE STREAM TABLE app.ticks (n INT) WITH (TTL_SECONDS = 60)");
    const created = await client.next();
    assert.ok(Date.now() - began < 1000);
    assert.deepEqual([created.type, created.kind, created.namespace_id, created.table_name, created.from, created.schema_version],
        ["schema_change", "created", "app", "ticks", null, 1]);
    assert.deepEqual(created.versions.map((v) => v.changes.map((c) => c.kind)), [["initial"]]);
    await root.sql("ALTER TABLE app.ticks ADD COLUMN body TEXT");
    const altered = await client.next();
    assert.deepEqual([altered.kind, altered.from.schema_version, altered.schema_version], ["altered", 1, 2]);
    assert.deepEqual(altered.versions.map((v) => [v.version, v.actor, v.changes.map((c) => [c.kind, c.name, c.after])]),
        [[2, "root", [["add_column", "body", "body TEXT"]]]]);
    await root.sql("ALTER TABLE app.ticks RENAME TO tocks");
    const renamed = await client.next();
    assert.deepEqual([renamed.kind, renamed.from.table_name, renamed.table_name, renamed.table_id], ["renamed", "ticks", "tocks", created.table_id]);
    await root.sql("DROP TABLE app.tocks");
    const dropped = await client.next();
    assert.deepEqual([dropped.kind, dropped.table_name, dropped.definition], ["dropped", "tocks", null]);
    await root.sql("CREATE SHARED TABLE other.more (id INT PRIMARY KEY)"); // not its namespace
    await client.silent(400);
    client.send({ type: "unsubscribe", subscription_id: "s" });
    await root.sql("DROP TABLE other.more");
    await root.sql("ALTER TABLE app.notes ADD COLUMN n INT");
    await client.silent(400);
    await client.close();
});

test("one table: followed when it is renamed, the end when it is dropped", async () => {
    await root.sql("CREATE SHARED TABLE other.one (id INT PRIMARY KEY)");
    const client = await LiveClient.open(server, ann.token, { protocol: { serialization: "msgpack", compression: "gzip" } });
    const { rows } = await client.subscribe("s", "SUBSCRIBE SCHEMA other.one");
    assert.deepEqual(rows.map((r) => r.table_name), ["one"]);
    await root.sql("ALTER TABLE other.one RENAME TO two");
    await root.sql("CREATE SHARED TABLE other.one (id INT PRIMARY KEY)");
    assert.equal((await client.next()).table_name, "two");
    await root.sql("ALTER TABLE other.two ADD COLUMN x INT");
    assert.equal((await client.next()).kind, "altered");
    await root.sql("DROP TABLE other.two");
    assert.equal((await client.next()).kind, "dropped");
    const end = await client.next();
    assert.deepEqual([end.type, end.code, end.subscription_id], ["error", "TABLE_NOT_FOUND", "s"]);
    assert.match(end.message, /'other\.two' was dropped/);
    assert.equal((await root.rows("SHOW LIVE QUERIES")).length, 0);
    await root.sql("DROP TABLE other.one");
    await client.silent(300);
    await client.close();
});

test("all of them; the server's own by name; what is refused", async () => {
    const client = await LiveClient.open(server, ann.token);
    const all = await client.subscribe("all", "SUBSCRIBE SCHEMA *");
    assert.deepEqual(all.rows.map((r) => `${r.namespace_id}.${r.table_name}`).sort(), ["app.notes", "other.news"]);
    const system = await client.subscribe("system", "SUBSCRIBE SCHEMA system");
    assert.ok(system.rows.some((r) => r.table_name === "users"));
    assert.deepEqual((await client.subscribe("users", "subscribe schema system.users")).rows.map((r) => r.table_name), ["users"]);
    const refused = async (sql, code, part, options) => {
        const { error } = await client.subscribe("q", sql, options);
        assert.ok(error, sql);
        assert.equal(error.code, code, `${sql}: ${JSON.stringify(error)}`);
        assert.match(error.message, part);
    };
    await refused("SUBSCRIBE SCHEMA app.nothing", "TABLE_NOT_FOUND", /app\.nothing/);
    await refused("SUBSCRIBE SCHEMA nowhere", "NAMESPACE_NOT_FOUND", /nowhere/);
    await refused("SUBSCRIBE SCHEMA", "INVALID_SQL", /./);
    await refused("SUBSCRIBE SCHEMA app; SELECT 1", "INVALID_SQL", /./);
    await refused("SUBSCRIBE SCHEMA app OPTIONS (from = 5)", "UNSUPPORTED", /'from'/);
    await refused("SUBSCRIBE SCHEMA app", "UNSUPPORTED", /'from'/, { from: 5 });
    await refused("SUBSCRIBE SCHEMA app OPTIONS (hash = true)", "UNSUPPORTED", /'hash'/);
    await refused("SUBSCRIBE SCHEMA app", "UNSUPPORTED", /'last_rows'/, { last_rows: 5 });
    assert.equal((await client.subscribe("all", "SUBSCRIBE SCHEMA app")).error.code, "INVALID_SUBSCRIPTION_ID");
    assert.equal((await client.subscribe("all", "SELECT * FROM app.notes")).error.code, "INVALID_SUBSCRIPTION_ID");
    // Over HTTP it is said what to send, or what is wrong with it.
    const [[, , subscription]] = await ann.rows("SUBSCRIBE SCHEMA app.notes");
    assert.equal(JSON.parse(subscription).sql, "SUBSCRIBE SCHEMA app.notes");
    assert.equal((await ann.error("SUBSCRIBE SCHEMA app.nothing")).code, "TABLE_NOT_FOUND");
    await client.close();
});

test("listed, killed, limited, and gone with its user", async () => {
    const eve = await root.addUser("eve");
    const client = await LiveClient.open(server, eve.token);
    await client.subscribe("a", "SUBSCRIBE SCHEMA app");
    await client.subscribe("t", "SUBSCRIBE SCHEMA app.notes");
    await client.subscribe("all", "SUBSCRIBE SCHEMA *");
    const shown = object(await root.sql("SELECT * FROM system.live_queries")).sort((a, b) => (a.query_id < b.query_id ? -1 : 1));
    assert.deepEqual(shown.map((q) => [q.query_id, q.namespace_id, q.table_name, q.query, q.user_id, q.state]), [
        ["a", "app", "", "SUBSCRIBE SCHEMA app", "eve", "live"],
        ["all", "", "", "SUBSCRIBE SCHEMA *", "eve", "live"],
        ["t", "app", "notes", "SUBSCRIBE SCHEMA app.notes", "eve", "live"]]);
    assert.equal((await eve.rows("SHOW LIVE QUERIES")).length, 3);
    assert.equal((await ann.rows("SHOW LIVE QUERIES")).length, 0);
    assert.equal((await ann.error(`KILL LIVE QUERY '${shown[0].live_id}'`)).code, "LIVE_QUERY_NOT_FOUND");
    await root.sql(`KILL LIVE QUERY '${shown[0].live_id}'`);
    const killed = await client.next();
    assert.deepEqual([killed.code, killed.subscription_id], ["KILLED", "a"]);
    for (let i = 0; ;) {
        const { error } = await client.subscribe(`n${i}`, "SUBSCRIBE SCHEMA other");
        if (error?.code === "RATE_LIMIT_EXCEEDED") {
            await sleep(500);
        } else if (error) {
            assert.deepEqual([error.code, i], ["SUBSCRIPTION_LIMIT_EXCEEDED", 98]);
            break;
        } else {
            i++;
        }
    }
    await root.sql("DROP USER 'eve'");
    assert.equal((await client.next()).code, "TOKEN_REVOKED");
    await client.ended;
    assert.equal((await root.rows("SHOW LIVE QUERIES")).length, 0);
});

test("in batches, with changes in between", async () => {
    await root.sql("CREATE NAMESPACE many");
    for (let i = 0; i < 25; i++) await root.sql(`CREATE SHARED TABLE many.t${i} (id INT PRIMARY KEY)`);
    const client = await LiveClient.open(server, ann.token);
    client.send({ type: "subscribe", subscription: { id: "s", sql: "SUBSCRIBE SCHEMA many", options: { batch_size: 10 } } });
    assert.equal((await client.next()).total_rows, 25);
    const rows = [...(await client.next()).rows];
    await root.sql("ALTER TABLE many.t0 ADD COLUMN x INT");
    await root.sql("DROP TABLE many.t24");
    for (const [more, count] of [[true, 10], [false, 5]]) {
        await client.silent(200); // changes come after the rows
        client.send({ type: "next_batch", subscription_id: "s" });
        const batch = await client.next();
        assert.deepEqual([batch.batch_control.has_more, batch.rows.length], [more, count]);
        rows.push(...batch.rows);
    }
    const schemas = new Schemas(rows);
    schemas.apply(await client.next());
    schemas.apply(await client.next());
    await schemas.check(root, ["many"]);
    await client.close();
    await root.sql("DROP NAMESPACE many CASCADE");
});

test("a client that does not read gets every version later, or is told that it was too slow", async () => {
    await root.sql("CREATE NAMESPACE wide");
    const columns = Array.from({ length: 300 }, (_, i) => `c${i} TEXT COMMENT '${"x".repeat(100)}'`).join(", ");
    await root.sql(`CREATE SHARED TABLE wide.t (id INT PRIMARY KEY, ${columns})`);
    const slow = await LiveClient.open(server, ann.token, { perMessageDeflate: false });
    const ended = await LiveClient.open(server, ann.token, { perMessageDeflate: false });
    const { rows } = await slow.subscribe("s", "SUBSCRIBE SCHEMA wide");
    const schemas = new Schemas(rows);
    await ended.subscribe("s", "SUBSCRIBE SCHEMA wide", { on_slow: "close" });
    slow.ws._socket.pause();
    ended.ws._socket.pause();
    for (let i = 0; i < 250; i++) await root.sql(`ALTER TABLE wide.t RENAME COLUMN c${i} TO d${i}`);
    const states = object(await root.sql("SHOW LIVE QUERIES")).map((q) => q.state);
    assert.equal(states.length, 1, "the one is gone, its last word is on the way");
    slow.ws._socket.resume();
    ended.ws._socket.resume();
    while ([...schemas.tables.values()][0].schema_version < 251) schemas.apply(await slow.next());
    await schemas.check(root, ["wide"]);
    await slow.silent(300);
    assert.ok(schemas.counts.altered < schemas.counts.versions, "it was never slow");
    let last;
    do last = await ended.next(); while (last.type !== "error");
    assert.equal(last.code, "SLOW_CONSUMER");
    await Promise.all([slow.close(), ended.close()]);
    await root.sql("DROP NAMESPACE wide CASCADE");
});

test(`random DDL, seed ${SEED}`, async () => {
    const random = seeded(SEED);
    const below = (n) => Math.floor(random() * n);
    const namespaces = ["ra", "rb"];
    for (const ns of namespaces) await root.sql(`CREATE NAMESPACE ${ns}`);
    await root.sql("CREATE SHARED TABLE ra.kept (id INT PRIMARY KEY)");
    const client = await LiveClient.open(server, ann.token);
    const late = await LiveClient.open(server, ann.token);
    const knows = {};
    for (const [id, sql] of [["all", "*"], ["ra", "ra"], ["rb", "rb"], ["kept", "ra.kept"]])
        knows[id] = new Schemas((await client.subscribe(id, `SUBSCRIBE SCHEMA ${sql}`)).rows);
    const errors = [];
    client.inbox.splice(0).forEach((m) => knows[m.subscription_id].apply(m));
    client.take = (m) => { try { knows[m.subscription_id].apply(m); } catch (error) { errors.push(error); } };
    late.take = (m) => {
        if (m.type === "initial_data_batch") knows.late = new Schemas(m.rows);
        else if (m.type === "schema_change") { try { knows.late.apply(m); } catch (error) { errors.push(error); } }
    };

    const name = () => `${namespaces[below(2)]}.t${below(6)}`;
    const statement = () => {
        const t = below(5) === 0 ? "ra.kept" : name();
        switch (below(12)) {
        case 0: case 1: case 2: return `CREATE SHARED TABLE ${name()} (id INT PRIMARY KEY, c0 TEXT)`;
        case 3: return `DROP TABLE ${name()}`;
        case 4: return `ALTER TABLE ${name()} RENAME TO t${below(6)}`;
        case 5: return `ALTER TABLE ${t} DROP COLUMN c${below(6)}`;
        case 6: return `ALTER TABLE ${t} RENAME COLUMN c${below(6)} TO c${below(6)}`;
        case 7: return `ALTER TABLE ${t} ADD COLUMN c${below(6)} INT DEFAULT ${below(10)}, ADD COLUMN c${below(6)} TEXT`;
        default: return `ALTER TABLE ${t} ADD COLUMN c${below(6)} ${["INT", "TEXT", "DOUBLE"][below(3)]}`;
        }
    };
    let done = 0;
    for (let step = 0; step < STEPS; step++) {
        const together = Array.from({ length: 1 + below(6) }, statement);
        const results = await Promise.all(together.map((sql) => root.sql(sql).then(() => 1, (error) => { if (!error.code) throw error; return 0; })));
        done += results.reduce((a, b) => a + b, 0);
        if (step === STEPS >> 1) late.send({ type: "subscribe", subscription: { id: "late", sql: "SUBSCRIBE SCHEMA *" } });
        if (below(10) === 0) await sleep(below(30));
    }
    await sleep(1000);
    assert.deepEqual(errors, [], `seed ${SEED}`);
    await knows.all.check(root, ["app", "other", ...namespaces]);
    await knows.late.check(root, ["app", "other", ...namespaces]);
    await knows.ra.check(root, ["ra"]);
    await knows.rb.check(root, ["rb"]);
    assert.deepEqual([...knows.kept.tables.values()], [...knows.ra.tables.values()].filter((d) => d.table_name === "kept"));
    console.log(`seed ${SEED}: ${done} statements done; told of all: ${JSON.stringify(knows.all.counts)}`);
    assert.ok(knows.all.counts.created > 3 && knows.all.counts.altered > 10, JSON.stringify(knows.all.counts));
    await Promise.all([client.close(), late.close()]);
});
