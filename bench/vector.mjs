// vector: the ten nearest of real word vectors, over HTTP, against plain DuckDB; and the kernels in the process.
import { execFileSync } from "node:child_process";
import { createReadStream, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { KalamDB, build, interleaved, machine, root, writeResult } from "./lib.mjs";
import { duckdbPeer, overHttp, several } from "./peer.mjs";

const REPEATS = Number(process.env.BENCH_REPEATS ?? 20);
const WANTED = "coffee";
const where = machine();
const dir = mkdtempSync(join(tmpdir(), "vectors-"));
const inside = JSON.parse(execFileSync(join(build, "bench", "bench_vector"), { encoding: "utf8" }));
const kalam = await new KalamDB().start();
const figures = {};

function writeWords(count) {
    const file = join(dir, `words-${count}.json`);
    execFileSync(process.execPath, [join(root, "docs/examples/word-vectors.mjs"),
        join(root, "build/deps/wink-embeddings/sg-100d.json"), String(count)], { stdio: ["ignore", openSync(file, "w"), "inherit"] });
    return file;
}

async function vectorOf(file, word) {
    for await (const line of createInterface({ input: createReadStream(file) })) {
        const record = JSON.parse(line);
        if (record.word === word) return record.v;
    }
}

try {
    await kalam.sql("CREATE NAMESPACE bench");
    for (const count of [10000, 100000]) {
        const file = writeWords(count);
        const wanted = await vectorOf(file, WANTED);
        const table = `bench.words_${count}`;
        await kalam.sql(`CREATE SHARED TABLE ${table} (word TEXT PRIMARY KEY, rank INT NOT NULL, v EMBEDDING(100) NOT NULL)`);
        kalam.cli("import", file, "INTO", table);
        const peer = await duckdbPeer(
            `CREATE TABLE words AS SELECT word, rank::INT AS rank, v::FLOAT[100] AS v FROM read_json('${file}')`,
            `SELECT word, array_cosine_distance(v, [${wanted}]::FLOAT[100]) AS d FROM words ORDER BY d LIMIT 10`);
        const query = (from) => `SELECT word, COSINE_DISTANCE(v, $1) AS d FROM ${from} ORDER BY d LIMIT 10`;
        const one = await interleaved(3, {
            KalamDB: () => several(REPEATS, () => overHttp(kalam, query(table), [wanted])),
            "KalamDB through DuckDB": () => several(REPEATS, () => overHttp(kalam, query(`(SELECT * FROM ${table})`), [wanted])),
            DuckDB: () => several(REPEATS, peer.run),
        });
        for (const [name, figure] of Object.entries(one)) figures[`${name}, ${count.toLocaleString("en")} vectors`] = figure;
        await peer.end();
    }
    writeResult("vector", { what: "The ten nearest of so many word vectors of 100 numbers, by cosine distance",
        note: "KalamDB: durable rows as of one moment, over HTTP, one thread a query; DuckDB: array_cosine_distance over its own in-memory table, in the process, 2 threads",
        machine: where, figures, inside });
} finally {
    await kalam.end();
    rmSync(dir, { recursive: true });
}
