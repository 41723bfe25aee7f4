// One change to many sockets: everybody who stays gets every change once and in order, also when others are cut off
// in the middle, or do not read; through io_uring and without it.
import { test } from "node:test";
import assert from "node:assert/strict";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";
import { LiveClient } from "./live_client.mjs";

const CLIENTS = 120, COMMITS = 60;
const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);
console.log(`KAL_TEST_SEED=${seed}`);
const random = seeded(seed);
const below = (n) => Math.floor(random() * n);

// What becomes of a client while changes come.
const FATES = ["stays", "stays", "stays", "terminates", "closes", "resets", "sleeps"];

async function subscriber(server, token, number) {
    const client = await LiveClient.open(server, token, { perMessageDeflate: number % 4 === 0 });
    await client.subscribe("s", "SELECT id, text FROM app.news");
    return { client, fate: FATES[below(FATES.length)], at: below(COMMITS) };
}

function meetFate({ client, fate }) {
    if (fate === "terminates") client.ws.terminate();
    else if (fate === "closes") client.ws.close();
    else if (fate === "resets") client.ws._socket.resetAndDestroy();
    else if (fate === "sleeps") client.ws._socket.pause();
}

for (const ring of ["1", "0"]) {
    test(`with --io-uring ${ring}`, async () => {
        const server = await new Server({ args: ["--io-uring", ring, "--ws-queue-kb", "64"] }).start();
        const root = await server.client();
        await root.sql("CREATE NAMESPACE app");
        await root.sql("CREATE SHARED TABLE app.news (id INT PRIMARY KEY, text TEXT)");
        const all = [];
        for (let i = 0; i < CLIENTS; i++) all.push(await subscriber(server, root.token, i));
        let rows = 0;
        for (let commit = 0; commit < COMMITS; commit++) {
            const values = Array.from({ length: 1 + below(5) }, () => `(${rows++}, '${"x".repeat(below(3) === 0 ? 9000 : 50)}')`);
            const written = root.sql(`INSERT INTO app.news VALUES ${values.join(", ")}`);
            all.filter((one) => one.at === commit).forEach(meetFate);
            await written;
        }
        for (const { client, fate } of all) {
            if (fate === "sleeps") client.ws._socket.resume();
            if (fate !== "stays" && fate !== "sleeps") continue;
            for (let id = 0; id < rows; id++) {
                const m = await client.next();
                assert.deepEqual([m.type, m.change_type, m.rows[0].id], ["change", "insert", id], `${fate}, seed ${seed}`);
            }
            await client.silent(0);
        }
        const of_server = async (name) => Number((await root.sql("SELECT * FROM system.stats")).rows.find((r) => r[0] === name)[1]);
        const left = all.filter(({ fate }) => fate === "stays" || fate === "sleeps");
        for (let i = 0; await of_server("active_subscriptions") !== left.length && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 50));
        assert.equal(await of_server("active_subscriptions"), left.length);
        for (const { client } of left) await client.close();
        await server.close();
    });
}
