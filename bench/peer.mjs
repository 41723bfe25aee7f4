// peer.mjs: plain DuckDB in a process of its own, as a peer, and means over several queries.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "./lib.mjs";

// A DuckDB process; run() asks it the query, or another one.
export async function duckdbPeer(create, query, threads = 2) {
    const child = spawn(join(build, "bench", "bench_duckdb"), [String(threads), create], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await lines.next(); // ready
    return {
        pid: child.pid,
        run: async (sql = query) => {
            child.stdin.write(sql.replace(/\s+/g, " ") + "\n");
            const [, wall, cpu, value] = /^(\d+) (\d+) (.*)$/.exec((await lines.next()).value);
            return { ops: 1, seconds: wall / 1e6, cpu_us: Number(cpu), latency_ms: wall / 1000, value };
        },
        end: async () => { child.stdin.end(); await once(child, "exit"); },
    };
}

// Processes that take turns use the same processor from now on: of shared ones, each is slow at other times. Gives what ends it.
export function onOneProcessor(...pids) {
    const bind = (list) => pids.forEach((pid) => execFileSync("taskset", ["-a", "-c", "-p", list, String(pid)], { stdio: "ignore" }));
    bind(String(cpus().length - 1));
    return () => bind(`0-${cpus().length - 1}`);
}

// The same of a statement over HTTP.
export async function overHttp(kalam, sql, params, token) {
    const cpu = kalam.cpu();
    const start = process.hrtime.bigint();
    await kalam.sql(sql, params, token);
    return { latency_ms: Number(process.hrtime.bigint() - start) / 1e6, cpu_us: (kalam.cpu() - cpu) * 1e6 };
}

export async function several(count, run) {
    const all = [];
    for (let i = 0; i < count; i++) all.push(await run());
    const mean = (key) => all.reduce((sum, one) => sum + one[key], 0) / count;
    return { ops: count, cpu_us: mean("cpu_us"), latency_ms: mean("latency_ms") };
}

// As often as fits into `seconds`, but at least so many times.
export async function lasting(seconds, run, least = 3) {
    const all = [];
    const start = performance.now();
    while (all.length < least || performance.now() - start < seconds * 1000) all.push(await run());
    const mean = (key) => all.reduce((sum, one) => sum + one[key], 0) / all.length;
    return { ops: all.length, cpu_us: mean("cpu_us"), latency_ms: mean("latency_ms") };
}
