// Segments are Parquet files for everybody: plain DuckDB and hyparquet, who know nothing of us, read the
// rows that SELECT gives, of all types and compressions.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Server } from "./server.mjs";
import { TYPES } from "./values.mjs";

const modules = join(process.env.KALAMDB_ROOT, "build", "deps", "node_modules");
const require = createRequire(join(modules, "here.js"));
const { DuckDBInstance } = require("@duckdb/node-api");
const fzstd = require("fzstd");
const hyparquet = await import(pathToFileURL(join(modules, "hyparquet", "src", "index.js")));

const COMPRESSIONS = ["none", "snappy", "zstd"];
const ROWS = 40;
const name = (i) => `c${i}`;

const server = new Server();
let root;
let users;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    users = [await root.addUser("ann"), await root.addUser("bob")];
});
after(() => server.close());

// One form of a value, whoever gives it: numbers by value and sign, times as microseconds, bytes in hex.
function plain(value, type) {
    if (value === null || value === undefined) return null;
    if (/^(FLOAT|DOUBLE)/.test(type)) {
        const number = Number(value);
        return Object.is(number, -0) ? "-0" : String(type === "FLOAT" ? Math.fround(number) : number);
    }
    switch (type.replace(/\(.*/, "")) {
        case "BOOLEAN": return Boolean(value);
        case "BYTES": return Buffer.from(value.bytes ?? value).toString("hex");
        case "EMBEDDING": return [...(value.items ?? value)].map((v) => plain(v, "FLOAT")).join();
        case "JSON": case "FILE": return JSON.stringify(typeof value === "string" ? JSON.parse(value) : value);
        case "DATE": return Number(value.days ?? value);
        case "TIME": case "TIMESTAMP": case "DATETIME": return Number(value.micros ?? value);
        default: return String(value);
    }
}

const rowOf = (values) => [String(values[0]), ...TYPES.map(([type], i) => plain(values[i + 1], type))];
const sorted = (rows) => rows.map(rowOf).sort(([a], [b]) => Number(a) - Number(b));

async function fill(table, client, shift) {
    const rows = Array.from({ length: ROWS }, (_, row) => [row + shift, ...TYPES.map(([, ...values]) => {
        const at = (row + shift) % (values.length + 1);
        return at === values.length ? null : values[at];
    })]);
    await client.sql(`INSERT INTO ${table} VALUES (${rows[0].map((_, i) => `$${i + 1}`).join(", ")})`, rows);
}

async function make(type, compression) {
    const table = `app.${type.toLowerCase()}_${compression}`;
    await root.sql(`CREATE ${type} TABLE ${table} (id BIGINT PRIMARY KEY, ${TYPES.map(([t], i) => `${name(i)} ${t}`).join(", ")}) WITH (COMPRESSION = '${compression}')`);
    const clients = type === "USER" ? users : [root];
    for (const [i, client] of clients.entries()) await fill(table, client, i * 7);
    await root.sql(`FLUSH TABLE ${table}`);
    for (const client of clients) {
        await client.sql(`DELETE FROM ${table} WHERE id % 5 = 0`);
        await client.sql(`UPDATE ${table} SET c9 = 'new' WHERE id % 7 = 1`);
    }
    await root.sql(`FLUSH TABLE ${table}`);
    await root.sql(`STORAGE COMPACT TABLE ${table}`); // a reader that knows nothing of us knows nothing of dead rows
    const segments = await root.rows("SELECT path, dead_rows FROM system.segments WHERE table_name = $1", [table.slice(4)]);
    assert.ok(segments.length >= 1);
    assert.ok(segments.every(([, dead]) => Number(dead) === 0), `dead rows are left: ${JSON.stringify(segments)}`);
    const expected = [];
    for (const client of clients) expected.push(sorted(await client.rows(`SELECT * FROM ${table}`)));
    return { files: segments.map(([path]) => join(server.dir, "data", "storage", path)), expected };
}

// Rows of the file by their users, in the order of the users' numbers.
function byUser(rows) {
    const users = new Map();
    for (const row of rows) {
        const user = Number(row._user_no);
        if (!users.has(user)) users.set(user, []);
        users.get(user).push([row.id, ...TYPES.map((_, i) => row[name(i)])]);
    }
    return [...users].sort(([a], [b]) => a - b).map(([, values]) => sorted(values));
}

async function withDuckDB(files) {
    const instance = await DuckDBInstance.create();
    const connection = await instance.connect();
    const result = await connection.runAndReadAll(`SELECT * FROM read_parquet([${files.map((f) => `'${f}'`)}])`);
    const rows = result.getRowObjects();
    connection.closeSync();
    return byUser(rows);
}

// hyparquet gives decimals as doubles.
const inDoubles = (rows) => rows.map((row) => row.map((value, i) => (i > 0 && value !== null && TYPES[i - 1][0].startsWith("DECIMAL") ? String(Number(value)) : value)));

async function withHyparquet(files) {
    const rows = [];
    for (const path of files) {
        const bytes = readFileSync(path);
        const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
        rows.push(...await hyparquet.parquetReadObjects({
            file,
            utf8: false, // BYTES stay bytes
            compressors: { ZSTD: (input, length) => fzstd.decompress(input, new Uint8Array(length)) },
            parsers: {
                timestampFromMicroseconds: (micros) => micros,
                dateFromDays: (days) => days,
            },
        }));
    }
    return byUser(rows);
}

for (const type of ["USER", "SHARED"]) {
    for (const compression of type === "USER" ? COMPRESSIONS : ["lz4"]) {
        test(`${type} table, ${compression}`, async () => {
            const { files, expected } = await make(type, compression);
            assert.deepEqual(await withDuckDB(files), expected, "DuckDB");
            if (compression !== "lz4") assert.deepEqual(await withHyparquet(files), expected.map(inDoubles), "hyparquet");
        });
    }
}
