// One truth: for every table there is, DESCRIBE, information_schema.columns, system.columns, system.describe and
// the columns of SELECT * say the same; and the system tables can be read and joined.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server, object, replyType } from "./server.mjs";

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql(`CREATE USER TABLE app.one (b TEXT COMMENT 'the b', a INT DEFAULT 7, c TIMESTAMP DEFAULT NOW(),
        d DECIMAL(10,2) NOT NULL, PRIMARY KEY (a, b)) PARTITION BY (c) COMMENT 'first'`);
    await root.sql("CREATE SHARED TABLE app.two (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), v EMBEDDING(3))");
});
after(() => server.close());

const SYSTEM = ["users", "jobs", "namespaces", "storages", "live_queries", "tables", "table_schemas", "stats", "settings",
    "datatypes", "columns", "describe"];

test("DESCRIBE = information_schema.columns = SELECT *", async () => {
    const tables = object(await root.sql("SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"))
        .map((t) => `${t.table_schema}.${t.table_name}`);
    for (const name of [...SYSTEM.map((t) => `system.${t}`), "information_schema.tables", "information_schema.columns", "app.one", "app.two"])
        assert.ok(tables.includes(name), `${name} is not in information_schema.tables: ${tables}`);
    for (const name of tables) {
        const [schema, table] = name.split(".");
        const described = object(await root.sql(`DESCRIBE TABLE ${name}`));
        const columns = object(await root.sql("SELECT * FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position", [schema, table]));
        const selected = (await root.sql(`SELECT * FROM ${name}`)).schema;
        assert.ok(described.length > 0, name);
        assert.deepEqual(described.map((d) => d.ordinal_position), described.map((_, i) => i + 1), name);
        assert.deepEqual(selected.map((c) => c.name), described.map((d) => d.column_name), name);
        assert.deepEqual(selected.map((c) => c.data_type), described.map((d) => replyType(d.data_type)), name);
        assert.deepEqual(columns.map((c) => [c.column_name, c.ordinal_position, c.data_type, c.is_nullable, c.is_primary_key,
            c.is_partition_key, c.column_default, c.column_comment, c.column_id, c.schema_version]),
        described.map((d) => [d.column_name, d.ordinal_position, d.data_type, d.is_nullable, d.is_primary_key,
            d.is_partition_key, d.default_value, d.column_comment, d.column_id, d.schema_version]), name);
        const own = object(await root.sql("SELECT * FROM system.columns WHERE namespace_id = $1 AND table_name = $2 ORDER BY ordinal", [schema, table]));
        assert.deepEqual(own.map((c) => [c.column_name, c.ordinal, c.data_type, c.nullable, c.primary_key, c.default_value, c.comment, c.column_id, c.version]),
            described.map((d) => [d.column_name, d.ordinal_position, d.data_type, d.is_nullable, d.is_primary_key, d.default_value,
                d.column_comment, d.column_id, d.schema_version]), name);
        assert.deepEqual(own.map((c) => c.primary_key), own.map((c) => c.primary_key_pos !== null), name);
        const view = object(await root.sql("SELECT * FROM system.describe WHERE namespace_id = $1 AND table_name = $2 ORDER BY ordinal_position", [schema, table]));
        assert.deepEqual(view.map((c) => [c.column_name, c.ordinal_position, c.data_type, c.is_nullable, c.is_primary_key, c.column_default,
            c.column_comment, c.column_id, c.schema_version]),
        described.map((d) => [d.column_name, d.ordinal_position, d.data_type, d.is_nullable, d.is_primary_key, d.default_value,
            d.column_comment, d.column_id, d.schema_version]), name);
    }
});

test("DESCRIBE has the original's eight columns first, HISTORY its four", async () => {
    const described = await root.sql("DESC TABLE app.one");
    assert.deepEqual(described.schema.map((c) => c.name), ["column_name", "ordinal_position", "data_type", "is_nullable",
        "is_primary_key", "is_partition_key", "default_value", "column_comment", "column_id", "schema_version"]);
    assert.deepEqual(described.rows, [
        ["b", 1, "TEXT", false, true, false, null, "the b", 1, 1],
        ["a", 2, "INT", false, true, false, "7", null, 2, 1],
        ["c", 3, "TIMESTAMP", true, false, true, "NOW()", null, 3, 1],
        ["d", 4, "DECIMAL(10,2)", false, false, false, null, null, 4, 1],
    ]);
    for (const name of ["app.one", ...SYSTEM.map((t) => `system.${t}`)]) {
        const history = await root.sql(`DESCRIBE TABLE ${name} HISTORY`);
        assert.deepEqual(history.schema.map((c) => c.name), ["version", "created_at", "changes", "column_count", "actor",
            "commit_seq"], name);
        assert.equal(history.rows.length, 1, name);
        assert.equal(history.rows[0][0], 1, name);
        assert.equal(history.rows[0][2], "Initial schema", name);
    }
});

test("system tables tell the truth and can be joined", async () => {
    const tables = object(await root.sql("SHOW TABLES IN app"));
    assert.deepEqual(tables.map((t) => [t.namespace, t.table_name, t.table_type, t.schema_version]),
        [["app", "one", "user", 1], ["app", "two", "shared", 1]]);
    assert.deepEqual(Object.keys(tables[0]), ["namespace", "table_name", "table_type", "created_at", "schema_version"]);
    const namespaces = object(await root.sql("SHOW NAMESPACES"));
    assert.deepEqual(Object.keys(namespaces[0]), ["name", "table_count", "created_at"]);
    assert.equal(namespaces.find((n) => n.name === "app").table_count, 2);
    const joined = await root.rows(`SELECT n.name, count(*) FROM system.tables t JOIN system.namespaces n ON n.namespace_id = t.namespace
        WHERE n.name = 'app' GROUP BY 1`);
    assert.deepEqual(joined, [["app", "2"]]);
    const versions = await root.rows(`SELECT count(*) FROM system.table_schemas s JOIN system.tables t USING (table_id) WHERE t.namespace = 'app'`);
    assert.deepEqual(versions, [["2"]]);
    const users = object(await root.sql("SELECT * FROM system.users"));
    assert.equal(users.length, 1);
    assert.equal(users[0].user_id, "root");
    assert.doesNotMatch(JSON.stringify(users), /argon2/);
});

test("the views of columns have the original's columns in its order, and know the key's", async () => {
    assert.deepEqual((await root.sql("SELECT * FROM system.columns LIMIT 0")).schema.map((c) => c.name), ["namespace_id", "table_name",
        "version", "column_id", "column_name", "comment", "data_type", "default_value", "ordinal", "nullable", "primary_key", "primary_key_pos"]);
    assert.deepEqual((await root.sql("SELECT * FROM system.describe LIMIT 0")).schema.map((c) => c.name), ["column_name", "ordinal_position",
        "column_id", "data_type", "is_nullable", "is_primary_key", "column_default", "column_comment", "schema_version", "namespace_id", "table_name"]);
    // PRIMARY KEY (a, b) of a table whose first column is b
    assert.deepEqual(await root.rows("SELECT column_name, primary_key_pos FROM system.columns WHERE table_name = 'one' ORDER BY ordinal"),
        [["b", 2], ["a", 1], ["c", null], ["d", null]]);
});

test("the views of columns follow ALTER TABLE", async () => {
    await root.sql("CREATE SHARED TABLE app.changing (id BIGINT PRIMARY KEY, gone INT, small SMALLINT, old TEXT DEFAULT 'x')");
    await root.sql(`ALTER TABLE app.changing DROP COLUMN gone, ALTER COLUMN small TYPE INT, RENAME COLUMN old TO new,
        ADD COLUMN late TEXT NOT NULL DEFAULT 'then'`);
    const described = (await root.rows("DESCRIBE TABLE app.changing")).map((d) => [d[0], d[1], d[2], d[3], d[6], d[8], d[9]]);
    assert.deepEqual(described.map((d) => [d[0], d[1], d[2]]), [["id", 1, "BIGINT"], ["small", 3, "INT"], ["new", 4, "TEXT"], ["late", 5, "TEXT"]]);
    for (const [table, columns] of [["columns", "column_name, ordinal, data_type, nullable, default_value, column_id, version"],
        ["describe", "column_name, ordinal_position, data_type, is_nullable, column_default, column_id, schema_version"]])
        assert.deepEqual(await root.rows(`SELECT ${columns} FROM system.${table} WHERE table_name = 'changing' ORDER BY 2`), described, table);
    assert.equal(Object.fromEntries(await root.rows("SHOW STATS FOR TABLE app.changing")).schema_version, String(described[0][6]));
    await root.sql("DROP TABLE app.changing");
    for (const table of ["columns", "describe"])
        assert.deepEqual(await root.rows(`SELECT * FROM system.${table} WHERE table_name = 'changing'`), []);
});

test("SHOW CREATE TABLE makes an identical table", async () => {
    const [[, sql]] = await root.rows("SHOW CREATE TABLE app.one");
    await root.sql("CREATE NAMESPACE copy");
    await root.sql(sql.replace("app.one", "copy.one"));
    assert.deepEqual(await root.rows("DESCRIBE TABLE copy.one"), await root.rows("DESCRIBE TABLE app.one"));
    assert.equal((await root.rows("SHOW CREATE TABLE copy.one"))[0][1], sql.replace("app.one", "copy.one"));
});
