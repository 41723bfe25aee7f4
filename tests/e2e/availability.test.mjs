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

test("stopping ends the queries that run, with an answer", WAITS, async () => {
    const other = await new Server({ args: ARGS }).start();
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
