// crash_model.mjs: what the tests that end a server in the middle of its work compare it with afterwards: rows that
// the writers were acknowledged, and operations that are either done or not begun, or go on by themselves.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The connection broke: the outcome is unknown.
export const isLost = (error) => error.code === undefined && error.name !== "AssertionError";

export function files(path) {
    if (!existsSync(path)) return [];
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(path, entry.name)) : [join(path, entry.name)]));
}

// server: runs; dir: for backups, on the file system that is to survive.
export function crashModel(server, random, backupDir) {
    let root;
    let ann;
    let next = 1;
    const below = (n) => Math.floor(random() * n);

    const login = async () => {
        root = await server.client();
        ann = await server.client("ann", "password of ann");
    };
    const setUp = async () => {
        root = await server.client();
        await root.sql("CREATE NAMESPACE app");
        await root.sql("CREATE USER TABLE app.own (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT)");
        await root.sql("CREATE USER TABLE app.each (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT) WITH (PARTITION_BY_USER = true)");
        await root.sql("CREATE SHARED TABLE app.pool (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT)");
        await root.addUser("ann");
        await login();
    };

    // ---- the model: what was acknowledged, and the one statement per writer whose outcome is unknown

    const writers = [["app.own", () => ann], ["app.pool", () => root], ["app.each", () => ann], ["app.each", () => root]].map(([table, client]) => ({ table, client, rows: new Map(), maybe: null }));

    async function writeOnce(w) {
        const rows = new Map(w.rows);
        const n = next++;
        const ids = [...new Set(Array.from({ length: 1 + below(8) }, () => below(60)))];
        let sql;
        if (below(4) === 0) {
            sql = `DELETE FROM ${w.table} WHERE id >= ${ids[0]} AND id < ${ids[0] + 4}`;
            for (const id of rows.keys()) if (id >= ids[0] && id < ids[0] + 4) rows.delete(id);
        } else {
            sql = `INSERT INTO ${w.table} (id, n, pad) VALUES ${ids.map((id) => `(${id}, ${n}, '${"x".repeat(below(50))}')`).join(", ")} ON CONFLICT DO UPDATE SET n = excluded.n`;
            for (const id of ids) rows.set(id, n);
        }
        w.maybe = rows;
        await w.client().sql(sql);
        w.rows = rows;
        w.maybe = null;
    }

    async function work(w, state) {
        while (!state.over) {
            try {
                await writeOnce(w);
            } catch (error) {
                if (isLost(error)) return;
                throw error;
            }
            await sleep(below(30));
        }
    }

    const sorted = (map) => JSON.stringify([...map].sort(([a], [b]) => a - b));

    async function check(w, what) {
        const found = new Map((await w.client().rows(`SELECT id, n FROM ${w.table} ORDER BY id`)).map(([id, n]) => [Number(id), Number(n)]));
        if (sorted(found) !== sorted(w.rows) && !(w.maybe !== null && sorted(found) === sorted(w.maybe)))
            assert.equal(sorted(found), sorted(w.rows), `${what}: rows of ${w.table}`);
        const [[count]] = await w.client().rows(`SELECT count(*) FROM ${w.table}`);
        assert.equal(Number(count), found.size, `${what}: count(*) of ${w.table}`);
        const [id] = [...found.keys()].sort(() => random() - 0.5);
        if (id !== undefined)
            assert.deepEqual((await w.client().rows(`SELECT n FROM ${w.table} WHERE id = ${id}`)).map(([n]) => Number(n)), [found.get(id)], `${what}: by key`);
        w.rows = found;
        w.maybe = null;
    }

    async function noOrphans(what, byHand, byItself) {
        const storage = join(server.dir, "data", "storage");
        const restart = async (args) => {
            server.args = args;
            await server.restart("SIGKILL");
            await login();
        };
        await restart(byItself);
        for (let i = 0; ; i++) {
            const known = (await root.rows("SELECT path FROM system.segments ORDER BY path")).map(([path]) => join(storage, path)).sort();
            const there = files(storage).sort();
            if (JSON.stringify(known) === JSON.stringify(there)) return restart(byHand);
            if (i === 100) assert.deepEqual(there, known, `${what}: files and system.segments`);
            await sleep(100);
        }
    }

    // ---- the operations: prepare() unarmed; run() is one statement; check() afterwards, acknowledged or not

    // Until no job of this type is under way.
    async function over(type) {
        const unfinished = () => root.rows(`SELECT job_id, status FROM system.jobs WHERE job_type = '${type}' AND status IN ('queued', 'running', 'retrying')`);
        for (let i = 0; (await unfinished()).length > 0; i++) {
            assert.ok(i < 1200, JSON.stringify(await unfinished()));
            await sleep(25);
        }
    }
    const hasTable = async (name) => (await root.rows(`SELECT table_name FROM system.tables WHERE table_name = '${name}'`)).length > 0;
    const fill = async () => { for (const w of writers) await writeOnce(w); };

    const compact = (table) => ({
        async prepare() {
            for (let i = 0; i < 2; i++) {
                await fill();
                await root.sql("FLUSH ALL IN app");
            }
        },
        run: () => root.sql(`STORAGE COMPACT TABLE app.${table}`),
    });
    const OPERATIONS = {
        flush: {
            prepare: fill,
            run: () => root.sql("FLUSH ALL IN app"),
        },
        compact: compact("own"),
        compactByUser: compact("each"),
        create: {
            prepare() { this.table = `t${next++}`; },
            run() { return root.sql(`CREATE USER TABLE app.${this.table} (id BIGINT PRIMARY KEY, v TEXT DEFAULT 'x')`); },
            async check(done) {
                if (done) assert.ok(await hasTable(this.table), "an acknowledged table is not there");
                if (!(await hasTable(this.table))) return;
                await ann.sql(`INSERT INTO app.${this.table} (id) VALUES (1)`);
                assert.deepEqual(await ann.rows(`SELECT v FROM app.${this.table}`), [["x"]]);
                await root.sql(`DROP TABLE app.${this.table}`);
            },
        },
        alter: {
            prepare() { this.column = `c${next++}`; },
            run() { return root.sql(`ALTER TABLE app.own ADD COLUMN ${this.column} TEXT DEFAULT 'new'`); },
            async check(done) {
                const there = (await root.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'own'")).some(([name]) => name === this.column);
                if (done) assert.ok(there, "an acknowledged column is not there");
                if (!there) return;
                for (const [value] of await ann.rows(`SELECT DISTINCT ${this.column} FROM app.own`)) assert.equal(value, "new");
                await root.sql(`ALTER TABLE app.own DROP COLUMN ${this.column}`);
            },
        },
        drop: {
            async prepare() {
                this.table = `d${next++}`;
                await root.sql(`CREATE SHARED TABLE app.${this.table} (id BIGINT PRIMARY KEY)`);
                await root.sql(`INSERT INTO app.${this.table} SELECT i FROM range(0, 50) r(i)`);
                await root.sql(`FLUSH TABLE app.${this.table}`);
                await root.sql(`INSERT INTO app.${this.table} VALUES (100)`);
            },
            run() { return root.sql(`DROP TABLE app.${this.table}`); },
            async check(done) {
                const there = await hasTable(this.table);
                if (done) assert.ok(!there, "a table is there that was dropped");
                if (!there) return;
                assert.deepEqual((await root.rows(`SELECT count(*) FROM app.${this.table}`)).map(([n]) => Number(n)), [51]);
                await root.sql(`DROP TABLE app.${this.table}`);
            },
        },
        backup: {
            prepare() { this.path = join(backupDir(), `backup${next++}`); },
            run() { return root.sql(`BACKUP DATABASE ALL TO '${this.path}'`); },
            async check(done) {
                await over("backup"); // one that had not begun when the server died begins now
                if (done) assert.ok(existsSync(this.path), "an acknowledged backup is not there");
                if (existsSync(this.path)) {
                    const rows = await root.rows(`SHOW BACKUP '${this.path}'`);
                    assert.ok(rows.length > 0 && rows.every((row) => row[3] === "good"), JSON.stringify(rows.filter((row) => row[3] !== "good")));
                }
                for (const name of readdirSync(backupDir())) if (name.startsWith("backup")) rmSync(join(backupDir(), name), { recursive: true });
            },
        },
        erase: {
            async prepare() {
                this.user = `victim${next++}`;
                this.mark = `M${randomBytes(12).toString("hex")}`;
                const client = await root.addUser(this.user);
                const put = async (from) => {
                    for (const table of ["own", "each"]) await client.sql(`INSERT INTO app.${table} (id, pad) VALUES ${Array.from({ length: 10 }, (_, i) => `(${from + i}, '${this.mark}')`).join(", ")}`);
                };
                await put(0);
                await root.sql("FLUSH ALL IN app");
                await put(100);
            },
            run() { return root.sql(`DROP USER '${this.user}' ERASE`); },
            async check(done) {
                await over("user_cleanup");
                const state = await root.rows(`SELECT auth_type FROM system.users WHERE user_id = '${this.user}'`);
                if (state.length > 0) { // it had not begun
                    assert.deepEqual([done, state], [false, [["password"]]]);
                    await root.sql(`DROP USER '${this.user}' ERASE`);
                }
                const holding = files(join(server.dir, "data")).filter((file) => existsSync(file) && readFileSync(file).includes(this.mark));
                assert.deepEqual(holding, []);
            },
        },
    };

    return { setUp, login, writers, work, check, noOrphans, OPERATIONS };
}
