// One truth about schemas, at every moment.
//
// Goal: DESCRIBE, information_schema.tables and .columns, system.tables, system.columns and
// system.describe, SELECT *, the reply's schema and the C client give the same answer. Method:
// random DDL from a printed seed; after each step all of them are asked and compared, and with what
// the test itself expects of the column names.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { seeded } from "./random.mjs";
import { Server, object, replyType } from "./server.mjs";

const SEED = Number(process.env.KAL_TEST_SEED ?? 20261126);
const STEPS = Number(process.env.KAL_TEST_COUNT ?? 60);
console.log(`KAL_TEST_SEED=${SEED}`);

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
});
after(() => server.close());

const number = seeded(SEED);
const random = (below) => (number() * 4294967296) % below;
const pick = (list) => list[random(list.length)];

// ---- what is expected: names and kinds of the columns, in order ----

const tables = new Map(); // name -> { columns: [{ name, type, key }], version }
let numbers = 0;
const TYPES = ["SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "TEXT", "DATE", "TIMESTAMP", "DATETIME", "TIME", "JSON", "BYTES",
    "UUID", "BOOLEAN", "DECIMAL(6,2)", "EMBEDDING(3)"];
const WIDER = { SMALLINT: "INT", INT: "BIGINT", FLOAT: "DOUBLE", DATE: "TIMESTAMP", "DECIMAL(6,2)": "DECIMAL(9,2)" };

async function create() {
    const name = `t${++numbers}`;
    const columns = [{ name: "id", type: "BIGINT", key: true }];
    for (let i = random(4); i >= 0; i--) columns.push({ name: `c${++numbers}`, type: pick(TYPES) });
    await root.sql(`CREATE ${pick(["USER", "SHARED"])} TABLE app.${name} (${columns.map((c) => `${c.name} ${c.type}${c.key ? " PRIMARY KEY" : ""}`).join(", ")})`);
    tables.set(name, { columns, version: 1 });
}

async function alter(name) {
    const table = tables.get(name);
    const column = pick(table.columns.slice(1).length ? table.columns.slice(1) : table.columns);
    const fresh = `c${++numbers}`;
    let sql = "";
    switch (column.key ? 0 : random(8)) {
    case 0: {
        const type = pick(TYPES);
        sql = `ADD COLUMN ${fresh} ${type} COMMENT 'number ${numbers}'`;
        table.columns.push({ name: fresh, type });
        break;
    }
    case 1:
        sql = `DROP COLUMN ${column.name}`;
        table.columns.splice(table.columns.indexOf(column), 1);
        break;
    case 2:
        sql = `RENAME COLUMN ${column.name} TO ${fresh}`;
        column.name = fresh;
        break;
    case 3:
        if (!WIDER[column.type]) return;
        column.type = WIDER[column.type];
        sql = `MODIFY COLUMN ${column.name} ${column.type}`;
        break;
    case 4:
        sql = `RENAME TO r${++numbers}`;
        tables.delete(name);
        tables.set(`r${numbers}`, table);
        break;
    case 5:
        sql = `ALTER COLUMN ${column.name} COMMENT 'about ${++numbers}', COMMENT 'table ${numbers}'`;
        break;
    case 6:
        if (column.type !== "TEXT") return;
        sql = `ALTER COLUMN ${column.name} SET DEFAULT 'd${++numbers}'`;
        break;
    default:
        sql = `ALTER COLUMN ${column.name} SET NOT NULL`;
        if (column.notNull) return;
        column.notNull = true;
    }
    await root.sql(`ALTER TABLE app.${name} ${sql}`);
    table.version++;
}

async function step() {
    const names = [...tables.keys()];
    if (names.length < 2 || (names.length < 5 && random(8) === 0)) return create();
    if (random(12) === 0) {
        const name = pick(names);
        tables.delete(name);
        return root.sql(`DROP TABLE app.${name}`);
    }
    if (random(15) === 0) { // the same name again is another table
        const name = pick(names);
        await root.sql(`DROP TABLE app.${name}`);
        await root.sql(`CREATE TABLE app.${name} (id BIGINT PRIMARY KEY, again TEXT)`);
        return tables.set(name, { columns: [{ name: "id", type: "BIGINT", key: true }, { name: "again", type: "TEXT" }], version: 1 });
    }
    return alter(pick(names));
}

// ---- what everybody says ----

async function compareTable(name, table) {
    const wanted = table.columns.map((c) => [c.name, c.type]);
    const described = object(await root.sql(`DESCRIBE TABLE app.${name}`));
    assert.deepEqual(described.map((d) => [d.column_name, d.data_type]), wanted, name);
    assert.ok(described.every((d) => d.schema_version === table.version), `${name} should have version ${table.version}`);
    assert.ok(described.every((d, i) => i === 0 || d.ordinal_position > described[i - 1].ordinal_position));

    const info = object(await root.sql("SELECT * FROM information_schema.columns WHERE table_schema = 'app' AND table_name = $1 ORDER BY ordinal_position", [name]));
    assert.deepEqual(info.map((c) => [c.column_name, c.ordinal_position, c.data_type, c.is_nullable, c.is_primary_key, c.column_default, c.column_comment, c.column_id, c.schema_version]),
        described.map((d) => [d.column_name, d.ordinal_position, d.data_type, d.is_nullable, d.is_primary_key, d.default_value, d.column_comment, d.column_id, d.schema_version]), name);
    const system = object(await root.sql("SELECT * FROM system.columns WHERE namespace_id = 'app' AND table_name = $1 ORDER BY ordinal", [name]));
    assert.deepEqual(system.map((c) => [c.column_name, c.ordinal, c.data_type, c.nullable, c.primary_key, c.default_value, c.comment, c.column_id, c.version]),
        described.map((d) => [d.column_name, d.ordinal_position, d.data_type, d.is_nullable, d.is_primary_key, d.default_value, d.column_comment, d.column_id, d.schema_version]), name);

    const selected = (await root.sql(`SELECT * FROM app.${name} LIMIT 1`)).schema; // fast path
    const byEngine = (await root.sql(`SELECT * FROM app.${name} t WHERE EXISTS (SELECT 1) LIMIT 1`)).schema; // DuckDB
    for (const schema of [selected, byEngine])
        assert.deepEqual(schema.map((c) => [c.name, c.data_type]), described.map((d) => [d.column_name, replyType(d.data_type)]), name);
    assert.deepEqual(selected.map((c) => c.flags?.includes("nn") ?? false), described.map((d) => !d.is_nullable), name);
    assert.deepEqual(selected.map((c) => c.flags?.includes("pk") ?? false), described.map((d) => d.is_primary_key), name);

    const history = object(await root.sql(`DESCRIBE TABLE app.${name} HISTORY`));
    assert.deepEqual(history.map((h) => h.version), Array.from({ length: table.version }, (_, i) => i + 1), name);
    assert.equal(history.at(-1).column_count, table.columns.length, name);
}

async function compareAll() {
    const names = [...tables.keys()].sort();
    const info = object(await root.sql("SELECT table_name, table_id, schema_version FROM information_schema.tables WHERE table_schema = 'app' ORDER BY table_name"));
    const system = object(await root.sql("SELECT table_name, table_id, schema_version FROM system.tables WHERE namespace = 'app' ORDER BY table_name"));
    const shown = object(await root.sql("SHOW TABLES IN app")).sort((a, b) => (a.table_name < b.table_name ? -1 : 1));
    assert.deepEqual(info.map((t) => t.table_name), names);
    assert.deepEqual(system, info);
    assert.deepEqual(shown.map((t) => [t.table_name, t.schema_version]), info.map((t) => [t.table_name, t.schema_version]));
    assert.deepEqual(info.map((t) => t.schema_version), names.map((n) => tables.get(n).version));
    for (const name of names) await compareTable(name, tables.get(name));
}

// A view over the table has the same columns; a second one over it too.
async function compareViews(name, table) {
    const wanted = table.columns.map((c) => [c.name, c.type]);
    await root.sql(`CREATE VIEW app.over_table AS SELECT * FROM app.${name}`);
    await root.sql("CREATE VIEW app.over_view AS SELECT v.* FROM app.over_table v");
    for (const view of ["over_table", "over_view"]) {
        assert.deepEqual((await root.rows(`DESCRIBE TABLE app.${view}`)).map((d) => [d[0], d[2]]), wanted, `${view} of ${name}`);
        assert.deepEqual(await root.rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'app' AND table_name = $1 ORDER BY ordinal_position", [view]), wanted);
        const selected = (await root.sql(`SELECT * FROM app.${view}`)).schema;
        assert.deepEqual(selected.map((c) => [c.name, c.data_type]), wanted.map(([n, type]) => [n, replyType(type)]), `${view} of ${name}`);
    }
    for (const view of ["over_table", "over_view"]) await root.sql(`DROP VIEW app.${view}`);
}

// The C client, through the program that uses it.
function compareClient(name) {
    const out = execFileSync(process.env.KALAM, ["--csv", "-c", `SELECT * FROM app.${name} WHERE id = -1`], {
        encoding: "utf8",
        env: { ...process.env, HOME: server.dir, KALAMDB_URL: server.url, KALAMDB_TOKEN: root.token },
    });
    assert.equal(out.split("\n")[0], tables.get(name).columns.map((c) => c.name).join(","), name);
}

test(`after each of ${STEPS} steps of DDL everybody says the same`, async () => {
    for (let i = 0; i < STEPS; i++) {
        await step();
        await compareAll();
        const [name, table] = pick([...tables]);
        if (i % 5 === 4) await compareViews(name, table);
        if (i % 10 === 9) compareClient(name);
        if (i % 25 === 24) {
            await server.restart(i % 50 === 24 ? "SIGKILL" : "SIGTERM");
            root = await server.client();
            await compareAll();
        }
    }
});

test("the life of a table, from CREATE to gone", async () => {
    await root.sql("CREATE USER TABLE app.life (id BIGINT PRIMARY KEY, title TEXT NOT NULL)");
    assert.equal((await root.rows("DESCRIBE TABLE app.life")).length, 2);
    assert.deepEqual(await root.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'life' ORDER BY 1"), [["id"], ["title"]]);
    await root.sql("INSERT INTO app.life VALUES (1, 'born')");

    await root.sql("ALTER TABLE app.life ADD COLUMN age SMALLINT DEFAULT 0, RENAME COLUMN title TO name");
    await root.sql("ALTER TABLE app.life MODIFY COLUMN age BIGINT");
    assert.deepEqual(await root.rows("SELECT * FROM app.life"), [["1", "born", "0"]]);
    await server.restart();
    root = await server.client();
    assert.deepEqual(await root.rows("SELECT * FROM app.life"), [["1", "born", "0"]]);
    assert.deepEqual((await root.rows("DESCRIBE TABLE app.life HISTORY")).map((h) => h[2]),
        ["Initial schema", "RENAME COLUMN title TO name; ADD COLUMN age SMALLINT DEFAULT 0", "ALTER COLUMN age TYPE BIGINT"]);
    const [[id]] = await root.rows("SELECT table_id FROM system.tables WHERE table_name = 'life'");
    const cached = async () => Number((await root.rows("SELECT metric_value FROM system.stats WHERE metric_name = 'schema_cache_size'"))[0][0]);
    const before = await cached();

    await root.sql("DROP TABLE app.life");
    assert.equal(await cached(), before - 1, "the cache still holds it");
    assert.equal((await root.error("DESCRIBE TABLE app.life")).code, "TABLE_NOT_FOUND");
    assert.equal((await root.error("SELECT * FROM app.life")).code, "TABLE_NOT_FOUND");
    for (const [place, condition] of [["information_schema.tables", "table_name = 'life'"], ["information_schema.columns", "table_name = 'life'"],
        ["system.tables", "table_name = 'life'"], ["system.columns", "table_name = 'life'"], ["system.describe", "table_name = 'life'"],
        ["system.table_schemas", `table_id = ${id}`], ["system.live_queries", "table_name = 'life'"]])
        assert.deepEqual(await root.rows(`SELECT count(*) AS n FROM ${place} WHERE ${condition}`), [["0"]], place);
});
