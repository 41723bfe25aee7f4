// Nobody can keep the server from the others: queries of clients that left end, stopping does not
// wait for queries, one user's queries do not hold up what others ask. No statement here would end
// by itself while a test waits: the time of one statement is ten minutes.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import { Server } from "./server.mjs";

const NEVER_ENDS = "SELECT count(*) AS n FROM generate_series(1, 999999) AS a, generate_series(1, 999999) AS b WHERE a.generate_series + b.generate_series = -1";
const NEEDS_DUCKDB = "SELECT count(*) AS n FROM generate_series(1, 10) AS a";
const ARGS = ["--timeout-ms", "600000", "--drain-timeout-ms", "500"];
const WAITS = { timeout: 60000 }; // for an answer that would not come: not a measure
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const server = new Server({ args: ARGS });
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE SHARED TABLE app.things (id INT PRIMARY KEY, name TEXT)");
});
after(() => server.close("SIGKILL"));

// A statement on a connection of its own, sent and not waited for. closed: it has hung up.
async function send(client, sql) {
    const socket = net.connect(client.server.port, "127.0.0.1");
    await once(socket, "connect");
    const body = JSON.stringify({ sql });
    socket.on("error", () => {});
    socket.reply = "";
    socket.on("data", (part) => (socket.reply += part));
    await new Promise((resolve) => socket.write(`POST /v1/api/sql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${client.token}\r\n` +
        `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, resolve));
    return socket;
}

test("the queries of a client that left end, those that wait too", WAITS, async () => {
    const sockets = [];
    for (let i = 0; i < 6; i++) sockets.push(await send(root, NEVER_ENDS));
    await sleep(300);
    for (const socket of sockets) socket.destroy();
    assert.deepEqual(await root.rows(NEEDS_DUCKDB), [["10"]]);
});

test("the writes of a client that left are carried out", WAITS, async () => {
    (await send(root, "INSERT INTO app.things (id, name) VALUES (1, 'one')")).end();
    (await send(root, "INSERT INTO app.things (id, name) VALUES (2, 'two'); INSERT INTO app.things (id, name) VALUES (3, 'three')")).end();
    while ((await root.rows("SELECT id FROM app.things WHERE id <= 3")).length < 3) await sleep(20);
});

test("stopping ends the queries that run, with an answer", WAITS, async (t) => {
    const other = await new Server({ args: ARGS }).start();
    t.after(() => other.close("SIGKILL"));
    const admin = await other.client();
    const running = await send(admin, NEVER_ENDS);
    const waiting = await send(admin, NEVER_ENDS);
    await sleep(300);
    await other.close(); // by SIGTERM, with 0
    for (const socket of [running, waiting]) {
        if (!socket.closed) await once(socket, "close");
        assert.match(socket.reply, /^HTTP\/1\.1 499 .*"code":"CANCELLED"/s);
    }
});

test("one user's queries do not hold up others, nor what needs no query engine", WAITS, async () => {
    const greedy = await root.addUser("greedy", "dba");
    const other = await root.addUser("other", "dba");
    const sockets = [];
    for (let i = 0; i < 40; i++) sockets.push(await send(greedy, NEVER_ENDS));
    await sleep(300);
    for (const client of [greedy, other]) {
        await client.sql("SHOW TABLES");
        await client.sql("DESCRIBE TABLE app.things");
        await client.sql(`CREATE NAMESPACE of_${client === other ? "other" : "greedy"}`);
        await client.sql("COMMENT ON TABLE app.things IS 'busy'").catch((error) => assert.equal(error.code, "UNSUPPORTED"));
        await client.sql("BEGIN; INSERT INTO app.things (id, name) VALUES (50, 'a'); DELETE FROM app.things WHERE id = 50; COMMIT");
        await client.sql("UPDATE app.things SET name = 'c' WHERE name = 'b'");
    }
    // Others' queries have their turn.
    assert.deepEqual(await other.rows(NEEDS_DUCKDB), [["10"]]);
    assert.deepEqual(await other.rows("SELECT 1 AS one"), [[1]]);
    // A transaction that comes to need DuckDB goes on where it may use it, and is whole.
    assert.deepEqual(await other.rows(`BEGIN; INSERT INTO app.things (id, name) VALUES (60, 'a');
        INSERT INTO app.things (id, name) SELECT 61, upper(name) FROM app.things WHERE id = 60;
        UPDATE app.things SET name = md5(name) WHERE id = 60; COMMIT;
        SELECT id, length(name) AS n FROM app.things WHERE id >= 60 ORDER BY id`), [[60, "32"], [61, "1"]]);
    for (const socket of sockets) assert.equal(socket.reply, "");
    for (const socket of sockets) socket.destroy();
    assert.deepEqual(await greedy.rows(NEEDS_DUCKDB), [["10"]]);
});

test("a body that trickles does not keep its connection; one that comes in pieces is taken", WAITS, async (t) => {
    const other = await new Server({ args: ["--body-timeout-ms", "1500"] }).start();
    t.after(() => other.close("SIGKILL"));
    const admin = await other.client();
    const head = `POST /v1/api/sql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${admin.token}\r\ncontent-type: application/json\r\n`;
    const open = async (text) => {
        const socket = net.connect(other.port, "127.0.0.1");
        await once(socket, "connect");
        socket.on("error", () => {});
        socket.reply = "";
        socket.on("data", (part) => (socket.reply += part));
        socket.write(text);
        return socket;
    };
    for (const [length, part] of [["content-length: 1000000", "x"], ["transfer-encoding: chunked", "1\r\nx\r\n"]]) {
        const socket = await open(`${head}${length}\r\n\r\n`);
        while (!socket.destroyed) {
            socket.write(part);
            await sleep(100);
        }
        assert.equal(socket.reply, "");
    }
    const body = JSON.stringify({ sql: `SELECT length('${"x".repeat(160000)}') AS n` });
    const socket = await open(`${head}content-length: ${body.length}\r\n\r\n`);
    for (let i = 0; i < 40; i++) {
        socket.write(body.slice(Math.ceil(body.length / 40) * i, Math.ceil(body.length / 40) * (i + 1)));
        await sleep(50);
    }
    while (!socket.reply.includes("}]")) await sleep(20);
    assert.match(socket.reply, /^HTTP\/1\.1 200 .*"160000"/s);
    socket.destroy();
});
