// What the manifest says of a segment's columns keeps files from being opened: they are moved away, and statements whose conditions
// exclude them work, while others name the object that is missing.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { Server } from "./server.mjs";

const server = new Server({ args: ["--flush-interval-ms", "86400000"] });
const storage = join(server.dir, "data", "storage");
let root;

before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
});
after(() => server.close());

const segments = async (table) => (await root.rows("SELECT path FROM system.segments WHERE table_name = $1 ORDER BY segment_id", [table])).map(([path]) => path);
const manifest = async (table) => JSON.parse((await root.rows("SHOW MANIFEST")).find((row) => row[2] === table)[9]);

// Runs `work` while the file is away. The server starts anew before it, so that nothing is open.
async function without(path, work) {
    await server.stop();
    renameSync(join(storage, path), join(storage, path + ".away"));
    await server.start();
    root = await server.client();
    await work(path.split("/").pop());
    await server.stop();
    renameSync(join(storage, path + ".away"), join(storage, path));
    await server.start();
    root = await server.client();
}

async function fails(client, sql, object, params) {
    const error = await client.error(sql, params);
    assert.ok(error.message.includes(object), `${sql}: ${error.code}: ${error.message}`);
}

// Segment k of four: v from 100 k to 100 k + 99 in an order that is not the key's; words w<k>…; nothing NULL but in the last.
async function make(type, table) {
    await root.sql(`CREATE ${type} TABLE app.${table} (id BIGINT PRIMARY KEY, v INT, w TEXT, d DOUBLE, n DATE)`);
    for (let k = 0; k < 4; k++) {
        await root.sql(`INSERT INTO app.${table} SELECT i * 4 + ${k}, ${100 * k} + i * 37 % 100, 'w${k} ' || repeat('long ', 20) || i, ${k} + i / 100.0, ${k === 3 ? "CASE WHEN i % 2 = 0 THEN DATE '2024-01-01' END" : `DATE '2024-01-01' + ${k}`} FROM range(0, 100) r(i)`);
        await root.sql(`FLUSH TABLE app.${table}`);
    }
    await root.sql(`INSERT INTO app.${table} VALUES (1000, 150, 'hot', 0.5, NULL)`);
    const paths = await segments(table);
    assert.equal(paths.length, 4);
    return paths;
}

for (const type of ["SHARED", "USER"]) {
    test(`columns of a ${type} table`, async () => {
        const table = type.toLowerCase() + "_t";
        const t = `app.${table}`;
        const [, second] = await make(type, table);
        await without(second, async (object) => {
            const excluding = [
                ["v < 100", 100], ["v >= 200", 200], ["v = 250", 1], ["250 < v", 149], ["v BETWEEN 300 AND 1000", 100],
                ["v IN (1, 2, 350)", 3], ["w >= 'w2'", 200], ["w < 'w1'", 101], ["d < 1.0", 101], ["d > 2", 199], ["n = DATE '2024-01-03'", 100],
                ["n IS NULL", 51], ["v > 0 AND d < 1 AND w <> 'x'", 100],
            ];
            for (const [where, count] of excluding) {
                assert.deepEqual(await root.rows(`SELECT count(*), count(id) FROM ${t} WHERE ${where}`), [[`${count}`, `${count}`]], where);
                assert.equal((await root.rows(`SELECT * FROM ${t} WHERE ${where}`)).length, count, where);
            }
            assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE v > $1 AND v <= $2`, [199, 210]), [["11"]]);
            for (const where of ["v = 150", "v <= 100", "v > 198", "w < 'w2'", "w > 'w1'", "d = 1.5", "n IS NOT NULL", "v < 100 OR v > 200", "v IN (1, 101)", "v + 1 = 1", "NOT v > 150"])
                await fails(root, `SELECT count(*), max(w) FROM ${t} WHERE ${where}`, object);
            await fails(root, `SELECT max(w) FROM ${t} WHERE v > $1 AND v <= $2`, object, [190, 210]);

            assert.equal((await root.sql(`UPDATE ${t} SET d = d + 10 WHERE v >= 390`)).row_count ?? 10, 10);
            await root.sql(`DELETE FROM ${t} WHERE v < 10 AND w > 'w0'`);
            assert.deepEqual(await root.rows(`SELECT count(*), sum(v) FROM ${t} WHERE v < 100`), [["90", `${(10 + 99) * 45}`]]);
            assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE d > 13`), [["10"]]);
            await fails(root, `UPDATE ${t} SET d = 0 WHERE v = 150`, object);
            await fails(root, `DELETE FROM ${t} WHERE w > 'w1'`, object);

            // Other names and types of the columns; one that the segments do not have.
            await root.sql(`ALTER TABLE ${t} RENAME COLUMN v TO value`);
            await root.sql(`ALTER TABLE ${t} MODIFY COLUMN value BIGINT`);
            await root.sql(`ALTER TABLE ${t} ADD COLUMN v INT DEFAULT 150`);
            await root.sql(`ALTER TABLE ${t} MODIFY COLUMN n TIMESTAMP`);
            assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE value > 5000000000`), [["0"]]);
            assert.deepEqual(await root.rows(`SELECT count(*), sum(v) FROM ${t} WHERE value < 100`), [["90", "13500"]]);
            assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE n >= TIMESTAMP '2024-01-02 00:00:01'`), [["100"]]);
            await fails(root, `SELECT max(w) FROM ${t} WHERE value = 150`, object);
            await fails(root, `SELECT max(w) FROM ${t} WHERE v = 150`, object);
            await fails(root, `SELECT max(w) FROM ${t} WHERE n <= TIMESTAMP '2024-01-02 00:00:01'`, object);
        });
        assert.deepEqual(await root.rows(`SELECT count(*), count(DISTINCT id) FROM ${t}`), [["391", "391"]]);
        // Compacted segments are described, too.
        await root.sql(`STORAGE COMPACT TABLE ${t}`);
        for (const path of await segments(table)) {
            await without(path, async (object) => {
                assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE value > 1000`), [["0"]]);
                assert.deepEqual(await root.rows(`SELECT count(*) FROM ${t} WHERE v < 150`), [["0"]]);
                await fails(root, `SELECT max(w) FROM ${t} WHERE value < 1000`, object);
            });
        }
    });
}

// Both segments have the same bounds of everything; only what is in between tells them apart.
test("a column of a composite key whose values repeat", async () => {
    await root.sql("CREATE SHARED TABLE app.chat (room TEXT, sent BIGINT, text TEXT, PRIMARY KEY (room, sent))");
    for (const parity of [0, 1]) {
        await root.sql(`INSERT INTO app.chat SELECT 'room ' || (1000 + 2 * (i % 200) + ${parity}), i, 'x' FROM range(0, 2000) r(i)`);
        await root.sql(`INSERT INTO app.chat VALUES ('a', ${parity}, 'x'), ('z', ${parity}, 'x'), ('z', ${5000 + parity}, 'x')`);
        await root.sql("FLUSH TABLE app.chat");
    }
    const [first, second] = await segments("chat");
    const stats = (await manifest("chat")).segments.map((s) => s.column_stats["1"]);
    for (const s of stats) assert.ok(s.min === "a" && s.max === "z" && s.null_count === 0 && s.filter_bytes > 200, JSON.stringify(s));
    for (const [path, there] of [[first, 1], [second, 0]]) {
        await without(path, async (object) => {
            let opened = 0;
            for (let i = 0; i < 50; i++) {
                const room = `room ${1000 + 4 * i + there}`;
                const reply = await root.sql("SELECT count(*), max(text) FROM app.chat WHERE room = $1", [room]).catch(() => null);
                if (reply) assert.deepEqual(reply.rows, [["10", "x"]]);
                else opened++;
                await fails(root, "SELECT count(*), max(text) FROM app.chat WHERE room = $1", object, [`room ${1000 + 4 * i + 1 - there}`]);
                await fails(root, "SELECT count(*), max(text) FROM app.chat WHERE room IN ($1, 'b')", object, [`room ${1000 + 4 * i + 1 - there}`]);
            }
            assert.ok(opened <= 5, `${opened} of 50 rooms let a file be opened that has none of their rows`);
        });
    }
});

test("users whose rows are in other segments", async () => {
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, text TEXT)");
    for (let i = 0; i < 12; i++) await root.sql(`CREATE USER 'u${i}' WITH PASSWORD 'password of a user' ROLE user`);
    const client = (i) => server.client(`u${i}`, "password of a user");
    for (const users of [[0, 2, 4, 6, 8, 11], [0, 1, 3, 5, 7, 9, 11]]) { // the same first and last
        for (const i of users) await (await client(i)).sql(`INSERT INTO app.notes SELECT i, 'of u${i}' FROM range(${100 * users.length}, ${100 * users.length + 10}) r(i)`);
        await root.sql("FLUSH TABLE app.notes");
    }
    const paths = await segments("notes");
    assert.equal(paths.length, 2);
    const shown = JSON.stringify(await manifest("notes"));
    assert.ok(!shown.includes("of u"), "SHOW MANIFEST shows what is in rows of users");
    await without(paths[1], async (object) => {
        for (const i of [2, 4, 6, 8]) assert.deepEqual(await (await client(i)).rows("SELECT count(*), min(text) FROM app.notes"), [["10", `of u${i}`]]);
        for (const i of [0, 1, 5, 11]) await fails(await client(i), "SELECT count(*), min(text) FROM app.notes", object);
    });
});
