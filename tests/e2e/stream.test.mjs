// STREAM tables through the real server: rows go away by time, nobody sees another's, and what was
// acknowledged is there after kill -9, also when it comes in the middle of eviction.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const server = new Server({ args: ["--eviction-interval-ms", "100"] });
let root;
let ann;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE USER 'ann' WITH PASSWORD 'a long enough secret' ROLE user");
    ann = await server.client("ann", "a long enough secret");
});
after(() => server.close());

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function restart(signal) {
    await server.restart(signal);
    root = await server.client();
    ann = await server.client("ann", "a long enough secret");
}

async function stat(table, name) {
    const rows = await root.rows(`SHOW STATS FOR TABLE ${table}`);
    return Number(rows.find(([statistic]) => statistic === name)[1]);
}

// Waits for what must come; the test's own time-out ends it when it does not.
async function until(condition) {
    while (!(await condition())) await sleep(50);
}

test("a stream takes rows, shows each user his own, and forgets them", async () => {
    const created = await root.sql("CREATE STREAM TABLE app.events (kind TEXT, n INT) WITH (TTL_SECONDS = 3, WATERMARK_DELAY_SECONDS = 0)");
    assert.equal(created.message, "Stream table created successfully");
    await ann.sql("INSERT INTO app.events VALUES ('click', 1), ('key', 2)");
    await root.sql("INSERT INTO app.events VALUES ('root', 3)");
    assert.deepEqual(await ann.rows("SELECT kind, n FROM app.events ORDER BY _seq"), [["click", 1], ["key", 2]]);
    assert.deepEqual(await root.rows("SELECT kind FROM app.events"), [["root"]]);
    await assert.rejects(ann.sql("UPDATE app.events SET n = 4"), { code: "UNSUPPORTED", message: /append-only/ });
    await until(async () => (await ann.rows("SELECT * FROM app.events")).length === 0);
    await until(async () => (await stat("app.events", "buffered_rows")) === 0);
    await restart("SIGTERM");
    assert.equal(await stat("app.events", "buffered_rows"), 0);
});

for (const round of [1, 2, 3]) {
    test(`round ${round}: kill -9 while rows come and the oldest are evicted`, async () => {
        const table = `app.log${round}`;
        await root.sql(`CREATE STREAM TABLE ${table} (n BIGINT) WITH (TTL_SECONDS = 3600, EVICTION_STRATEGY = 'size_based', MAX_STREAM_SIZE_BYTES = 20000)`);
        let next = 1;
        let acknowledged = 0;
        let over = false;
        const writer = (async () => {
            while (!over) {
                const values = Array.from({ length: 50 }, () => `(${next++})`);
                try {
                    await ann.sql(`INSERT INTO ${table} VALUES ${values.join(", ")}`);
                    acknowledged = next - 1;
                } catch (error) {
                    if (!over) throw error;
                }
            }
        })();
        await until(async () => (await stat(table, "buffered_rows")) < acknowledged && acknowledged > 1000);
        await sleep(40 * round);
        over = true;
        await restart("SIGKILL");
        await Promise.allSettled([writer]);
        await ann.sql(`INSERT INTO ${table} VALUES (0)`);
        await until(async () => (await stat(table, "storage_bytes")) <= 20000);
        // What is left is the newest part, without a gap, and the last acknowledged row is in it.
        const rows = (await ann.rows(`SELECT n FROM ${table} WHERE n > 0 ORDER BY _seq`)).map(([n]) => Number(n));
        assert.ok(rows.length > 100, `${rows.length} rows are left`);
        rows.forEach((n, i) => assert.equal(n, rows[0] + i));
        assert.ok(rows.at(-1) >= acknowledged, `row ${acknowledged} is lost: the last one is ${rows.at(-1)}`);
        assert.equal(await stat(table, "active_streams"), 1);
    });
}
