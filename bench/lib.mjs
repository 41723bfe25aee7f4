// lib.mjs: what the benchmarks share: servers in temporary directories, CPU time, load, results.
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const here = dirname(fileURLToPath(import.meta.url));
export const root = dirname(here);
export const build = join(root, "build", "bench");
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"]));
const PASSWORD = "benchmark password";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function freePort() {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    await once(probe, "close");
    return port;
}

// CPU seconds of a process; with children also of those it has already waited for.
function cpuSeconds(pid, children = false) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const field = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    return (field[11] + field[12] + (children ? field[13] + field[14] : 0)) / TICKS;
}

// To the nanosecond, unlike the above: of a process whose threads do not end in between.
function cpuSecondsOfThreads(pid) {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce((sum, t) => sum + Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, "utf8").split(" ")[0]), 0) / 1e9;
}

class Process {
    async end() {
        if (this.child.exitCode === null && this.child.signalCode === null) {
            this.child.kill("SIGTERM");
            await once(this.child, "exit");
        }
        if (this.dir) rmSync(this.dir, { recursive: true, force: true });
    }
}

export class Hello extends Process {
    async start(loops) {
        this.port = await freePort();
        this.url = `http://127.0.0.1:${this.port}`;
        this.child = spawn(join(build, "bench", "bench_hello"), [String(this.port), String(loops)], { stdio: "inherit" });
        await sleep(300);
        return this;
    }
    cpu() { return cpuSeconds(this.child.pid); }
}

export class KalamDB extends Process {
    async start(...options) {
        this.dir ??= mkdtempSync(join(tmpdir(), "kalamdb-bench-"));
        this.options = options;
        this.port = await freePort();
        this.url = `http://127.0.0.1:${this.port}`;
        this.child = spawn(join(build, "kalamdb-server"),
            ["--data", join(this.dir, "data"), "--port", String(this.port), "--log-level", "warn", ...options],
            { env: { ...process.env, KALAMDB_ROOT_PASSWORD: PASSWORD }, stdio: ["ignore", "ignore", "inherit"] });
        for (let i = 0; ; i++) {
            try { await fetch(`${this.url}/health`); break; } catch { if (i > 200) throw new Error("the server does not start"); }
            await sleep(50);
        }
        this.token = await this.login("root", PASSWORD);
        return this;
    }
    // Ends the server, does something with its data, and starts it again.
    async restart(between = () => {}) {
        this.child.kill("SIGTERM");
        await once(this.child, "exit");
        between();
        return this.start(...this.options);
    }
    async login(user, password) {
        const reply = await fetch(`${this.url}/v1/api/auth/login`, { method: "POST",
            headers: { "content-type": "application/json" }, body: JSON.stringify({ user, password }) });
        return (await reply.json()).access_token;
    }
    async sql(sql, params, token = this.token) {
        const reply = await fetch(`${this.url}/v1/api/sql`, { method: "POST",
            headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
            body: JSON.stringify({ sql, params }) });
        const body = await reply.json();
        if (body.status !== "success") throw new Error(`${sql.slice(0, 100)}: ${JSON.stringify(body.error)}`);
        return body;
    }
    cli(...args) {
        const out = spawnSync(join(build, "kalam"), args, { encoding: "utf8", env: { ...process.env,
            HOME: this.dir, KALAMDB_URL: this.url, KALAMDB_TOKEN: this.token } });
        if (out.status !== 0) throw new Error(out.stderr);
        return out.stdout;
    }
    cpu() { return cpuSecondsOfThreads(this.child.pid); }
}

// PostgreSQL with its own defaults: fsync and synchronous_commit are on. Root may not run it.
export class Postgres extends Process {
    static bin = ["15", "16", "17"].map((v) => `/usr/lib/postgresql/${v}/bin`).find(existsSync);
    as = process.getuid() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
    run(program, args, options = {}) {
        const [command, ...rest] = [...this.as, join(Postgres.bin, program), ...args];
        return execFileSync(command, rest, { encoding: "utf8", env: { ...process.env, PGHOST: this.dir,
            PGPORT: String(this.port), PGUSER: "bench", PGDATABASE: "postgres" }, stdio: ["ignore", "pipe", "pipe"], ...options });
    }
    async start() {
        this.dir = mkdtempSync(join(tmpdir(), "postgres-bench-"));
        chmodSync(this.dir, 0o755);
        if (this.as.length) execFileSync("chown", ["postgres", this.dir]);
        this.port = await freePort();
        this.run("initdb", ["-D", join(this.dir, "data"), "-U", "bench", "-A", "trust", "--no-sync"]);
        const [command, ...rest] = [...this.as, join(Postgres.bin, "postgres"), "-D", join(this.dir, "data"),
            "-p", String(this.port), "-k", this.dir, "-c", "listen_addresses=127.0.0.1", "-c", "log_min_messages=fatal",
            "-c", "max_connections=120"];
        this.child = spawn(command, rest, { stdio: ["ignore", "ignore", "ignore"] });
        for (let i = 0; ; i++) {
            try { this.run("psql", ["-c", "SELECT 1"]); break; } catch (error) { if (i > 100) throw error; }
            await sleep(100);
        }
        return this;
    }
    sql(text) { return this.run("psql", ["-v", "ON_ERROR_STOP=1", "-q", "-c", text]); }
    cpu() {
        let sum = cpuSeconds(this.child.pid, true);
        for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
            try {
                const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
                if (stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] === String(this.child.pid)) sum += cpuSeconds(pid);
            } catch { /* it is gone */ }
        }
        return sum;
    }
    // Operations in `seconds`, by a script of pgbench.
    pgbench(script, clients, seconds, protocol = "prepared") {
        const file = join(this.dir, "script.sql");
        writeFileSync(file, script);
        chmodSync(file, 0o644);
        const before = this.cpu();
        const out = this.run("pgbench", ["-n", "-f", file, "-c", String(clients), "-j", "1", "-T", String(seconds),
            "-M", protocol, "-h", "127.0.0.1"]);
        const ops = Number(/transactions actually processed: (\d+)/.exec(out)[1]);
        const latency = Number(/latency average = ([\d.]+) ms/.exec(out)[1]);
        return { ops, seconds, cpu_us: ((this.cpu() - before) * 1e6) / ops, per_second: ops / seconds, latency_ms: latency };
    }
}

// One run of wrk; the script's done() prints what it saw as JSON.
export async function wrk(server, script, connections, seconds, path = "/v1/api/sql") {
    const before = server.cpu();
    const { stdout } = await promisify(execFile)("wrk", ["-t", "1", "-c", String(connections), "-d", `${seconds}s`,
        "-s", join(here, script), server.url + path], { env: { ...process.env, BENCH_TOKEN: server.token ?? "" } });
    const cpu = server.cpu() - before;
    const seen = JSON.parse(/^\{.*\}$/m.exec(stdout)[0]);
    if (seen.failed > 0) throw new Error(`${seen.failed} requests failed`);
    return { ops: seen.requests, seconds, cpu_us: (cpu * 1e6) / seen.requests, per_second: seen.requests / seconds,
        latency_ms: seen.latency_ms, p99_ms: seen.p99_ms };
}

// Runs each contender in turn, `rounds` times, and keeps the round of the median CPU time.
export async function interleaved(rounds, contenders) {
    const runs = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
    for (let round = 0; round < rounds; round++)
        for (const [name, run] of Object.entries(contenders)) runs[name].push(await run());
    return Object.fromEntries(Object.entries(runs).map(([name, list]) => {
        const sorted = [...list].sort((a, b) => a.cpu_us - b.cpu_us);
        const ratios = runs.KalamDB?.map((ours, round) => ours.cpu_us / list[round].cpu_us); // of neighbours: the machine's pace changes
        return [name, { ...sorted[Math.floor(sorted.length / 2)], ratio: ratios && median(ratios),
            cpu_us_min: sorted[0].cpu_us, cpu_us_max: sorted.at(-1).cpu_us }];
    }));
}

const round = (_, v) => (typeof v === "number" && !Number.isInteger(v) ? Number(v.toPrecision(4)) : v);

export function machine() {
    return { processor: cpus()[0].model, cores: cpus().length, memory_gib: Math.round(totalmem() / 2 ** 30),
        kernel: release(), load_before: Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]) };
}

export function writeResult(name, result) {
    mkdirSync(join(here, "results"), { recursive: true });
    writeFileSync(join(here, "results", `${name}.json`), JSON.stringify({ name, date: new Date().toISOString().slice(0, 10),
        ...result }, round, 2) + "\n");
    console.log(JSON.stringify(result.figures, round, 2));
}

export function duckdb(sql) {
    return execFileSync(join(build, "bench", "bench_duckdb"), ["2", sql], { input: "", encoding: "utf8" });
}
export const flights = join(root, "build", "deps", "vega-datasets", "data", "flights-3m.parquet");
