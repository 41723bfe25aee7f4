// The flags of a reply's schema (pk, nn, uq) depend on the statement and the table, not on the way
// that the statement takes: few rows are read here, many by DuckDB.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    for (const table of ["few", "many"]) await root.sql(`CREATE SHARED TABLE app.${table} (id INT PRIMARY KEY, name TEXT NOT NULL, note TEXT)`);
    await root.sql("INSERT INTO app.few (id, name) VALUES (1, 'one')");
    await root.sql("INSERT INTO app.many (id, name) SELECT CAST(range AS INTEGER), 'x' FROM range(3000)");
});
after(() => server.close());

const flags = async (sql) => Object.fromEntries((await root.sql(sql)).schema.map(({ name, flags }) => [name, flags]));
const ID = ["pk", "nn", "uq"];
const NAME = ["nn"];
const CASES = [
    ["SELECT * FROM app.T", { id: ID, name: NAME, note: undefined }],
    ["SELECT t.*, t.id AS again FROM app.T AS t", { id: ID, name: NAME, note: undefined, again: ID }],
    ["SELECT note, Name, \"id\" AS key FROM app.T ORDER BY name, id", { note: undefined, name: NAME, key: ID }],
    ["SELECT id, upper(name) AS big, id + 1 AS next FROM app.T ORDER BY note", { id: ID, big: undefined, next: undefined }],
    ["SELECT T.id, app.T.name FROM app.T WHERE length(name) > 0 AND regexp_matches(name, '.')", { id: ID, name: NAME }],
    // Not of one table as it is: none.
    ["SELECT name, count(*) AS n FROM app.T GROUP BY name", { name: undefined, n: undefined }],
    ["SELECT a.id, b.name FROM app.T AS a LEFT JOIN app.few AS b ON a.id = b.id", { id: undefined, name: undefined }],
    ["SELECT id FROM (SELECT id FROM app.T) AS s", { id: undefined }],
];

test("few rows and many have the same", async (t) => {
    for (const [sql, expected] of CASES)
        await t.test(sql, async () => {
            for (const table of ["few", "many"]) assert.deepEqual(await flags(sql.replace(/\bT\b/g, table)), expected, table);
        });
});
