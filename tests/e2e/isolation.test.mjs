// Two users, one USER table: neither can see, count, update or delete the other's rows, nor meet an
// error that reveals them. The same statements run as the only user of a table of the same content,
// and every answer must be the same.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const server = new Server();
let root, alice, bob;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    for (const table of ["shared_by_all", "alone"])
        await root.sql(`CREATE USER TABLE app.${table} (id INT PRIMARY KEY, secret TEXT, n INT)`);
    alice = await root.addUser("alice");
    bob = await root.addUser("bob");
    for (let id = 1; id <= 300; id++)
        await alice.sql("INSERT INTO app.shared_by_all VALUES ($1, $2, $3)", [id, `alice ${id}`, id]);
    for (const table of ["shared_by_all", "alone"])
        await bob.sql(`INSERT INTO app.${table} VALUES (1, 'bob 1', 10), (1000, 'bob 1000', 20)`);
});
after(() => server.close());

const STATEMENTS = [
    "SELECT * FROM app.T ORDER BY id",
    "SELECT * FROM app.T WHERE id = 1",
    "SELECT * FROM app.T WHERE id = 2",
    "SELECT * FROM app.T WHERE id BETWEEN 2 AND 50",
    "SELECT count(*) FROM app.T",
    "SELECT count(*), min(id), max(id), sum(n) FROM app.T WHERE secret LIKE 'a%' OR id < 2000",
    "SELECT secret FROM app.T UNION ALL SELECT secret FROM app.T ORDER BY 1",
    "SELECT a.id, b.secret FROM app.T a JOIN app.T b ON a.id <> b.id ORDER BY 1, 2",
    "WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, (SELECT count(*) FROM app.T WHERE id > n) FROM r ORDER BY n",
    "SELECT (SELECT max(secret) FROM app.T)",
    "SELECT exists(SELECT 1 FROM app.T WHERE secret LIKE 'alice%')",
    "SELECT * FROM app.T WHERE 1 / (n - 10) > 0 ORDER BY id",
    "SELECT _seq IS NOT NULL, _deleted FROM app.T WHERE id = 1",
    "UPDATE app.T SET secret = 'changed' WHERE id = 2",
    "UPDATE app.T SET n = n + 1 WHERE secret LIKE 'alice%'",
    "UPDATE app.T SET n = n + 1 WHERE id > 0",
    "DELETE FROM app.T WHERE id = 3",
    "DELETE FROM app.T WHERE length(secret) > 6 AND secret LIKE 'alice%'",
    "INSERT INTO app.T VALUES (4, 'mine', 1)",
    "INSERT INTO app.T VALUES (4, 'again', 1)",
    "INSERT INTO app.T VALUES (5, 'x', 1) ON CONFLICT DO NOTHING",
    "INSERT INTO app.T VALUES (6, 'x', 1) ON CONFLICT (id) DO UPDATE SET n = n + 100 RETURNING *",
    "INSERT INTO app.T SELECT id + 10000, secret, n FROM app.T",
    "UPDATE app.T SET id = 7 WHERE id = 4",
    "SELECT id, secret, n FROM app.T ORDER BY id",
    "DELETE FROM app.T",
    "SELECT count(*) FROM app.T",
];

async function outcome(client, statement, table) {
    const text = statement.replaceAll("app.T", `app.${table}`);
    try {
        const { schema, rows, row_count, message } = await client.sql(text);
        return JSON.parse(JSON.stringify({ schema, rows, row_count, message }).replaceAll(table, "T"));
    } catch (error) {
        return JSON.parse(JSON.stringify({ ...error, details: undefined, position: undefined, message: error.message })
            .replaceAll(table, "T"));
    }
}

test("bob's every answer is as if alice were not there", async () => {
    const before = await alice.rows("SELECT * FROM app.shared_by_all ORDER BY id");
    for (const statement of STATEMENTS)
        assert.deepEqual(await outcome(bob, statement, "shared_by_all"), await outcome(bob, statement, "alone"), statement);
    assert.deepEqual(await alice.rows("SELECT * FROM app.shared_by_all ORDER BY id"), before);
    assert.equal(before.length, 300);
});

test("also root sees only its own partition of a USER table", async () => {
    assert.deepEqual(await root.rows("SELECT count(*) FROM app.shared_by_all"), [["0"]]);
});

test("a user learns nothing from system tables and schema", async () => {
    for (const table of ["users", "jobs", "live_queries", "storages"]) {
        const error = await bob.error(`SELECT * FROM system.${table}`);
        assert.equal(error.code, "PERMISSION_DENIED");
        assert.doesNotMatch(JSON.stringify(error), /alice/);
    }
    assert.equal((await bob.error("SELECT u.* FROM system.users u JOIN app.alone a ON true")).code, "PERMISSION_DENIED");
    for (const sql of ["CREATE NAMESPACE mine", "CREATE TABLE app.x (id INT PRIMARY KEY)", "DROP TABLE app.alone",
        "DROP NAMESPACE app", "CREATE USER eve WITH PASSWORD 'long enough' ROLE system", "DROP USER alice",
        "ALTER USER alice SET PASSWORD 'long enough too'", "ALTER USER bob SET ROLE dba"])
        assert.equal((await bob.error(sql)).code, "PERMISSION_DENIED", sql);
});

test("SHARED tables are private unless made public", async () => {
    await root.sql("CREATE SHARED TABLE app.private (id INT PRIMARY KEY)");
    await root.sql("CREATE SHARED TABLE app.open (id INT PRIMARY KEY) WITH (ACCESS_LEVEL = 'public')");
    await root.sql("INSERT INTO app.open VALUES (1)");
    assert.equal((await bob.error("SELECT * FROM app.private")).code, "PERMISSION_DENIED");
    assert.equal((await bob.error("SELECT count(*) FROM app.open o, app.private p")).code, "PERMISSION_DENIED");
    assert.equal((await bob.error("INSERT INTO app.alone SELECT id, '', 0 FROM app.private")).code, "PERMISSION_DENIED");
    assert.deepEqual(await bob.rows("SELECT * FROM app.open"), [[1]]);
    assert.equal((await bob.error("INSERT INTO app.open VALUES (2)")).code, "PERMISSION_DENIED");
    assert.equal((await bob.error("DELETE FROM app.open")).code, "PERMISSION_DENIED");
});

test("a changed password ends all earlier tokens", async () => {
    const carol = await root.addUser("carol");
    assert.deepEqual(await carol.rows("SELECT CURRENT_USER() AS me"), [["carol"]]);
    await carol.sql("ALTER USER 'carol' SET PASSWORD 'another long one'");
    await assert.rejects(() => carol.rows("SELECT 1 AS one"));
    const again = await server.client("carol", "another long one");
    assert.deepEqual(await again.rows("SELECT CURRENT_USER() AS me"), [["carol"]]);
    await root.sql("DROP USER 'carol'");
    await assert.rejects(() => again.rows("SELECT 1 AS one"));
});
