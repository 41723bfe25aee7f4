// import: 100,000 rows of real flights from a CSV file, through the terminal client.
import { mkdtempSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KalamDB, Postgres, duckdb, flights, interleaved, machine, writeResult } from "./lib.mjs";

const ROWS = 100000;
const where = machine();
const dir = mkdtempSync(join(tmpdir(), "flights-"));
chmodSync(dir, 0o755);
const csv = join(dir, "flights.csv");
duckdb(`COPY (SELECT row_number() OVER () AS id, * FROM '${flights}' LIMIT ${ROWS}) TO '${csv}' (HEADER)`);
const [kalam, postgres] = [await new KalamDB().start(), await new Postgres().start()];
const COLUMNS = "id BIGINT PRIMARY KEY, date TIMESTAMP, delay BIGINT, distance BIGINT, origin TEXT, destination TEXT";
let number = 0;

async function timed(server, run) {
    const cpu = server.cpu();
    const start = process.hrtime.bigint();
    await run();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    return { ops: ROWS, seconds, per_second: ROWS / seconds, cpu_us: ((server.cpu() - cpu) * 1e6) / ROWS };
}

try {
    await kalam.sql("CREATE NAMESPACE bench");
    const figures = await interleaved(3, {
        "KalamDB, kalam import": async () => {
            const table = `bench.flights_${++number}`;
            await kalam.sql(`CREATE SHARED TABLE ${table} (${COLUMNS})`);
            return timed(kalam, async () => kalam.cli("import", csv, "INTO", table));
        },
        "PostgreSQL, \\copy": async () => {
            const table = `flights_${++number}`;
            postgres.sql(`CREATE TABLE ${table} (${COLUMNS})`);
            return timed(postgres, async () => postgres.run("psql", ["-q", "-c", `\\copy ${table} FROM '${csv}' CSV HEADER`]));
        },
    });
    writeResult("import", { what: "100,000 rows of 6 columns from a CSV file into an empty table with a key",
        note: "CPU of the server; KalamDB acknowledges batches of up to 2,000 rows durably one by one, checks and keeps a change log; PostgreSQL commits once",
        machine: where, figures });
} finally {
    await Promise.all([kalam.end(), postgres.end()]);
    rmSync(dir, { recursive: true });
}
