// group_by: an analytical query over the hot rows, against plain DuckDB over a table of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { KalamDB, build, duckdb, flights, interleaved, machine, writeResult } from "./lib.mjs";

const REPEATS = Number(process.env.BENCH_REPEATS ?? 5);
const where = machine();
const dir = mkdtempSync(join(tmpdir(), "flights-"));
const kalam = await new KalamDB().start();
const figures = {};

// A DuckDB process that runs the query once a line.
async function peer(create, query) {
    const child = spawn(join(build, "bench", "bench_duckdb"), ["2", create, query], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await lines.next(); // ready
    return {
        run: async () => {
            child.stdin.write("\n");
            const [wall, cpu] = (await lines.next()).value.split(" ").map(Number);
            return { ops: 1, seconds: wall / 1e6, cpu_us: cpu, latency_ms: wall / 1000 };
        },
        end: async () => { child.stdin.end(); await once(child, "exit"); },
    };
}

async function several(count, run) {
    const all = [];
    for (let i = 0; i < count; i++) all.push(await run());
    const mean = (key) => all.reduce((sum, one) => sum + one[key], 0) / count;
    return { ops: count, cpu_us: mean("cpu_us"), latency_ms: mean("latency_ms") };
}

try {
    await kalam.sql("CREATE NAMESPACE bench");
    for (const rows of [10000, 1000000]) {
        const csv = join(dir, `flights-${rows}.csv`);
        const source = `SELECT row_number() OVER () AS id, * FROM '${flights}' LIMIT ${rows}`;
        const query = (table) =>
            `SELECT origin, count(*) AS n, avg(delay) AS delay, max(distance) AS far FROM ${table} GROUP BY origin ORDER BY n DESC, origin`;
        duckdb(`COPY (${source}) TO '${csv}' (HEADER)`);
        await kalam.sql(`CREATE SHARED TABLE bench.flights_${rows} (id BIGINT PRIMARY KEY, date TIMESTAMP, delay BIGINT, distance BIGINT, origin TEXT, destination TEXT)`);
        kalam.cli("import", csv, "INTO", `bench.flights_${rows}`);
        const plain = await peer(`CREATE TABLE flights AS ${source}`, query("flights"));
        const count = rows > 100000 ? REPEATS : REPEATS * 20;
        const one = await interleaved(3, {
            KalamDB: () => several(count, async () => {
                const cpu = kalam.cpu();
                const start = process.hrtime.bigint();
                await kalam.sql(query(`bench.flights_${rows}`));
                return { latency_ms: Number(process.hrtime.bigint() - start) / 1e6, cpu_us: (kalam.cpu() - cpu) * 1e6 };
            }),
            DuckDB: () => several(count, plain.run),
        });
        for (const [name, figure] of Object.entries(one)) figures[`${name}, ${rows.toLocaleString("en")} rows`] = figure;
        await plain.end();
    }
    writeResult("group_by", { what: "GROUP BY over real flights: count, avg, max by airport",
        note: "KalamDB: durable rows as of one moment, over HTTP; DuckDB: its own in-memory table, in the process, 2 threads",
        machine: where, figures });
} finally {
    await kalam.end();
    rmSync(dir, { recursive: true });
}
