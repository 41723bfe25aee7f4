// kalam import: what it takes, what it refuses, and that a refusal says where and leaves nothing.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT_PASSWORD, Server } from "./server.mjs";

const run = promisify(execFile);
const server = new Server();
let root;

before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
});
after(() => server.close());

// { code, stdout, stderr } of an import of a file with this content.
async function load(name, content, target) {
    const path = join(server.dir, name);
    writeFileSync(path, content);
    const args = ["--url", server.url, "--user", "root", "import", path, "INTO", ...target.split(" ")];
    try {
        const done = await run(process.env.KALAM, args,
            { env: { ...process.env, KALAMDB_PASSWORD: ROOT_PASSWORD } });
        return { code: 0, ...done };
    } catch (error) {
        return { code: error.code, stdout: error.stdout, stderr: error.stderr };
    }
}

const tables = async () => (await root.rows("SHOW TABLES IN app")).map((row) => row[1]);

test("a header that names a column twice", async () => {
    const made = await load("twice.csv", "a,a,A\n1,x,2\n3,y,4\n", "app.twice CREATE");
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, /column 'a' is a_2/);
    assert.deepEqual(await root.rows("SELECT a, a_2, a_3 FROM app.twice ORDER BY a"),
        [["1", "x", "2"], ["3", "y", "4"]]);

    const into = await load("again.csv", "a,A\n1,x\n", "app.twice");
    assert.equal(into.code, 1);
    assert.match(into.stderr, /columns 1 and 2 of the file both go to column 'a'/);
});

test("files that cannot be read are refused by name, and no table is left", async () => {
    const cases = {
        "data.parquet": [Buffer.from("PAR1\x15\x04\x15\x80\xff\xfe", "latin1"), /is a Parquet file/],
        "data.csv.gz": [Buffer.from([0x1f, 0x8b, 8, 0, 1]), /packed with gzip/],
        "data.bin": [Buffer.from([0x61, 0, 0xff, 1]), /not a text file/],
        "data.csv": [Buffer.from("PK\x03\x04rest", "latin1"), /a zip file/],
    };
    for (const [name, [content, message]] of Object.entries(cases)) {
        const refused = await load(name, content, "app.refused CREATE");
        assert.equal(refused.code, 1, name);
        assert.match(refused.stderr, message);
        assert.match(refused.stderr, /hint: CSV and JSON files can be imported/);
    }
    assert.ok(!(await tables()).includes("refused"));
});

test("a refused row is named by its record and line", async () => {
    await root.sql("CREATE TABLE app.small (id INT PRIMARY KEY, s SMALLINT, t TEXT)");
    const lines = ["id,s,t"];
    for (let i = 1; i <= 4500; i++)
        lines.push(`${i},${i === 4321 ? "many" : i % 100},"two\nlines"`);
    const refused = await load("small.csv", lines.join("\n"), "app.small");
    assert.equal(refused.code, 1);
    // 4320 records of two lines each and the header stand before it
    assert.match(refused.stderr, /record 4321 \(line 8642\): column 's': 'many' is not a valid SMALLINT/);
    assert.match(refused.stderr, /4000 rows are in; records 4001 to 4500/);
    assert.doesNotMatch(refused.stderr, /of the batch/);
    assert.deepEqual(await root.rows("SELECT count(*) FROM app.small"), [["4000"]]);
});
