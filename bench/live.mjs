// live: live queries: one change to many sockets beside plain write(), NATS and npm's ws; from commit to frame; first rows; memory of
// idle connections; and matching among many subscriptions, in the process.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { KalamDB, build, here, interleaved, machine, root, sleep, writeResult } from "./lib.mjs";

const WebSocket = createRequire(join(root, "build", "deps", "node_modules", "here.js"))("ws");
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const IDLE = Number(process.env.BENCH_IDLE ?? 19500);
const FAR = 120; // seconds
const where = machine();
const figures = {};
const inside = {};
const program = (name) => join(build, "bench", name);
const log = (...words) => console.error(...words);

// CPU seconds of a process, to the nanosecond, of the threads that are alive.
function cpu(pid) {
    return readdirSync(`/proc/${pid}/task`).map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]))
        .reduce((a, b) => a + b) / 1e9;
}

// A program that answers each line with a line.
class Asked {
    constructor(command, args, env = {}) {
        this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
        this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
        this.pid = this.child.pid;
    }
    async line() {
        const { value, done } = await this.lines.next();
        if (done) throw new Error("a program of the benchmark has ended");
        return value;
    }
    ask(text) { this.child.stdin.write(`${text}\n`); return this.line(); }
    async end() {
        this.child.stdin.end();
        if (this.child.exitCode === null) await once(this.child, "exit");
    }
}

async function clients(mode, port, count, env) {
    const asked = new Asked(program("bench_live_clients"), [mode, String(port), String(count)], env);
    if (await asked.line() !== "ready") throw new Error("the clients are not ready");
    return asked;
}

let port = 21000 + (process.pid % 5000);

// ---- one change to many ----

const TEXT = "a text of some two hundred bytes, as a message of a chat may have it, with a name and what was said in it, and then something else ".repeat(2).slice(0, 200);
let id = 1;

// INSERT of so many rows: one commit.
function insertRows(count) {
    const rows = Array.from({ length: count }, () => `(${id++}, 'ann', '${TEXT}')`);
    return `INSERT INTO bench.chat VALUES ${rows.join(", ")}`;
}

async function kalamContender(kalam, count) {
    const readers = await clients("kalamdb", kalam.port, count, { BENCH_TOKEN: kalam.token, BENCH_SQL: "SELECT * FROM bench.chat" });
    return { pid: kalam.child.pid, readers, publish: (burst) => kalam.sql(insertRows(burst)), end: () => readers.end() };
}

async function asking(command, args, at, mode, count, bytes) {
    const server = new Asked(command, args);
    await server.line();
    const readers = await clients(mode, at, count);
    return { pid: server.pid, readers, publish: (burst) => server.ask(`${bytes} ${burst}`), end: async () => { await readers.end(); await server.end(); } };
}

async function natsContender(count, bytes) {
    const at = port++;
    const server = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(at)], { stdio: "ignore" });
    await sleep(700);
    const readers = await clients("nats", at, count);
    const publisher = connect(at, "127.0.0.1");
    await once(publisher, "connect");
    publisher.on("data", () => {});
    publisher.write('CONNECT {"verbose":false}\r\n');
    const one = `PUB bench ${bytes}\r\n${"x".repeat(bytes)}\r\n`;
    return { pid: server.pid, readers, publish: (burst) => publisher.write(one.repeat(burst)),
        end: async () => { await readers.end(); publisher.destroy(); server.kill(); await once(server, "exit"); } };
}

// CPU of the server for a delivered message: `changes` times a burst.
async function deliver(contender, count, changes, burst) {
    const before = cpu(contender.pid);
    const begun = performance.now();
    for (let i = 0; i < changes; i++) {
        const answer = contender.readers.ask(`${count * burst} ${FAR}`);
        await contender.publish(burst);
        const came = Number(await answer);
        if (came !== count * burst) throw new Error(`${came} messages came instead of ${count * burst}`);
    }
    const seconds = (performance.now() - begun) / 1000;
    const ops = count * burst * changes;
    return { ops, seconds, cpu_us: ((cpu(contender.pid) - before) * 1e6) / ops, per_second: ops / seconds, latency_ms: (seconds * 1000) / changes };
}

async function fanOut(kalam, oneLoop, count, changes, burst, what) {
    const bytes = JSON.stringify({ type: "change", subscription_id: "s", change_type: "insert",
        rows: [{ id: "100", name: "ann", body: TEXT, _seq: "1000" }], seq: 1000 }).length;
    const contenders = { KalamDB: await kalamContender(kalam, count), "KalamDB with one event loop": await kalamContender(oneLoop, count) };
    const [plain, ws] = [port++, port++];
    contenders["write() alone"] = await asking(program("bench_live_plain"), [String(plain)], plain, "plain", count, bytes);
    contenders["npm ws"] = await asking(process.execPath, [join(here, "live_ws_server.mjs"), String(ws)], ws, "plain", count, bytes);
    if (existsSync("/usr/sbin/nats-server") || existsSync("/usr/bin/nats-server")) contenders.NATS = await natsContender(count, bytes);
    for (const one of Object.values(contenders)) await deliver(one, count, 2, burst); // warm
    const result = await interleaved(ROUNDS, Object.fromEntries(Object.entries(contenders)
        .map(([name, one]) => [name, () => deliver(one, count, changes, burst)])));
    for (const [name, figure] of Object.entries(result)) figures[`${name}, ${what}`] = figure;
    for (const one of Object.values(contenders)) await one.end();
    log(what, Object.fromEntries(Object.entries(result).map(([name, f]) => [name, f.cpu_us.toFixed(2)])));
    await sleep(500);
}

// ---- from commit to frame ----

// The machine is shared: with real-time priority the server does not wait for whoever else computes.
async function commitToFrame(realTime) {
    const how = realTime ? ", real-time priority" : "";
    const dir = mkdtempSync(join(tmpdir(), "stamps-"));
    const file = join(dir, "stamps");
    const preload = { LD_PRELOAD: program("bench_live_stamp.so"), BENCH_STAMPS: file };
    Object.assign(process.env, preload);
    const kalam = await new KalamDB().start();
    for (const name of Object.keys(preload)) delete process.env[name];
    await makeChat(kalam);
    if (realTime) execFileSync("chrt", ["-a", "-r", "-p", "1", String(kalam.child.pid)]);
    const one = await kalamContender(kalam, 1);
    const COUNT = 3000;
    const before = cpu(kalam.child.pid);
    for (let i = 0; i < COUNT; i++) { // one under way at a time, so a stamp is of one commit
        const told = one.readers.ask(`1 ${FAR}`);
        await kalam.sql(insertRows(1));
        await told;
    }
    const cpu_us = ((cpu(kalam.child.pid) - before) * 1e6) / COUNT;
    await one.end();
    await kalam.end();
    const us = readFileSync(file, "utf8").trim().split("\n").map(Number).sort((a, b) => a - b);
    rmSync(dir, { recursive: true });
    if (us.length < COUNT) throw new Error(`only ${us.length} frames were stamped`);
    const at = (p) => us[Math.floor(us.length * p)];
    figures[`KalamDB, from a durable commit to its frame written${how}`] = { ops: us.length, cpu_us,
        latency_ms: us.reduce((a, b) => a + b) / us.length / 1000, p99_ms: at(0.99) / 1000 };
    for (const [name, p] of [["p50", 0.5], ["p90", 0.9], ["p99", 0.99], ["p99.9", 0.999]])
        inside[`from a durable commit to its frame written${how}, ${name}, µs`] = at(p);
    log("commit to frame", how, at(0.5), at(0.99), at(0.999));
}

function wakeAlone() {
    const dir = mkdtempSync(join(tmpdir(), "wake-"));
    const us = JSON.parse(execFileSync(program("bench_wake"), [join(dir, "log"), "3000"], { encoding: "utf8" }));
    rmSync(dir, { recursive: true });
    for (const [name, value] of Object.entries(us)) inside[`a thread woken after fdatasync() that sends, nothing else, ${name}, µs`] = value;
    log("wake alone", us);
}

// ---- first rows ----

async function firstRows(deflate) {
    const kalam = await new KalamDB().start("--ws-messages-per-second", "1000000");
    await makeChat(kalam);
    await kalam.sql(insertRows(1000));
    const ws = new WebSocket(`ws://127.0.0.1:${kalam.port}/v1/ws`, { perMessageDeflate: deflate, headers: { authorization: `Bearer ${kalam.token}` } });
    const waiting = [];
    ws.on("message", (data) => { if (data.length > 100000) waiting.shift()(data.length); });
    await once(ws, "open");
    const subscribe = async (name) => {
        const came = new Promise((resolve) => waiting.push(resolve));
        ws.send(JSON.stringify({ type: "subscribe", subscription: { id: name, sql: "SELECT * FROM bench.chat" } }));
        await came;
        ws.send(JSON.stringify({ type: "unsubscribe", subscription_id: name }));
    };
    const several = async () => {
        const before = cpu(kalam.child.pid);
        const begun = performance.now();
        for (let i = 0; i < 100; i++) await subscribe(`s${i}`);
        const ms = (performance.now() - begun) / 100;
        return { ops: 100, cpu_us: ((cpu(kalam.child.pid) - before) * 1e6) / 100, latency_ms: ms, per_second: 1000 / ms };
    };
    await several();
    const name = `KalamDB, subscribe with 1,000 first rows${deflate ? ", permessage-deflate" : ""}`;
    Object.assign(figures, await interleaved(ROUNDS, { [name]: several }));
    log(name, figures[name]);
    ws.close();
    await kalam.end();
}

// ---- idle connections ----

const privateBytes = (pid) => Number(/^Private_Dirty: *(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]) * 1024;

async function idle(mode, what) {
    const kalam = await new KalamDB().start("--connections-max", "100000", "--live-per-user-max", "1000000");
    await makeChat(kalam);
    const env = { BENCH_TOKEN: kalam.token, BENCH_SQL: "SELECT * FROM bench.chat" };
    const few = await clients(mode, kalam.port, 100, env);
    await sleep(1000);
    const before = privateBytes(kalam.child.pid);
    const many = await clients(mode, kalam.port, IDLE, env);
    await sleep(2000);
    const bytes = (privateBytes(kalam.child.pid) - before) / IDLE;
    const cpuBefore = cpu(kalam.child.pid);
    await sleep(10000);
    inside[`${IDLE.toLocaleString("en")} idle WebSockets, ${what}: memory of one, bytes`] = bytes;
    inside[`${IDLE.toLocaleString("en")} idle WebSockets, ${what}: CPU, share of a core in %`] = (cpu(kalam.child.pid) - cpuBefore) * 10;
    log("idle", what, bytes, (cpu(kalam.child.pid) - cpuBefore) * 10);
    await many.end();
    await few.end();
    await kalam.end();
}

// ---- matching ----

function matching() {
    const dir = mkdtempSync(join(tmpdir(), "live-match-"));
    const out = execFileSync(program("bench_live_match"), [join(dir, "data"), process.env.BENCH_SUBSCRIPTIONS ?? "100000"], { encoding: "utf8" });
    rmSync(dir, { recursive: true });
    Object.assign(inside, JSON.parse(out));
}

async function makeChat(kalam) {
    await kalam.sql("CREATE NAMESPACE bench");
    await kalam.sql("CREATE SHARED TABLE bench.chat (id BIGINT PRIMARY KEY, name TEXT, body TEXT)");
}

const all = { latency: async () => { await commitToFrame(false); wakeAlone(); await commitToFrame(true); }, first: async () => { await firstRows(false); await firstRows(true); }, idle: () => idle("login", "logged in"),
    subscribed: () => idle("kalamdb", "with one subscription each"), fan: manySockets, match: matching };

async function manySockets() {
    const options = ["--connections-max", "100000", "--live-per-user-max", "1000000"];
    const [kalam, oneLoop] = [await new KalamDB().start(...options), await new KalamDB().start(...options, "--loops", "1")];
    for (const one of [kalam, oneLoop]) await makeChat(one);
    await fanOut(kalam, oneLoop, 1000, 100, 1, "1,000 sockets");
    await fanOut(kalam, oneLoop, 10000, 10, 1, "10,000 sockets");
    await fanOut(kalam, oneLoop, 1000, 4, 100, "1,000 sockets, bursts of 100");
    await kalam.end();
    await oneLoop.end();
}

const wanted = process.env.BENCH_ONLY?.split(",") ?? Object.keys(all);
for (const name of wanted) await all[name]();
const result = { what: "Live queries: one change to many WebSockets, CPU of the server for each delivered message of about 300 bytes",
    note: "KalamDB: a durable INSERT, matched, encoded and told; the others only deliver, from memory; the clients are one process that counts frames",
    machine: where, figures, inside };
if (process.env.BENCH_ONLY) console.log(JSON.stringify({ figures, inside }, null, 2));
else writeResult("live", result);
