// schema: the catalog in the process (bench_schema), and DESCRIBE over HTTP against /health.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { KalamDB, build, interleaved, machine, writeResult, wrk } from "./lib.mjs";

const SECONDS = Number(process.env.BENCH_SECONDS ?? 3);
const where = machine();
const inside = JSON.parse(execFileSync(join(build, "bench", "bench_schema"), { encoding: "utf8" }));
const kalam = await new KalamDB().start("--loops", "1");
try {
    await kalam.sql("CREATE NAMESPACE bench");
    await kalam.sql("CREATE SHARED TABLE bench.accounts (aid INT PRIMARY KEY, bid INT, abalance INT, filler TEXT)");
    const figures = await interleaved(5, {
        "GET /health": () => wrk(kalam, "health.lua", 16, SECONDS),
        "KalamDB, DESCRIBE": () => wrk(kalam, "describe.lua", 16, SECONDS),
    });
    figures["KalamDB, DESCRIBE"].ratio = figures["KalamDB, DESCRIBE"].cpu_us / figures["GET /health"].cpu_us;
    writeResult("schema", { what: "Schemas: DESCRIBE over HTTP, and the catalog inside the process",
        note: "16 connections; DESCRIBE parses the request and checks the token each time, /health does neither",
        machine: where, figures, inside });
} finally {
    await kalam.end();
}
