// group_by: an analytical query over the hot rows, against plain DuckDB over a table of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KalamDB, duckdb, flights, interleaved, machine, writeResult } from "./lib.mjs";
import { duckdbPeer, overHttp, several } from "./peer.mjs";

const REPEATS = Number(process.env.BENCH_REPEATS ?? 5);
const where = machine();
const dir = mkdtempSync(join(tmpdir(), "flights-"));
const kalam = await new KalamDB().start();
const figures = {};

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
        const plain = await duckdbPeer(`CREATE TABLE flights AS ${source}`, query("flights"));
        const count = rows > 100000 ? REPEATS : REPEATS * 20;
        const one = await interleaved(3, {
            KalamDB: () => several(count, () => overHttp(kalam, query(`bench.flights_${rows}`))),
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
