// All 17 types in one table, with NULLs and extremes: inserted over HTTP, read on the fast path, by
// DuckDB, and after a restart. Every reading must be the same, in ordinal order.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const embedding = (dim, f) => Array.from({ length: dim }, (_, i) => Math.fround(f(i)));

// name, type, "data_type" of the reply, then [value sent, value that comes back] of each row
const COLUMNS = [
    ["c_boolean", "BOOLEAN", "Boolean", [true, true], [false, false]],
    ["c_int", "INT", "Int", [2147483647, 2147483647], [-2147483648, -2147483648]],
    ["c_bigint", "BIGINT", "BigInt", ["9223372036854775807", "9223372036854775807"],
        ["-9223372036854775808", "-9223372036854775808"]],
    ["c_double", "DOUBLE", "Double", [1.7976931348623157e308, 1.7976931348623157e308], ["NaN", "NaN"]],
    ["c_float", "FLOAT", "Float", [3.4028234663852886e38, 3.4028235e38], ["-Infinity", "-Infinity"]],
    ["c_text", "TEXT", "Text", ["", ""], ["日本語 Zürich 🎉 \"'\\ \u0001", "日本語 Zürich 🎉 \"'\\ \u0001"]],
    ["c_timestamp", "TIMESTAMP", "Timestamp", ["0001-01-01 00:00:00", -62135596800000000],
        ["9999-12-31 23:59:59.999999", 253402300799999999n]],
    ["c_date", "DATE", "Date", ["0001-01-01", -719162], ["9999-12-31", 2932896]],
    ["c_datetime", "DATETIME", "DateTime", ["2024-02-29T13:14:15.123456Z", 1709212455123456],
        ["1969-12-31T23:59:59.999999Z", -1]],
    ["c_time", "TIME", "Time", ["00:00:00", 0], ["23:59:59.999999", 86399999999]],
    ["c_json", "JSON", "Json", [{ a: [1, 2.5, null, "ü"] }, '{"a":[1,2.5,null,"ü"]}'], [[], "[]"]],
    ["c_bytes", "BYTES", "Bytes", ["0x", []], ["0x00ff10", [0, 255, 16]]],
    ["c_embedding_384", "EMBEDDING(384)", { Embedding: 384 }, ...[(i) => i / 7, (i) => -i].map((f) =>
        [embedding(384, f), embedding(384, f)])],
    ["c_embedding_768", "EMBEDDING(768)", { Embedding: 768 }, ...[(i) => i / 3, () => 0].map((f) =>
        [embedding(768, f), embedding(768, f)])],
    ["c_embedding_1536", "EMBEDDING(1536)", { Embedding: 1536 }, ...[Math.sin, Math.cos].map((f) =>
        [embedding(1536, f), embedding(1536, f)])],
    ["c_embedding_3072", "EMBEDDING(3072)", { Embedding: 3072 }, ...[Math.sqrt, (i) => 1e-30 * i].map((f) =>
        [embedding(3072, f), embedding(3072, f)])],
    ["c_uuid", "UUID", "Uuid", ["00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"],
        ["FFFFFFFF-ffff-4fff-bfff-ffffffffffff", "ffffffff-ffff-4fff-bfff-ffffffffffff"]],
    ["c_decimal", "DECIMAL(38,10)", { Decimal: { precision: 38, scale: 10 } },
        ["9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999"],
        ["-0.0000000001", "-0.0000000001"]],
    ["c_smallint", "SMALLINT", "SmallInt", [32767, 32767], [-32768, -32768]],
    ["c_file", "FILE", "File",
        ...["a.txt", "ü.bin"].map((name) => ({ id: "f1", sub: "s", name, size: 3, mime: "text/plain", sha256: "00" }))
            .map((file) => [file, file])],
];

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
});
after(() => server.close());

const number = (v) => (typeof v === "bigint" ? Number(v) : v);
const EXPECTED = [1, 2].map((row) => [String(row), ...COLUMNS.map((c) => number(c[2 + row][1]))]);
const NULLS = ["3", ...COLUMNS.map(() => null)];

function floats(value) {
    // FLOAT and EMBEDDING come as the shortest text of the 32-bit number.
    return JSON.parse(JSON.stringify(value), (_, v) => (typeof v === "number" ? Math.fround(v) : v));
}

function check(result, what) {
    assert.deepEqual(result.schema.map((c) => c.name), ["id", ...COLUMNS.map((c) => c[0])], what);
    assert.deepEqual(result.schema.map((c) => c.index), result.schema.map((_, i) => i), what);
    assert.deepEqual(result.schema.map((c) => c.data_type), ["BigInt", ...COLUMNS.map((c) => c[2])], what);
    assert.deepEqual(floats(result.rows), floats([...EXPECTED, NULLS]), what);
}

async function checkBothPaths(client, when) {
    check(await client.sql("SELECT * FROM every.type ORDER BY id"), `fast path, ${when}`);
    const byKey = [];
    for (const id of [1, 2, 3]) byKey.push(...(await client.rows("SELECT * FROM every.type WHERE id = $1", [id])));
    assert.deepEqual(byKey, (await client.rows("SELECT * FROM every.type ORDER BY id")), `by key, ${when}`);
    check(await client.sql("SELECT e.* FROM every.type e JOIN (SELECT 1 AS one) o ON o.one = 1 ORDER BY e.id"),
        `DuckDB, ${when}`);
}

test("17 types through both paths and a restart", async () => {
    await root.sql("CREATE NAMESPACE every");
    await root.sql(`CREATE USER TABLE every.type (id BIGINT PRIMARY KEY, ${
        COLUMNS.map((c) => `${c[0]} ${c[1]}`).join(", ")})`);
    const names = ["id", ...COLUMNS.map((c) => c[0])].join(", ");
    const marks = ["$1", ...COLUMNS.map((_, i) => `$${i + 2}`)].join(", ");
    for (const row of [1, 2])
        await root.sql(`INSERT INTO every.type (${names}) VALUES (${marks})`,
            [row, ...COLUMNS.map((c) => c[2 + row][0])]);
    await root.sql("INSERT INTO every.type (id) VALUES (3)");
    await checkBothPaths(root, "first");
    await server.restart();
    root = await server.client();
    await checkBothPaths(root, "after restart");
});

test("1 MiB of text and the smallest and largest embeddings", async () => {
    await root.sql("CREATE USER TABLE every.size (id INT PRIMARY KEY, t TEXT, e1 EMBEDDING(1), e8192 EMBEDDING(8192))");
    const text = "ü".repeat(256 * 1024 - 8); // a parameter holds at most 512 KiB
    const e = embedding(8192, (i) => i + 0.5);
    await root.sql("INSERT INTO every.size VALUES (1, $1, $2, $3)", [text, "[0.25]", e]);
    await root.sql("UPDATE every.size SET t = t || t WHERE id = 1");
    const [[t, e1, e8192]] = await root.rows("SELECT t, e1, e8192 FROM every.size WHERE id = 1");
    assert.equal(t, text + text);
    assert.deepEqual(e1, [0.25]);
    assert.deepEqual(e8192, e);
    assert.deepEqual(await root.rows("SELECT length(max(t)), max(id) FROM every.size"), [[String(2 * text.length), 1]]);
});
