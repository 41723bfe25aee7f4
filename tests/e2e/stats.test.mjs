// system.stats, settings and datatypes of a running server: every name is there, counts are COUNT(*) of the
// same moment, the process and the disk are as the operating system says, a known load is found again.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT_PASSWORD, Server } from "./server.mjs";

const MIB = 1024 * 1024;
const config = mkdtempSync(join(tmpdir(), "kalamdb-config-"));
const toml = join(config, "server.toml");
writeFileSync(toml, `
[server]
idle_timeout_ms = 61000
connections_max = 777
loops = 1
[engine]
timeout_ms = 29000
statement_limit_mb = 128
[storage]
durability = "interval"
`);
const server = new Server({ args: ["--config", toml, "--statement-limit-mb", "96"] });
let root, spawned, answered;
before(async () => {
    spawned = Date.now();
    await server.start();
    answered = Date.now();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, t TEXT)");
});
after(async () => {
    await server.close();
    rmSync(config, { recursive: true });
});

const statsOf = async (client) => Object.fromEntries(await client.rows("SELECT * FROM system.stats"));
const stats = () => statsOf(root);
const between = (value, low, high, what) =>
    assert.ok(value >= low && value <= high, `${what}: ${value} is not between ${low} and ${high}`);

// The task list of the original, then its newer names, then ours.
const NAMES = `schema_cache_hit_rate schema_cache_size type_conversion_cache_hit_rate server_uptime_seconds memory_usage_bytes
    cpu_usage_percent total_tables total_namespaces total_storages total_users total_jobs total_live_queries
    avg_query_latency_ms disk_space_used_bytes disk_space_available_bytes queries_per_second active_connections
    schema_cache_hits schema_cache_misses schema_cache_evictions
    server_uptime_human server_version node_id jobs_running jobs_queued jobs_failed active_connections_peak max_connections
    active_subscriptions active_subscriptions_peak websocket_sessions websocket_sessions_peak websocket_slow_clients memory_usage_mb memory_rss_bytes
    memory_rss_mb thread_count cpu_logical_cores open_files_total open_files_regular open_files_directories open_files_other
    storage_partition_count
    open_files_sockets open_files_limit schema_cache_bytes type_conversion_cache_size type_conversion_cache_hits
    schema_cache_capacity schema_cache_revalidations schema_cache_failures schema_cache_slow_path_locks
    type_conversion_cache_capacity stream_rows_evicted stream_compactions flushes rows_flushed segment_compactions
    s3_requests s3_retries s3_failures s3_cache_hits s3_cache_misses s3_cache_evictions s3_cache_bytes s3_cache_fetched_bytes
    job_starts job_completions job_failures job_cancellations job_retries
    type_conversion_cache_misses total_queries total_query_errors query_window_total query_window_seconds`.split(/\s+/);

test("every name is there once, and every value is a number", async () => {
    const result = await root.sql("SELECT * FROM system.stats");
    assert.deepEqual(result.schema.map((c) => [c.name, c.data_type]), [["metric_name", "Text"], ["metric_value", "Text"]]);
    assert.deepEqual(result.rows.map(([name]) => name).sort(), [...NAMES].sort());
    for (const [name, value] of result.rows) {
        if (name === "server_version") assert.match(value, /^\d+\.\d+\.\d+$/);
        else if (name === "server_uptime_human") assert.match(value, /^\d+d \d+h \d+m \d+s$/);
        else if (/(_rate|_percent|_ms|_per_second|_window_seconds)$/.test(name)) assert.match(value, /^\d+\.\d{6}$/, name);
        else assert.match(value, /^\d+$/, name);
    }
    const version = execFileSync(process.env.KALAMDB_SERVER, ["--version"], { encoding: "utf8" });
    assert.equal(`kalamdb-server ${(await stats()).server_version}\n`, version);
});

test("counts are COUNT(*) of the same moment, while schemas change", async () => {
    const COUNTS = { total_tables: "tables", total_namespaces: "namespaces", total_storages: "storages", total_users: "users",
        total_jobs: "jobs", total_live_queries: "live_queries" };
    const sql = `SELECT metric_name, metric_value, CASE metric_name ${Object.entries(COUNTS).map(([metric, table]) =>
        `WHEN '${metric}' THEN (SELECT count(*) FROM system.${table})`).join(" ")} END
        FROM system.stats WHERE metric_name IN (${Object.keys(COUNTS).map((m) => `'${m}'`)})`;
    let changing = true;
    const changer = await server.client();
    const changes = (async () => {
        for (let i = 0; changing; i++) {
            await changer.sql(`CREATE NAMESPACE n${i}`);
            await changer.sql(`CREATE SHARED TABLE n${i}.t (id BIGINT PRIMARY KEY)`);
            await changer.sql(`CREATE USER 'u${i}' WITH PASSWORD 'password of u${i}' ROLE user`);
            if (i % 2) await changer.sql(`DROP NAMESPACE n${i} CASCADE`);
        }
    })();
    const seen = new Set();
    for (let i = 0; i < 30; i++) {
        const rows = await root.rows(sql);
        assert.equal(rows.length, Object.keys(COUNTS).length);
        for (const [name, value, count] of rows) assert.equal(value, count, name);
        seen.add(rows.find(([name]) => name === "total_tables")[1]);
    }
    changing = false;
    await changes;
    assert.ok(seen.size > 1, "nothing changed meanwhile");
    const s = await stats();
    assert.equal(Number(s.jobs_running) + Number(s.jobs_queued) + Number(s.jobs_failed), 0);
    assert.equal(s.active_subscriptions, s.total_live_queries);
});

// What /proc says, before and after: a number that did not change meanwhile must be met exactly.
function processNow() {
    const status = readFileSync(`/proc/${server.process.pid}/status`, "utf8");
    const field = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)[1]);
    return { rss: field("VmRSS") * 1024, threads: field("Threads"), files: readdirSync(`/proc/${server.process.pid}/fd`).length };
}

test("memory, threads and open files are those of /proc", async () => {
    await stats(); // what is loaded when first needed is there now
    const low = processNow();
    const s = await stats();
    const high = processNow();
    const range = (key, slack) => [Math.min(low[key], high[key]) - slack, Math.max(low[key], high[key]) + slack];
    // The statement itself takes memory and gives it back: 16 MiB are more than it needs.
    between(Number(s.memory_usage_bytes), ...range("rss", 16 * MIB), "memory_usage_bytes");
    assert.equal(s.memory_rss_bytes, s.memory_usage_bytes);
    assert.equal(Number(s.memory_usage_mb), Math.floor(Number(s.memory_usage_bytes) / MIB));
    between(Number(s.thread_count), ...range("threads", 0), "thread_count");
    // RocksDB may open a file and close it again meanwhile.
    between(Number(s.open_files_total), ...range("files", 2), "open_files_total");
    assert.equal(Number(s.open_files_total), ["regular", "directories", "sockets", "other"]
        .reduce((sum, kind) => sum + Number(s[`open_files_${kind}`]), 0));
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${server.process.pid}/limits`, "utf8"))[1];
    assert.equal(s.open_files_limit, limit);
    assert.equal(Number(s.cpu_logical_cores), Number(execFileSync("getconf", ["_NPROCESSORS_ONLN"], { encoding: "utf8" })));
});

test("the processors' use is a share of them", async () => {
    await root.sql("SELECT sum(a.range * b.range % 7) FROM range(3000) a, range(3000) b");
    const s = await stats();
    between(Number(s.cpu_usage_percent), 0.001, 100 * Number(s.cpu_logical_cores) * 1.05, "cpu_usage_percent");
});

test("the disk is as du and the file system say", async () => {
    const big = "x".repeat(1000);
    await root.sql(`INSERT INTO app.notes SELECT r, '${big}' || r FROM range(20000) t(r)`);
    const du = () => Number(execFileSync("du", ["-s", "--block-size=1", join(server.dir, "data")], { encoding: "utf8" }).split("\t")[0]);
    const available = () => { const f = statfsSync(server.dir); return f.bavail * f.bsize; };
    const low = [du(), available()];
    const s = await stats();
    const high = [du(), available()];
    // RocksDB works in the background (compaction, its own log), so the directory breathes by a few files;
    // others share the file system, which gets half a GiB of slack.
    between(Number(s.disk_space_used_bytes), Math.min(low[0], high[0]) - 4 * MIB, Math.max(low[0], high[0]) + 4 * MIB, "disk_space_used_bytes");
    between(Number(s.disk_space_available_bytes), Math.min(low[1], high[1]) - 512 * MIB, Math.max(low[1], high[1]) + 512 * MIB,
        "disk_space_available_bytes");
});

test("uptime is the wall clock's", async () => {
    const asked = Date.now();
    const s = await stats();
    const got = Date.now();
    // It opened between the start of the process and its first answer; whole seconds are shown.
    between(Number(s.server_uptime_seconds), Math.floor((asked - answered) / 1000), Math.ceil((got - spawned) / 1000), "server_uptime_seconds");
    const [d, h, m, sec] = s.server_uptime_human.match(/\d+/g).map(Number);
    assert.equal(d * 86400 + h * 3600 + m * 60 + sec, Number(s.server_uptime_seconds));
});

test("connections are counted, and their peak stays", async () => {
    const first = Number((await stats()).active_connections);
    const sockets = [];
    for (let i = 0; i < 5; i++) sockets.push(net.connect(server.port, "127.0.0.1"));
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    // The kernel answers before the server accepts, so it is waited for.
    const until = async (wanted) => {
        for (let i = 0; i < 200; i++) {
            const s = await stats();
            if (wanted(Number(s.active_connections))) return s;
            await new Promise((resolve) => setTimeout(resolve, 25));
        }
        assert.fail(`active_connections stays at ${(await stats()).active_connections}`);
    };
    let s = await until((n) => n >= first + 5);
    assert.ok(Number(s.active_connections_peak) >= Number(s.active_connections));
    for (const socket of sockets) socket.destroy();
    s = await until((n) => n <= first);
    assert.ok(Number(s.active_connections_peak) >= first + 5);
    assert.equal(s.max_connections, "777");
});

// A server of its own, so that every statement it ever ran is known. The reply says how long each one took; the
// server's clock stops a moment later, and before the client has the answer.
test("a known load is found in totals, rate and latency", async () => {
    const loaded = new Server();
    try {
        await loaded.start();
        const client = await loaded.client();
        let statements = 0, errors = 0, took = 0, waited = 0;
        const run = async (sql, count = 1) => {
            const start = process.hrtime.bigint();
            try {
                took += (await client.request(sql)).took;
            } catch {
                errors++;
            }
            waited += Number(process.hrtime.bigint() - start) / 1e6;
            statements += count;
        };
        await run("CREATE SHARED TABLE t (id BIGINT PRIMARY KEY, v INT)");
        for (let i = 0; i < 100; i++) await run(`INSERT INTO t VALUES (${i}, ${i})`);
        for (let i = 0; i < 100; i++) await run(`SELECT v FROM t WHERE id = ${i}`);
        for (let i = 0; i < 10; i++) await run("SELECT count(*), sum(v) FROM t");
        for (let i = 0; i < 7; i++) await run("SELECT nothing FROM t");
        for (let i = 0; i < 5; i++) await run(`BEGIN; UPDATE t SET v = v + 1 WHERE id = ${i}; SELECT v FROM t; COMMIT`, 4);
        assert.equal(errors, 7);
        const s = await statsOf(client);
        const later = await statsOf(client);
        assert.equal(Number(s.total_queries), statements);
        assert.equal(Number(s.total_query_errors), errors);
        // The window is the current second and the 59 before it: of a younger server, everything.
        const window = Number(s.query_window_seconds);
        between(window, 1, 60, "query_window_seconds");
        if (Number(s.server_uptime_seconds) < 59) {
            assert.equal(Number(s.query_window_total), statements);
            // The clock is read again for the window, after the tables were counted: what it may be at most, the next reading says.
            between(window, Math.max(1, Number(s.server_uptime_seconds)), Number(later.server_uptime_seconds) + 1, "query_window_seconds");
            // All latencies together lie between what the replies say and what the client waited.
            const total = Number(s.avg_query_latency_ms) * statements;
            between(total, took - 0.001 * statements, waited + 0.001 * statements, "the sum of latencies");
        }
        const rate = Number(s.query_window_total) / window;
        between(Number(s.queries_per_second), rate * 0.999, rate * 1.001, "queries_per_second");
        assert.equal(Number(later.total_queries), statements + 1, "reading them is a query too");
        // Another server's life begins at nothing.
        await loaded.restart();
        assert.equal((await statsOf(await loaded.client())).total_queries, "0");
    } finally {
        await loaded.close();
    }
});

test("the schema cache is seen at work", async () => {
    const rate = (s) => {
        const lookups = Number(s.schema_cache_hits) + Number(s.schema_cache_misses);
        between(Number(s.schema_cache_hit_rate), Number(s.schema_cache_hits) / lookups - 1e-6, Number(s.schema_cache_hits) / lookups + 1e-6, "hit rate");
        return lookups;
    };
    const s = await stats();
    rate(s);
    for (let i = 0; i < 50; i++) await root.sql("SELECT t FROM app.notes WHERE id = 1");
    const later = await stats();
    assert.ok(rate(later) >= rate(s) + 50);
    assert.ok(Number(later.schema_cache_size) > 0);
    assert.ok(Number(later.schema_cache_bytes) > 100 * Number(later.schema_cache_size));
});

// In a server of its own, so that nothing else looks tables up.
test("10,000 look-ups through SQL leave the hit rate above 0.99, and take no lock once warm", async () => {
    const own = await new Server().start();
    try {
        const client = await own.client();
        await client.sql("CREATE NAMESPACE app");
        for (let i = 0; i < 20; i++) await client.sql(`CREATE TABLE app.t${i} (id BIGINT PRIMARY KEY, v TEXT)`);
        const ask = async (count) => {
            for (let at = 0; at < count; at += 50) // a request of 50 statements is 50 look-ups or more
                await client.request(Array.from({ length: 50 }, (_, i) => `SELECT v FROM app.t${(at + i) % 20} WHERE id = 1`).join(";"));
        };
        await ask(2000); // every thread of the pool has met every table
        const warm = await statsOf(client);
        await ask(10000);
        const later = await statsOf(client);
        const of = (name) => Number(later[name]) - Number(warm[name]);
        assert.ok(Number(later.schema_cache_hit_rate) > 0.99, later.schema_cache_hit_rate);
        assert.ok(of("schema_cache_hits") >= 10000);
        assert.equal(of("schema_cache_misses"), 0);
        assert.ok(of("schema_cache_slow_path_locks") < 100, `${of("schema_cache_slow_path_locks")} locks`);
    } finally {
        await own.close();
    }
});

test("roles user and service are refused, dba and system are not", async () => {
    for (const role of ["user", "service"]) {
        const client = await root.addUser(`a_${role}`, role);
        for (const sql of ["SELECT * FROM system.stats", "SELECT metric_value FROM system.stats WHERE metric_name = 'total_users'",
            "SELECT count(*) FROM (SELECT 1 FROM system.stats) x", "SELECT * FROM system.settings",
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM system.settings)", "WITH s AS (SELECT * FROM system.settings) SELECT * FROM s"]) {
            const error = await client.error(sql);
            assert.deepEqual([error.status, error.code], [403, "PERMISSION_DENIED"], sql);
            assert.match(error.message, /system\.(stats|settings)/);
        }
        for (const table of ["datatypes", "columns", "describe"])
            assert.ok((await client.rows(`SELECT * FROM system.${table}`)).length > 0, table);
    }
    for (const role of ["dba", "system"]) {
        const client = await root.addUser(`a_${role}`, role);
        assert.equal((await client.rows("SELECT * FROM system.stats")).length, NAMES.length);
        assert.ok((await client.rows("SELECT * FROM system.settings")).length > 10);
    }
});

test("settings are the ones in effect, and secrets are not shown", async () => {
    const result = await root.sql("SELECT * FROM system.settings");
    assert.deepEqual(result.schema.map((c) => c.name), ["name", "value", "description", "category"]);
    const values = Object.fromEntries(result.rows);
    // server.toml, over which the command line wins, over defaults; "0: any" is shown as what it became
    assert.equal(values["server.idle_timeout_ms"], "61000");
    assert.equal(values["server.connections_max"], "777");
    assert.equal(values["server.loops"], "1");
    assert.equal(values["engine.timeout_ms"], "29000");
    assert.equal(values["engine.statement_limit_mb"], "96");
    assert.equal(values["storage.durability"], "interval");
    assert.equal(values["storage.data_dir"], join(server.dir, "data"));
    assert.equal(values["server.port"], String(server.port));
    assert.equal(values["log.level"], "info");
    assert.ok(Number(values["engine.query_threads"]) >= 2);
    assert.ok(Number(values["engine.memory_limit_mb"]) >= 256);
    assert.match(values["engine.duckdb_library"], /libduckdb/);
    assert.equal(values.config, toml);
    assert.equal(values.root_password, "***");
    assert.ok(!JSON.stringify(result).includes(ROOT_PASSWORD));
    for (const [name, , description, category] of result.rows) {
        assert.ok(description.length > 0, name);
        if (name.includes(".")) assert.equal(category, name.split(".")[0]);
    }
    // Whatever --help lists is there.
    const help = execFileSync(process.env.KALAMDB_SERVER, ["--help"], { encoding: "utf8" });
    const keys = [...help.matchAll(/^\s+(\S+) in server\.toml/gm)].map((m) => m[1]);
    assert.ok(keys.length >= 15);
    assert.deepEqual(keys.filter((key) => !(key in values)), []);
});

test("every name in system.datatypes makes a column of the type it says", async () => {
    const types = await root.rows("SELECT kalam_type, sql_name, arrow_type, description FROM system.datatypes");
    assert.equal(new Set(types.map(([kalam]) => kalam)).size, 17);
    assert.equal(new Set(types.map(([, sql]) => sql)).size, types.length);
    const columns = types.map(([, sql], i) => `c${i} ${sql}${sql === "EMBEDDING" ? "(3)" : ""}`);
    await root.sql(`CREATE SHARED TABLE app.all_types (id BIGINT PRIMARY KEY, ${columns})`);
    const described = (await root.rows("DESCRIBE TABLE app.all_types")).slice(1).map((row) => row[2].replace(/\(.*/, ""));
    assert.deepEqual(described, types.map(([kalam]) => kalam));
    const arrow = JSON.parse((await root.rows(`SELECT arrow_schema_json FROM system.table_schemas JOIN system.tables USING (table_id)
        WHERE table_name = 'all_types'`))[0][0]);
    assert.ok(arrow);
});

test("kalam shows them by \\stats and \\metrics", async () => {
    for (const command of ["\\stats", "\\metrics"]) {
        const { stdout } = await promisify(execFile)(process.env.KALAM, ["--url", server.url, "--user", "root", "--format", "csv", "-c", command],
            { env: { ...process.env, KALAMDB_PASSWORD: ROOT_PASSWORD, HOME: config } });
        const lines = stdout.trim().split("\n");
        assert.equal(lines[0], "metric_name,metric_value");
        assert.equal(lines.length, NAMES.length + 1);
    }
});
