// The same rows after SIGTERM and after kill -9 in the middle of inserts: every acknowledged row is
// there, no half statement.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const WRITERS = 6;
const ROWS_PER_STATEMENT = 5;
const ROUNDS = 4;

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE USER TABLE app.log (id BIGINT PRIMARY KEY, batch BIGINT, writer INT)");
    await root.sql("CREATE SHARED TABLE app.pairs (id INT PRIMARY KEY, n INT)");
    await root.sql("INSERT INTO app.pairs VALUES (1, 0), (2, 0)");
});
after(() => server.close());

let next = 1;
const acknowledged = new Set(); // batches
let increments = 0; // of app.pairs, acknowledged

async function write(client, writer, state) {
    while (!state.over) {
        const batch = next++;
        const values = Array.from({ length: ROWS_PER_STATEMENT }, (_, i) => `(${batch * 100 + i}, ${batch}, ${writer})`);
        try {
            if (writer === 0) {
                await client.sql("BEGIN; UPDATE app.pairs SET n = n + 1 WHERE id = 1; UPDATE app.pairs SET n = n + 1 WHERE id = 2; COMMIT");
                increments++;
            } else {
                await client.sql(`INSERT INTO app.log VALUES ${values.join(", ")}`);
                acknowledged.add(batch);
            }
        } catch (error) {
            if (!state.over) throw error;
        }
    }
}

async function check() {
    const rows = await root.rows("SELECT batch, count(*) AS n FROM app.log GROUP BY batch ORDER BY batch");
    const found = new Set(rows.map(([batch]) => Number(batch)));
    for (const [batch, n] of rows) assert.equal(Number(n), ROWS_PER_STATEMENT, `batch ${batch} is half there`);
    for (const batch of acknowledged) assert.ok(found.has(batch), `acknowledged batch ${batch} is lost`);
    const [[one], [two]] = await root.rows("SELECT n FROM app.pairs ORDER BY id");
    assert.equal(one, two, "half a transaction");
    assert.ok(one >= increments && one <= increments + ROUNDS, `${one} increments, ${increments} acknowledged`);
}

for (let round = 1; round <= ROUNDS; round++) {
    const signal = round === 2 ? "SIGTERM" : "SIGKILL";
    test(`round ${round}: ${signal} while ${WRITERS} clients write`, async () => {
        const state = { over: false };
        const writers = Array.from({ length: WRITERS }, (_, i) => write(root, i, state));
        await new Promise((resolve) => setTimeout(resolve, 700 + 200 * round));
        state.over = true;
        await server.restart(signal);
        await Promise.allSettled(writers);
        root = await server.client();
        await check();
        assert.ok(acknowledged.size > 10 * round, `${acknowledged.size} statements were acknowledged`);
    });
}
