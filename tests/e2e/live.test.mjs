// Live queries through the real server: the protocol, the permission rules, restarts.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Server } from "./server.mjs";
import { LiveClient } from "./live_client.mjs";

let server, root, ann, bob;

before(async () => {
    server = await new Server().start();
    root = await server.client();
    for (const name of ["ann", "bob"]) await root.sql(`CREATE USER '${name}' WITH PASSWORD 'password of ${name}' ROLE user`);
    ann = await server.client("ann", "password of ann");
    bob = await server.client("bob", "password of bob");
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, room TEXT, n INT, body TEXT)");
    await root.sql("CREATE SHARED TABLE app.news (id INT PRIMARY KEY, text TEXT) WITH (ACCESS_LEVEL = 'public')");
    await root.sql("CREATE SHARED TABLE app.secrets (id INT PRIMARY KEY, text TEXT)");
});
after(() => server.close());

test("first rows, then what happens to them", async () => {
    const client = await LiveClient.open(server, ann.token);
    assert.equal(client.success.user, "ann");
    assert.equal(client.success.role, "user");
    await ann.sql("INSERT INTO app.notes VALUES (1, 'a', 1, 'one'), (2, 'b', 2, NULL)");
    const { ack, rows, seq } = await client.subscribe("s", "SELECT id, room, n FROM app.notes WHERE n < 10");
    assert.equal(ack.total_rows, 2);
    assert.deepEqual(ack.schema.map((c) => [c.name, c.data_type]), [["id", "BigInt"], ["room", "Text"], ["n", "Int"]]);
    assert.deepEqual(rows.map(({ id, room, n }) => [id, room, n]), [["1", "a", 1], ["2", "b", 2]]);

    await ann.sql("INSERT INTO app.notes VALUES (3, 'c', 3, 'three')");
    const inserted = await client.next();
    assert.equal(inserted.type, "change");
    assert.equal(inserted.subscription_id, "s");
    assert.equal(inserted.change_type, "insert");
    assert.equal(inserted.seq, seq + 1);
    assert.deepEqual(inserted.rows, [{ id: "3", room: "c", n: 3, _seq: String(seq + 1) }]);
    assert.equal(inserted.old_values, undefined);

    await ann.sql("UPDATE app.notes SET room = NULL WHERE id = 3");
    const updated = await client.next();
    assert.equal(updated.change_type, "update");
    assert.deepEqual(updated.rows, [{ id: "3", room: null, n: 3, _seq: String(seq + 2) }]);
    assert.deepEqual(updated.old_values, [{ id: "3", room: "c", _seq: String(seq + 1) }]);

    await ann.sql("UPDATE app.notes SET n = 10 WHERE id = 3"); // leaves the filter
    const left = await client.next();
    assert.equal(left.change_type, "delete");
    assert.deepEqual(left.old_values, [{ id: "3", room: null, n: 3, _seq: String(seq + 3) }]);
    assert.equal(left.rows, undefined);

    await ann.sql("UPDATE app.notes SET n = 9 WHERE id = 3"); // and comes back
    assert.equal((await client.next()).change_type, "insert");
    await ann.sql("DELETE FROM app.notes WHERE id = 3");
    assert.equal((await client.next()).change_type, "delete");
    client.send({ type: "unsubscribe", subscription_id: "s" });
    client.send({ type: "ping" });
    await ann.sql("INSERT INTO app.notes VALUES (4, 'd', 4, 'four')");
    await client.silent();
    await client.close();
    await ann.sql("DELETE FROM app.notes");
});

test("a user sees his own rows only, and who may not read a table may not listen to it", async () => {
    const of_ann = await LiveClient.open(server, ann.token);
    const of_bob = await LiveClient.open(server, bob.token);
    await of_ann.subscribe("s", "SELECT * FROM app.notes");
    await of_bob.subscribe("s", "SELECT * FROM app.notes");
    await bob.sql("INSERT INTO app.notes VALUES (1, 'x', 1, 'of bob')");
    const { rows } = await of_bob.next();
    assert.equal(rows[0].body, "of bob");
    await of_ann.silent();
    await of_ann.subscribe("news", "SELECT * FROM app.news");
    await root.sql("INSERT INTO app.news VALUES (1, 'for all')");
    assert.equal((await of_ann.next()).rows[0].text, "for all");
    const { error } = await of_ann.subscribe("x", "SELECT * FROM app.secrets");
    assert.equal(error.code, "PERMISSION_DENIED");
    assert.equal(error.subscription_id, "x");
    await root.sql("ALTER TABLE app.news SET ACCESS LEVEL private");
    const ended = await of_ann.next();
    assert.equal(ended.type, "error");
    assert.equal(ended.code, "PERMISSION_DENIED");
    await root.sql("INSERT INTO app.news VALUES (2, 'not for all')");
    await of_ann.silent();
    await root.sql("ALTER TABLE app.news SET ACCESS LEVEL public");
    await bob.sql("DELETE FROM app.notes");
    await Promise.all([of_ann.close(), of_bob.close()]);
});

test("what a live query cannot be is said, with the place", async () => {
    const client = await LiveClient.open(server, ann.token);
    const refused = async (sql, code, part) => {
        const { error } = await client.subscribe("q", sql);
        assert.ok(error, sql);
        assert.equal(error.code, code, `${sql}: ${JSON.stringify(error)}`);
        assert.match(error.message, part);
    };
    await refused("SELECT * FROM app.notes JOIN app.news USING (id)", "INVALID_SQL", /JOIN/);
    await refused("SELECT * FROM app.nothing", "TABLE_NOT_FOUND", /app\.nothing/);
    await refused("SELECT nothing FROM app.notes", "COLUMN_NOT_FOUND", /nothing/);
    await refused("DELETE FROM app.notes", "INVALID_SQL", /./);
    await refused("SELECT * FROM app.notes WHERE n < NOW()", "UNSUPPORTED", /./);
    await refused("SELECT n, n FROM app.notes", "INVALID_SQL", /two columns/);
    await refused("SELECT * FROM app.notes; SELECT 1", "INVALID_SQL", /./);
    await refused("SELECT * FROM app.notes WHERE n = $1", "INVALID_SQL", /parameters/);
    client.send({ type: "subscribe", subscription: { sql: "SELECT * FROM app.notes" } });
    assert.equal((await client.next()).code, "INVALID_SUBSCRIPTION_ID");
    client.send({ type: "subscribe" });
    assert.equal((await client.next()).code, "INVALID_SUBSCRIPTION");
    client.send({ type: "subscribe", subscription: { id: "a", sql: "SELECT * FROM app.notes", options: { from: -1 } } });
    assert.equal((await client.next()).code, "INVALID_OPTION");
    client.send({ type: "dance" });
    assert.equal((await client.next()).code, "UNSUPPORTED_DATA");
    client.ws.send("{");
    assert.equal((await client.next()).type, "error");
    client.ws.send(Buffer.from([1, 2, 3]));
    assert.equal((await client.next()).code, "UNSUPPORTED_DATA");
    client.send({ type: "next_batch", subscription_id: "nobody" });
    assert.equal((await client.next()).code, "NOT_FOUND");
    await client.subscribe("twice", "SELECT * FROM app.notes");
    assert.equal((await client.subscribe("twice", "SELECT * FROM app.notes")).error.code, "INVALID_SUBSCRIPTION_ID");
    await client.close();
});

test("nobody gets in without a token, and who has none for long is shown out", async () => {
    const stranger = await LiveClient.open(server);
    assert.equal((await stranger.subscribe("s", "SELECT * FROM app.news")).error.code, "AUTH_REQUIRED");
    const refusal = await stranger.next(8000);
    assert.equal(refusal.type, "auth_error");
    assert.equal((await stranger.ended).code, 1008);
    const liar = await LiveClient.open(server);
    liar.send({ type: "authenticate", method: "jwt", token: "abc", protocol: { serialization: "json", compression: "none" } });
    assert.equal((await liar.next()).type, "auth_error");
    assert.equal((await liar.ended).code, 1008);
    const header = await LiveClient.open(server, undefined, { headers: { authorization: `Bearer ${ann.token}` } });
    assert.equal((await header.next()).type, "auth_success");
    await header.close();
    await assert.rejects(LiveClient.open(server, undefined, { headers: { authorization: "Bearer nonsense" } }), /401/);
});

test("a dropped user, a dropped table", async () => {
    await root.sql("CREATE USER 'eve' WITH PASSWORD 'password of eve' ROLE user");
    const eve = await server.client("eve", "password of eve");
    const client = await LiveClient.open(server, eve.token);
    await client.subscribe("s", "SELECT * FROM app.news");
    await root.sql("DROP USER 'eve'");
    const word = await client.next();
    assert.equal(word.code, "TOKEN_REVOKED");
    assert.equal((await client.ended).code, 1008);

    await root.sql("CREATE SHARED TABLE app.gone (id INT PRIMARY KEY) WITH (ACCESS_LEVEL = 'public')");
    const other = await LiveClient.open(server, ann.token);
    await other.subscribe("s", "SELECT * FROM app.gone");
    await root.sql("DROP TABLE app.gone");
    const end = await other.next();
    assert.equal(end.type, "error");
    assert.equal(end.code, "TABLE_NOT_FOUND");
    await other.close();
});

test("batches are asked for, the newest rows only, and changes come after them", async () => {
    for (let i = 0; i < 25; i++) await ann.sql(`INSERT INTO app.notes VALUES (${i}, 'r', ${i}, 'b${i}')`);
    const client = await LiveClient.open(server, ann.token);
    const { rows, batches } = await client.subscribe("s", "SELECT id FROM app.notes", { batch_size: 10 });
    assert.deepEqual(batches.map((b) => [b.batch_control.batch_num, b.rows.length, b.batch_control.has_more, b.batch_control.status]),
        [[0, 10, true, "loading"], [1, 10, true, "loading_batch"], [2, 5, false, "ready"]]);
    assert.deepEqual(rows.map((r) => r.id), [...Array(25).keys()].map(String));
    const newest = await client.subscribe("newest", "SELECT id FROM app.notes", { last_rows: 3 });
    assert.deepEqual(newest.rows.map((r) => r.id), ["22", "23", "24"]);
    // Between two batches.
    client.send({ type: "subscribe", subscription: { id: "slow", sql: "SELECT id FROM app.notes", options: { batch_size: 20 } } });
    assert.equal((await client.next()).type, "subscription_ack");
    assert.equal((await client.next()).rows.length, 20);
    await ann.sql("DELETE FROM app.notes WHERE id = 24");
    const told = [await client.next(), await client.next()];
    assert.deepEqual(told.map((m) => m.subscription_id).sort(), ["newest", "s"]);
    client.send({ type: "next_batch", subscription_id: "slow" });
    const last = await client.next();
    assert.deepEqual(last.rows.map((r) => r.id), ["20", "21", "22", "23", "24"]);
    assert.equal((await client.next()).change_type, "delete");
    await client.close();
    await ann.sql("DELETE FROM app.notes");
});

for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`a client comes back after ${signal} and misses nothing`, async () => {
        const client = await LiveClient.open(server, ann.token);
        const { seq } = await client.subscribe("s", "SELECT * FROM app.notes WHERE room = 'r'");
        await ann.sql("INSERT INTO app.notes VALUES (1, 'r', 1, 'x')");
        const first = await client.next();
        await ann.sql("INSERT INTO app.notes VALUES (2, 'r', 2, 'y'), (3, 'q', 3, 'z')");
        await ann.sql("UPDATE app.notes SET n = 7 WHERE id = 1");
        await root.sql("FLUSH TABLE app.notes");
        await server.restart(signal);
        await client.ended;
        await ann.sql("DELETE FROM app.notes WHERE id = 2");
        const again = await LiveClient.open(server, ann.token);
        const resumed = await again.subscribe("s", "SELECT * FROM app.notes WHERE room = 'r'", { from: first.seq });
        assert.deepEqual(resumed.rows, []);
        const missed = [await again.next(), await again.next(), await again.next()];
        assert.deepEqual(missed.map((m) => [m.change_type, (m.rows ?? m.old_values)[0].id]), [["insert", "2"], ["update", "1"], ["delete", "2"]]);
        assert.ok(missed.every((m, i) => m.seq > (i ? missed[i - 1].seq : first.seq)));
        await again.silent();
        assert.ok(seq < first.seq);
        const unknown = await again.subscribe("t", "SELECT * FROM app.notes", { from: 1e12 });
        assert.equal(unknown.error.code, "RESYNC_REQUIRED");
        await again.close();
        await ann.sql("DELETE FROM app.notes");
    });
}

test("MessagePack, gzip and permessage-deflate say the same", async () => {
    const text = "long enough to be worth compressing ".repeat(40);
    for (const protocol of [{ serialization: "msgpack", compression: "none" }, { serialization: "msgpack", compression: "gzip" },
        { serialization: "json", compression: "gzip" }]) {
        for (const perMessageDeflate of [true, false]) {
            const client = await LiveClient.open(server, ann.token, { protocol, perMessageDeflate });
            assert.deepEqual(client.success.protocol, protocol);
            await client.subscribe("s", "SELECT body FROM app.notes");
            await ann.sql(`INSERT INTO app.notes VALUES (1, 'r', 1, '${text}')`);
            const change = await client.next();
            assert.equal(change.type, "change");
            assert.equal(change.rows[0].body, text);
            await ann.sql("DELETE FROM app.notes");
            await client.next();
            await client.close();
        }
    }
});

test("a new column is announced before its first row", async () => {
    const client = await LiveClient.open(server, root.token);
    await root.sql("CREATE SHARED TABLE app.shape (id INT PRIMARY KEY, a TEXT)");
    await client.subscribe("all", "SELECT * FROM app.shape");
    await client.subscribe("one", "SELECT a FROM app.shape");
    await root.sql("ALTER TABLE app.shape ADD COLUMN b INT DEFAULT 5");
    await root.sql("INSERT INTO app.shape VALUES (1, 'x', 2)");
    const messages = [await client.next(), await client.next(), await client.next()];
    const of_all = messages.filter((m) => m.subscription_id === "all");
    assert.equal(of_all[0].type, "schema_change");
    assert.deepEqual(of_all[0].changes, [{ change: "added", name: "b", value: 5 }]);
    assert.deepEqual(of_all[0].schema.map((c) => c.name), ["id", "a", "b"]);
    assert.deepEqual(of_all[1].rows, [{ id: 1, a: "x", b: 2, _seq: String(of_all[1].seq) }]);
    assert.equal(messages.find((m) => m.subscription_id === "one").type, "change");
    await root.sql("ALTER TABLE app.shape RENAME TO form");
    await root.sql("INSERT INTO app.form VALUES (2, 'y', 3)");
    assert.equal((await client.next()).type, "change");
    assert.equal((await client.next()).type, "change");
    await root.sql("ALTER TABLE app.form DROP COLUMN a");
    const ends = [await client.next(), await client.next()];
    assert.equal(ends.find((m) => m.subscription_id === "one").code, "COLUMN_NOT_FOUND");
    assert.deepEqual(ends.find((m) => m.subscription_id === "all").changes, [{ change: "removed", name: "a" }]);
    await client.close();
});

test("live queries are listed, explained and ended", async () => {
    const client = await LiveClient.open(server, ann.token);
    await client.subscribe("one", "SELECT id FROM app.notes WHERE room = 'x' AND n > 2");
    await client.subscribe("two", "SELECT id FROM app.notes WHERE n BETWEEN 1 AND 5", { last_rows: 5, on_slow: "coalesce" });
    await ann.sql("INSERT INTO app.notes VALUES (1, 'x', 3, NULL)");
    await client.next();
    await client.next();
    for (const table of ["live_queries", "live"]) {
        const { schema, rows } = await root.sql(`SELECT * FROM system.${table} ORDER BY query_id`);
        const at = (name) => schema.findIndex((c) => c.name === name);
        assert.deepEqual(rows.map((r) => [r[at("query_id")], r[at("user_id")], r[at("table_name")], r[at("state")], r[at("changes")], r[at("lag")]]),
            [["one", "ann", "notes", "live", "1", "0"], ["two", "ann", "notes", "live", "1", "0"]]);
        assert.deepEqual(JSON.parse(rows[1][at("options")]), { batch_size: 1000, last_rows: 5, on_slow: "coalesce" });
    }
    assert.equal((await ann.error("SELECT * FROM system.live_queries")).code, "PERMISSION_DENIED");
    assert.equal((await bob.sql("SHOW LIVE QUERIES")).rows.length, 0);
    const shown = (await ann.sql("SHOW LIVE QUERIES")).rows;
    assert.equal(shown.length, 2);
    const explained = Object.fromEntries((await ann.sql("EXPLAIN LIVE SELECT id FROM app.notes WHERE room = 'x' AND n > 2")).rows);
    assert.equal(explained.index, "equality on room");
    assert.equal(explained["rest of WHERE"], "tested for each hit");
    assert.equal(explained.subscribers, "1");
    assert.equal(explained["changes matched"], "1");
    const of_bob = Object.fromEntries((await bob.sql("EXPLAIN LIVE SELECT id FROM app.notes WHERE n BETWEEN 1 AND 5")).rows);
    assert.equal(of_bob.index, "range of n");
    assert.equal(of_bob.subscribers, "0");
    assert.equal((await bob.error(`KILL LIVE QUERY '${shown[0][0]}'`)).code, "LIVE_QUERY_NOT_FOUND");
    assert.equal((await root.error("KILL LIVE QUERY 'LQ-0'")).code, "LIVE_QUERY_NOT_FOUND");
    await root.sql(`KILL LIVE QUERY '${shown[0][0]}'`);
    const end = await client.next();
    assert.equal(end.code, "KILLED");
    assert.equal(end.subscription_id, "one");
    const stats = Object.fromEntries((await root.sql("SELECT * FROM system.stats")).rows.map((r) => [r[0], r[1]]));
    assert.equal(Number(stats.active_subscriptions), 1);
    assert.equal(Number(stats.websocket_sessions), 1);
    await client.close();
    await ann.sql("DELETE FROM app.notes");
});

test("how far a slow client lags is told in changes of its query, whatever others write", async () => {
    const client = await LiveClient.open(server, ann.token, { perMessageDeflate: false });
    await client.subscribe("s", "SELECT * FROM app.notes WHERE n = 7");
    client.ws._socket.pause();
    const room = "x".repeat(60000);
    const lag = async () => {
        const { schema, rows } = await root.sql("SELECT state, lag FROM system.live_queries WHERE query_id = 's'");
        return [rows[0][0], Number(rows[0][1])];
    };
    let written = 0;
    while ((await lag())[0] !== "behind") await ann.sql(`INSERT INTO app.notes (id, room, n) VALUES (${1000 + written++}, '${room}', 7)`);
    const [, before] = await lag();
    assert.ok(before >= 1 && before <= written, `${before} of ${written}`);
    for (let i = 0; i < 5; i++) await bob.sql(`INSERT INTO app.notes (id, room, n) VALUES (${i}, 'x', 7)`);
    for (let i = 0; i < 5; i++) await ann.sql(`INSERT INTO app.notes (id, room, n) VALUES (${i}, 'x', 8)`);
    for (let i = 0; i < 3; i++) await ann.sql(`INSERT INTO app.notes (id, room, n) VALUES (${2000 + i}, 'x', 7)`);
    assert.deepEqual(await lag(), ["behind", before + 3]);
    client.ws._socket.resume();
    for (let i = 0; i < written + 3; i++) assert.equal((await client.next()).change_type, "insert");
    assert.deepEqual(await lag(), ["live", 0]);
    await client.close();
    await ann.sql("DELETE FROM app.notes");
    await bob.sql("DELETE FROM app.notes");
});

test("first rows of many subscriptions at once come one after the other, however often batches are asked for", async () => {
    const client = await LiveClient.open(server, ann.token, { perMessageDeflate: false });
    const SUBS = 12, ROWS = 160;
    await ann.sql(`INSERT INTO app.notes (id, room, n) VALUES ${Array.from({ length: ROWS }, (_, i) => `(${i}, '${"r".repeat(3000)}', 1)`).join(", ")}`);
    const seen = new Map();
    let more = 0;
    const all = new Promise((resolve, reject) => {
        client.onMessage = (m) => {
            if (m.type === "error") reject(new Error(JSON.stringify(m)));
            if (m.type !== "initial_data_batch") return;
            seen.set(m.subscription_id, (seen.get(m.subscription_id) ?? 0) + m.rows.length);
            more += m.batch_control.has_more;
            if (m.batch_control.has_more) client.send({ type: "next_batch", subscription_id: m.subscription_id });
            else if (seen.size === SUBS && [...seen.values()].every((n) => n === ROWS)) resolve();
        };
        client.ended.then((end) => reject(new Error(`closed: ${end.code} ${end.reason}`)));
    });
    client.send({ subscriptions: Array.from({ length: SUBS }, (_, i) => ({ id: `s${i}`, sql: `SELECT * FROM app.notes WHERE n = ${1} OR n = ${100 + i}`,
        options: { batch_size: i % 2 === 0 ? 1000 : 10 } })) });
    await all;
    assert.ok(more >= 6 * 15);
    client.onMessage = undefined;
    client.inbox.length = 0;
    client.ended.catch(() => {});
    await client.close();
    await ann.sql("DELETE FROM app.notes");
});

test("after a role, a password or a user was taken away nothing more is told", async () => {
    await root.sql("CREATE SHARED TABLE app.internal (id INT PRIMARY KEY)");
    await root.sql("CREATE USER 'leo' WITH PASSWORD 'password of leo' ROLE service");
    const leo = await server.client("leo", "password of leo");
    const leaving = await LiveClient.open(server, leo.token);
    await leaving.subscribe("s", "SELECT * FROM app.internal");
    const left = await fetch(`${server.url}/v1/api/auth/logout`, { method: "POST", headers: { authorization: `Bearer ${leo.token}` } });
    assert.equal(left.status, 200);
    await root.sql("INSERT INTO app.internal VALUES (1000)");
    assert.equal((await leaving.next()).code, "TOKEN_REVOKED");
    for (const [i, how] of ["ALTER USER svc SET ROLE user", "ALTER USER svc SET PASSWORD 'another password'", "DROP USER svc"].entries()) {
        if (i !== 1) await root.sql(`${i === 0 ? "CREATE USER 'svc' WITH PASSWORD 'password of svc' ROLE service" : "ALTER USER svc SET ROLE service"}`);
        else await root.sql("ALTER USER svc SET ROLE service");
        const svc = await server.client("svc", i < 2 ? "password of svc" : "another password");
        const client = await LiveClient.open(server, svc.token);
        await client.subscribe("s", "SELECT * FROM app.internal");
        await root.sql(`INSERT INTO app.internal VALUES (${10 * i})`);
        assert.equal((await client.next()).type, "change");
        await root.sql(how);
        await root.sql(`INSERT INTO app.internal VALUES (${10 * i + 1})`);
        const end = await client.next();
        assert.equal(end.code, "TOKEN_REVOKED", JSON.stringify(end));
        await client.ended;
    }
    await root.sql("DROP TABLE app.internal");
});

test("what waits for a client outlives its last subscription", async () => {
    await root.sql("CREATE USER 'zoe' WITH PASSWORD 'password of zoe' ROLE user");
    const zoe = await server.client("zoe", "password of zoe");
    const query = "SELECT n, max(body) AS body FROM app.notes GROUP BY n";
    const first = await LiveClient.open(server, zoe.token);
    await zoe.sql("INSERT INTO app.notes (id, n) VALUES (0, 0)");
    const { seq } = await first.subscribe("s", query);
    await first.close();
    for (let i = 0; i < 60; i++) await zoe.sql(`INSERT INTO app.notes (id, n, body) VALUES (${i + 1}, ${i + 1}, '${"b".repeat(200000)}')`);
    const client = await LiveClient.open(server, zoe.token, { perMessageDeflate: false });
    client.ws._socket.pause();
    client.send({ type: "subscribe", subscription: { id: "s", sql: query, options: { from: seq } } });
    let shown;
    do [shown] = (await zoe.sql("SHOW LIVE QUERIES")).rows; while (shown?.[6] !== "delivering");
    await root.sql(`KILL LIVE QUERY '${shown[0]}'`); // the client has not read what was queued
    client.ws._socket.resume();
    let last;
    do last = await client.next(); while (last.type !== "error");
    assert.equal(last.code, "KILLED");
    await client.close();
    await root.sql("DROP USER zoe");
});

test("options of the message go before those of the text, and are checked as those are", async () => {
    const client = await LiveClient.open(server, ann.token);
    const text = "SUBSCRIBE TO app.notes OPTIONS (on_slow = 'close', last_rows = 5, batch_size = 7)";
    const options = async () => JSON.parse((await root.sql("SELECT options FROM system.live_queries WHERE query_id = 's'")).rows[0][0]);
    await client.subscribe("s", text);
    assert.deepEqual(await options(), { batch_size: 7, last_rows: 5, on_slow: "close" });
    client.send({ type: "unsubscribe", subscription_id: "s" });
    await client.subscribe("s", text, { on_slow: "pause", last_rows: 0, batch_size: 9, hash: true });
    assert.deepEqual(await options(), { batch_size: 9, on_slow: "pause" });
    for (const bad of [{ hash: "true" }, { hash: 1 }, { on_slow: "never" }, { batch_size: -1 }, { last_rows: "x" }, "text", [1]]) {
        const { error } = await client.subscribe("t", "SELECT * FROM app.notes", bad);
        assert.equal(error?.code, "INVALID_OPTION", JSON.stringify(bad));
    }
    const deep = `SELECT * FROM app.notes WHERE ${"(".repeat(5000)}n = 1${")".repeat(5000)}`;
    assert.match((await client.subscribe("t", deep)).error.message, /nests deeper/);
    client.send({ type: "subscribe", subscription: { id: 5, sql: "SELECT * FROM app.notes" } });
    assert.equal((await client.next()).code, "INVALID_SUBSCRIPTION_ID");
    await client.close();
});

test("SUBSCRIBE TO says what to send", async () => {
    const { rows, schema } = await ann.sql("SUBSCRIBE TO app.notes WHERE n > 3 OPTIONS (last_rows = 7)");
    const reply = Object.fromEntries(schema.map((c, i) => [c.name, rows[0][i]]));
    assert.equal(reply.status, "subscription_required");
    const client = await LiveClient.open(server, ann.token);
    client.send({ type: "subscribe", subscription: JSON.parse(reply.subscription) });
    assert.equal((await client.next()).type, "subscription_ack");
    assert.equal((await ann.error("SUBSCRIBE TO app.nothing")).code, "TABLE_NOT_FOUND");
    assert.equal((await ann.error("SUBSCRIBE TO app.secrets")).code, "PERMISSION_DENIED");
    await client.close();
});

test("groups, first rows, and the hash of the state", async () => {
    const cell = (v) => {
        const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
        if (v === null) return Buffer.from([0]);
        if (typeof v === "boolean") return Buffer.from([v ? 2 : 1]);
        if (typeof v === "number") { const b = Buffer.alloc(9); b[0] = 3; b.writeDoubleLE(v, 1); return b; }
        const text = Buffer.from(v);
        return Buffer.concat([Buffer.from([4]), u32(text.length), text]);
    };
    const hashOf = (rows, names) => {
        let sum = 0n;
        for (const row of rows) {
            const digest = createHash("sha256").update(Buffer.concat(names.map((n) => cell(row[n])))).digest();
            for (let i = 0; i < 16; i++) sum += BigInt(digest[i]) << BigInt(8 * i);
        }
        return (sum % (1n << 128n)).toString(16).padStart(32, "0");
    };
    const client = await LiveClient.open(server, ann.token);
    for (let i = 0; i < 6; i++) await ann.sql(`INSERT INTO app.notes VALUES (${i}, 'r${i % 2}', ${i}, 'b')`);
    const groups = await client.subscribe("g", "SELECT room, count(*) AS c, sum(n) AS s, avg(n) AS a, min(n) AS lo, max(n) AS hi FROM app.notes GROUP BY room", { hash: true });
    const plain = ({ _seq, ...row }) => row;
    assert.deepEqual(groups.rows.map(plain).sort((x, y) => x.room.localeCompare(y.room)),
        [{ room: "r0", c: "3", s: "6", a: 2, lo: 0, hi: 4 }, { room: "r1", c: "3", s: "9", a: 3, lo: 1, hi: 5 }]);
    const names = groups.ack.schema.map((c) => c.name);
    assert.equal(groups.batches[0].state_hash, hashOf(groups.rows, names));
    const top = await client.subscribe("t", "SELECT id, n FROM app.notes ORDER BY n DESC, id LIMIT 2", { hash: true });
    assert.deepEqual(top.rows.map((r) => r.id), ["5", "4"]);

    await ann.sql("DELETE FROM app.notes WHERE id = 5");
    const told = [await client.next(), await client.next(), await client.next()];
    const [group] = told.filter((m) => m.subscription_id === "g");
    assert.deepEqual(plain(group.rows[0]), { room: "r1", c: "2", s: "4", a: 2, lo: 1, hi: 3 });
    assert.equal(group.state_hash, hashOf([groups.rows.find((r) => r.room === "r0"), group.rows[0]], names));
    const ranks = told.filter((m) => m.subscription_id === "t");
    assert.deepEqual(ranks.map((m) => [m.change_type, (m.rows ?? m.old_values)[0].id]).sort(), [["delete", "5"], ["insert", "3"]]);
    assert.equal(ranks[0].state_hash, undefined);
    assert.equal(ranks[1].state_hash, hashOf([{ id: "4", n: 4 }, { id: "3", n: 3 }], ["id", "n"]));

    await client.close();
    await ann.sql("DELETE FROM app.notes WHERE room = 'r0'");
    await server.restart("SIGKILL");
    const again = await LiveClient.open(server, ann.token);
    const resumed = await again.subscribe("g", "SELECT room, count(*) AS c, sum(n) AS s, avg(n) AS a, min(n) AS lo, max(n) AS hi FROM app.notes GROUP BY room", { from: group.seq, hash: true });
    assert.deepEqual(resumed.rows, []);
    const gone = await again.next();
    assert.equal(gone.change_type, "delete");
    assert.equal(gone.old_values[0].room, "r0");
    assert.equal(gone.state_hash, hashOf([group.rows[0]], names));
    await again.subscribe("t", "SELECT id, n FROM app.notes ORDER BY n DESC, id LIMIT 2", { from: ranks[1].seq });
    // Row 3 as it is: who was cut off in the middle of a commit may have been told that it went.
    const left = [await again.next(), await again.next(), await again.next()];
    assert.deepEqual(left.map((m) => [m.change_type, (m.rows ?? m.old_values)[0].id]).sort(), [["delete", "4"], ["insert", "1"], ["update", "3"]]);
    assert.equal((await again.subscribe("x", "SELECT count(*) AS c FROM app.notes", { hash: true, last_rows: 1 })).error.code, "INVALID_OPTION");
    await again.close();
    await ann.sql("DELETE FROM app.notes");
});
