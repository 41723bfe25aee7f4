// The example of docs/examples/vector-embeddings.md, block by block, as a reader would type it: what it shows must be
// what comes out. Then the nearest words by each function, against a computation of our own over all of them.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT_PASSWORD, Server } from "./server.mjs";

const ROOT = process.env.KALAMDB_ROOT;
const DOCUMENT = join(ROOT, "docs/examples/vector-embeddings.md");

const server = new Server();
let root;
let dir; // what the reader's folder is: the repository, without writing into it

before(async () => {
    dir = mkdtempSync(join(tmpdir(), "kalamdb-vector-"));
    for (const name of ["tools", "docs", "build"]) symlinkSync(join(ROOT, name), join(dir, name));
    await server.start();
    root = await server.client();
    await root.addUser("ann", "dba", "ann has a long one");
});
after(async () => {
    await server.close();
    rmSync(dir, { recursive: true, force: true });
});

// ```sh, ```sql and ```js blocks, each with the ```text block after it, if there is one.
function blocks() {
    const found = [];
    for (const [, language, text] of readFileSync(DOCUMENT, "utf8").matchAll(/^```(\w+)\n([^]*?)^```$/gm)) {
        if (language === "text") found.at(-1).wanted = text;
        else found.push({ language, text });
    }
    return found;
}

// The blocks as one script for bash, with a mark on the output after each.
const MARK = "\x1e";

function script(all) {
    const parts = all.map(({ language, text }) => {
        if (language === "sh") return text;
        const program = { sql: "kalam", js: "node --input-type=module" }[language];
        assert.ok(program, `a block of ${language}`);
        return `${program} <<'END OF BLOCK'\n${text}END OF BLOCK\n`;
    });
    return parts.map((part) => `${part}printf '\\036'\n`).join("")
        .replaceAll("localhost:8080", server.url.replace("http://", ""));
}

async function runScript(text) {
    const bash = spawn("bash", ["-euo", "pipefail"], { cwd: dir, stdio: ["pipe", "pipe", "inherit"], env: {
        ...process.env, HOME: dir, PATH: `${dirname(process.env.KALAM)}:${process.env.PATH}`,
        KALAMDB_URL: server.url, KALAMDB_TOKEN: root.token } });
    let output = "";
    bash.stdout.setEncoding("utf8").on("data", (more) => (output += more));
    bash.stdin.end(text);
    const [code] = await once(bash, "close");
    return { code, outputs: output.split(MARK) };
}

test("the example answers what it shows", async () => {
    const all = blocks();
    assert.ok(all.filter((block) => block.wanted !== undefined).length >= 5, "the example has lost its answers");
    const { code, outputs } = await runScript(script(all));
    all.forEach(({ text, wanted }, i) => {
        if (wanted !== undefined) assert.equal(outputs[i]?.trimEnd(), wanted.trimEnd(), text);
    });
    assert.equal(code, 0, all[outputs.length - 1]?.text);
});

// ---- against our own computation ----

const sum = (a, b, f) => a.reduce((total, x, i) => total + f(x, b[i]), 0);
const dot = (a, b) => sum(a, b, (x, y) => x * y);
const MEASURES = {
    COSINE_DISTANCE: (a, b) => 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)),
    L2_DISTANCE: (a, b) => Math.sqrt(sum(a, b, (x, y) => (x - y) ** 2)),
    DOT_PRODUCT: dot,
};

const words = () => readFileSync(join(dir, "words.json"), "utf8").trim().split("\n").map((line) => {
    const record = JSON.parse(line);
    return { ...record, v: record.v.map(Math.fround) };
});

for (const [name, measure] of Object.entries(MEASURES)) {
    test(`the nearest words by ${name}`, async () => {
        const all = words();
        assert.equal(all.length, 20000);
        const descending = name === "DOT_PRODUCT";
        for (let i = 0; i < 12; i++) {
            const wanted = all[(i * 1571) % all.length];
            const rank = i % 3 === 0 ? 5000 : all.length;
            const found = await root.rows(`SELECT word, ${name}(v, $1) AS d FROM words.vectors WHERE rank <= $2
                ORDER BY d ${descending ? "DESC" : ""} LIMIT 10 OFFSET $3`, [wanted.v, rank, i % 2]);
            const computed = all.slice(0, rank).map(({ word, v }) => [word, measure(v, wanted.v)])
                .sort((a, b) => (descending ? b[1] - a[1] : a[1] - b[1]));
            assert.equal(found.length, 10);
            const ofWord = new Map(computed);
            found.forEach(([word, d], r) => {
                const tolerance = 1e-6 * Math.max(1, Math.abs(d));
                // The word's own value, and the value that belongs to this place: neighbours may be as near.
                assert.ok(Math.abs(d - ofWord.get(word)) <= tolerance, `${wanted.word}, ${word}: ${d}, ${ofWord.get(word)}`);
                assert.ok(Math.abs(d - computed[r + (i % 2)][1]) <= tolerance, `${wanted.word}, place ${r}: ${word}`);
            });
            assert.equal(new Set(found.map(([word]) => word)).size, 10);
        }
    });
}

test("DuckDB finds the same", async () => {
    const wanted = words()[4000];
    const query = (table) => `SELECT word, COSINE_DISTANCE(v, $1) AS d FROM ${table} ORDER BY d, word LIMIT 20`;
    assert.deepEqual(await root.rows(query("words.vectors"), [wanted.v]),
        await root.rows(query("(SELECT * FROM words.vectors)"), [wanted.v]));
});
