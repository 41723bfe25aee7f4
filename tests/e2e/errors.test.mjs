// Errors a person can use: one level, with a place and a near name, the connection usable
// afterwards and nothing written.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import http from "node:http";
import { Server } from "./server.mjs";

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql(`CREATE USER TABLE app.things (id INT PRIMARY KEY, name TEXT NOT NULL, small SMALLINT,
        vector EMBEDDING(384), doc JSON)`);
    await root.sql("INSERT INTO app.things (id, name) VALUES (1, 'one')");
});
after(() => server.close());

const CASES = [
    ["unknown column", "SELECT id, nmae FROM app.things", /nmae/, (e, sql) => {
        assert.match(e.hint ?? "", /name/);
        assert.equal(e.position, sql.indexOf("nmae"));
    }],
    ["unknown column in DuckDB", "SELECT upper(nmae), count(*) FROM app.things GROUP BY ALL", /nmae/, (e, sql) => {
        assert.match(`${e.hint ?? ""} ${e.message}`, /name/);
        assert.equal(e.position, sql.indexOf("nmae"));
    }],
    ["unknown column in UPDATE", "UPDATE app.things SET nmae = 'x' WHERE id = 1", /nmae/, (e) => assert.match(e.hint, /name/)],
    ["unknown table", "SELECT * FROM app.thinsg", /thinsg/, (e) => {
        assert.equal(e.code, "TABLE_NOT_FOUND");
        assert.match(e.hint, /things/);
    }],
    ["unknown namespace", "SELECT * FROM apq.things", /apq/],
    ["wrong type name", "CREATE TABLE app.x (id INT PRIMARY KEY, n NUMBRE)", /(?=.*numbre)(?=.*BIGINT)(?=.*EMBEDDING)/i],
    ["out of range", "INSERT INTO app.things (id, name, small) VALUES (2, 'two', 40000)", /small.*40000.*SMALLINT/],
    ["embedding of nothing", "CREATE TABLE app.x (id INT PRIMARY KEY, v EMBEDDING(0))", /between 1 and 8192/],
    ["embedding too large", "CREATE TABLE app.x (id INT PRIMARY KEY, v EMBEDDING(8193))", /between 1 and 8192/],
    ["duplicate key", "INSERT INTO app.things (id, name) VALUES (1, 'again')", /duplicate key.*\(id\) = \(1\)/,
        (e) => assert.equal(e.code, "DUPLICATE_KEY")],
    ["duplicate in one statement", "INSERT INTO app.things (id, name) VALUES (7, 'a'), (7, 'b')", /duplicate key/],
    ["NULL into NOT NULL", "INSERT INTO app.things (id, name) VALUES (3, NULL)", /name.*cannot be NULL/],
    ["NULL into the key", "INSERT INTO app.things (id, name) VALUES (NULL, 'x')", /id.*cannot be NULL/],
    ["missing NOT NULL", "INSERT INTO app.things (id) VALUES (3)", /name.*cannot be NULL/],
    ["UPDATE to NULL", "UPDATE app.things SET name = NULL", /name.*cannot be NULL/],
    ["broken document", `INSERT INTO app.things (id, name, doc) VALUES (4, 'x', '{"a":')`, /doc.*JSON/],
    ["too few values", "INSERT INTO app.things (id, name) VALUES (5)", /1 value.*2 columns/],
    ["text for a number", "INSERT INTO app.things (id, name) VALUES ('abc', 'x')", /id.*abc/],
    ["syntax", "SELEKT * FROM app.things", /SELEKT/i],
    ["unterminated string", "SELECT 'abc", /unterminated/],
    ["nothing", "  -- nothing\n ; ", /no SQL statement/, (e) => assert.equal(e.code, "EMPTY_SQL")],
    ["no key", "CREATE TABLE app.x (id INT)", /primary key/i],
    ["unknown option", "CREATE TABLE app.x (id INT PRIMARY KEY) WITH (colour = 'red')", /colour/],
    ["no isolation", "CREATE USER TABLE app.x (id INT PRIMARY KEY) WITH (enable_rls = false)", /enable_rls/],
    ["not built", "CREATE INDEX x ON app.things (id)", /not available in this version/,
        (e) => assert.equal(e.code, "UNSUPPORTED")],
    ["unknown statement", "FOO BAR", /unknown statement 'FOO'/, (e) => {
        for (const word of ["FLUSH", "STORAGE", "BACKUP", "RESTORE", "EXPORT", "KILL", "COMMENT", "SUBSCRIBE"]) assert.ok(e.hint.includes(word), e.hint);
    }],
    ["unknown form of STORAGE", "STORAGE NOPE", /expected CHECK, FLUSH or COMPACT after STORAGE, got 'NOPE'/],
    ["unknown form of BACKUP", "BACKUP TABLE app.things", /expected DATABASE after BACKUP, got 'TABLE'/],
    ["unknown form of RESTORE", "RESTORE", /expected DATABASE after RESTORE, got the end/],
    ["unknown form of EXPORT", "EXPORT TABLE app.things", /expected USER DATA after EXPORT, got 'TABLE'/],
    ["unknown form of KILL", "KILL 5", /expected JOB or LIVE QUERY after KILL, got '?5/],
    ["SKIP MISSING USERS twice", "RESTORE DATABASE x FROM '/x' SKIP MISSING USERS SKIP MISSING USERS", /expected the end of the statement, got 'SKIP'/],
    ["file access", "SELECT * FROM read_csv('/etc/passwd')", /read_csv/],
    ["file as table", "SELECT * FROM '/etc/passwd'", /passwd/],
    ["two statements with parameters", "SELECT 1 AS a; SELECT 2 AS b", /one statement/,
        (e) => assert.equal(e.code, "PARAMS_WITH_BATCH"), [1]],
    ["too few parameters", "SELECT * FROM app.things WHERE id = $2", /parameter/, (e) => assert.equal(e.code, "INVALID_PARAMETER"), [1]],
    ["nested parentheses", `SELECT ${"(".repeat(10000)}1${")".repeat(10000)} AS x`, /nest|deep/i],
    ["nested in WHERE", `SELECT * FROM app.things WHERE ${"(".repeat(10000)}id = 1${")".repeat(10000)}`, /nest|deep/i],
];

test("each is one clear error", async (t) => {
    const rows = await root.rows("SELECT * FROM app.things ORDER BY id");
    for (const [name, sql, message, more, params] of CASES) {
        await t.test(name, async () => {
            const error = await root.error(sql, params);
            assert.match(error.message.replace(`${error.code}: `, ""), message);
            assert.ok(error.status >= 400 && error.status < 500, `status ${error.status}`);
            assert.ok(error.message.length < 600 && !error.message.includes("\n"), error.message);
            assert.doesNotMatch(error.message, /duckdb|rocksdb|kal_|Error:|Exception/i);
            more?.(error, sql);
        });
    }
    assert.deepEqual(await root.rows("SELECT * FROM app.things ORDER BY id"), rows);
});

test("an embedding of 385 numbers into EMBEDDING(384)", async () => {
    const error = await root.error("INSERT INTO app.things (id, name, vector) VALUES (9, 'v', $1)", [Array(385).fill(0.5)]);
    assert.match(error.message, /vector.*384.*385/);
    assert.deepEqual(await root.rows("SELECT id FROM app.things WHERE id = 9"), []);
});

test("a failed statement of many rows writes none", async () => {
    await root.error("INSERT INTO app.things (id, name) VALUES (20, 'a'), (21, 'b'), (1, 'c')");
    assert.deepEqual(await root.rows("SELECT id FROM app.things WHERE id >= 20"), []);
});

test("a failed transaction writes nothing", async () => {
    const error = await root.error("BEGIN; INSERT INTO app.things (id, name) VALUES (30, 'a'); INSERT INTO app.things (id, name) VALUES (1, 'c'); COMMIT");
    assert.equal(error.code, "DUPLICATE_KEY");
    assert.deepEqual(await root.rows("SELECT id FROM app.things WHERE id >= 30"), []);
    await root.sql("BEGIN; INSERT INTO app.things (id, name) VALUES (31, 'a'); UPDATE app.things SET name = 'b' WHERE id = 31; COMMIT");
    assert.deepEqual(await root.rows("SELECT id, name FROM app.things WHERE id >= 30"), [[31, "b"]]);
    await root.sql("DELETE FROM app.things WHERE id = 31");
});

// One connection, so that it is really this one that stays usable.
function post(agent, token, body, headers = {}) {
    return new Promise((resolve, reject) => {
        const request = http.request(`${server.url}/v1/api/sql`, {
            agent, method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...headers },
        }, (reply) => {
            let text = "";
            reply.setEncoding("utf8");
            reply.on("data", (part) => (text += part));
            reply.on("end", () => resolve({ status: reply.statusCode, text, port: request.socket?.localPort }));
        });
        request.on("error", reject);
        request.end(body);
    });
}

test("the connection stays usable after bad requests", async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const good = JSON.stringify({ sql: "SELECT id FROM app.things WHERE id = 1" });
    for (const body of [JSON.stringify({ sql: `SELECT '${"x".repeat(2 << 20)}' AS x` }), "{", "[]", '{"sql": 1}', '{"sql": "SELECT 1 AS a", "params": {}}',
        '{"sql": "SELECT 1 AS a", "sql": "SELECT 2 AS a"}', '{"sql": "\ud800"}', ""]) {
        const bad = await post(agent, root.token, body);
        assert.ok(bad.status >= 400 && bad.status < 500, `${bad.status} for ${body.slice(0, 60)}: ${bad.text}`);
        assert.equal(JSON.parse(bad.text).status, "error");
        const reply = await post(agent, root.token, good);
        assert.equal(reply.status, 200, reply.text);
        assert.deepEqual(JSON.parse(reply.text).results[0].rows, [[1]]);
    }
    agent.destroy();
});

test("without a valid token nothing is answered", async () => {
    const agent = new http.Agent();
    for (const token of ["", "x", root.token.slice(0, -2), `${root.token}x`]) {
        const reply = await post(agent, token, JSON.stringify({ sql: "SELECT 1 AS a" }));
        assert.equal(reply.status, 401, reply.text);
    }
});

test("range() ends before its end, and may have a million rows", async () => {
    const count = (call) => `SELECT count(*) AS n FROM ${call}`;
    for (const call of ["range(1000000)", "range(1, 1000001)", "range(0, 2000000, 2)", "range(0, 1999999, 2)", "range(10, -999990, -1)",
        "generate_series(1, 1000000)", "generate_series(0, 1999999, 2)"])
        assert.deepEqual(await root.rows(count(call)), [["1000000"]], call);
    for (const call of ["range(1000001)", "range(0, 2000001, 2)", "range(0, -1000001, -1)", "generate_series(1000000)", "generate_series(0, 2000000, 2)"])
        assert.match((await root.error(count(call))).message, /makes 1000001 rows/, call);
    for (const call of ["range(0)", "range(5, 5)", "range(5, 1)", "generate_series(5, 1)"])
        assert.deepEqual(await root.rows(count(call)), [["0"]], call);
    assert.deepEqual(await root.rows("SELECT len(range(100000)) AS n"), [["100000"]]);
    assert.match((await root.error("SELECT len(range(100001)) AS n")).message, /makes 100001 elements/);
});
