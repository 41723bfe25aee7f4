// peer.mjs: plain DuckDB in a process of its own, as a peer, and means over several queries.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "./lib.mjs";

// A DuckDB process that runs the query once a line.
export async function duckdbPeer(create, query) {
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

// The same of a statement over HTTP.
export async function overHttp(kalam, sql, params) {
    const cpu = kalam.cpu();
    const start = process.hrtime.bigint();
    await kalam.sql(sql, params);
    return { latency_ms: Number(process.hrtime.bigint() - start) / 1e6, cpu_us: (kalam.cpu() - cpu) * 1e6 };
}

export async function several(count, run) {
    const all = [];
    for (let i = 0; i < count; i++) all.push(await run());
    const mean = (key) => all.reduce((sum, one) => sum + one[key], 0) / count;
    return { ops: count, cpu_us: mean("cpu_us"), latency_ms: mean("latency_ms") };
}
