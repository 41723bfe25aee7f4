// Segments that are missing, cut, damaged or cannot be written: an error names them, other tables and
// other segments work, nothing is deleted, and all is well once they are back.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "./server.mjs";

const server = new Server({ args: ["--flush-interval-ms", "100"] });
const base = mkdtempSync(join(tmpdir(), "kalamdb-cold-"));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const storage = join(server.dir, "data", "storage");
const ROWS = 300; // of a segment
let root;

before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE SHARED TABLE app.other (id BIGINT PRIMARY KEY, n BIGINT)");
    await root.sql("INSERT INTO app.other SELECT i, 1 FROM range(0, 100) r(i)");
    await root.sql("FLUSH TABLE app.other");
});
after(async () => {
    await server.close();
    rmSync(base, { recursive: true, force: true });
});

const segments = async (table) => (await root.rows("SELECT path FROM system.segments WHERE table_name = $1 ORDER BY segment_id", [table])).map(([path]) => path);

// Two segments and some hot rows: keys 0 to 299, 1000 to 1299, 2000 to 2009.
async function make(type, table) {
    await root.sql(`CREATE ${type} TABLE app.${table} (id BIGINT PRIMARY KEY, n BIGINT, pad TEXT)`);
    for (const from of [0, 1000]) {
        await root.sql(`INSERT INTO app.${table} SELECT i, 1, 'row ' || i FROM range(${from}, ${from + ROWS}) r(i)`);
        await root.sql(`FLUSH TABLE app.${table}`);
    }
    await root.sql(`INSERT INTO app.${table} SELECT i, 1, 'hot' FROM range(2000, 2010) r(i)`);
    const paths = await segments(table);
    assert.equal(paths.length, 2);
    return paths;
}

// Now, although one that failed waits for its next try.
async function flush(table) {
    const [waiting] = await root.rows("SELECT job_id FROM system.jobs WHERE status = 'retrying'");
    if (waiting) await root.sql(`KILL JOB '${waiting[0]}'`);
    await root.sql(`FLUSH TABLE ${table}`);
}

async function expectWhole(table) {
    assert.deepEqual(await root.rows(`SELECT count(*), sum(n), count(DISTINCT pad) FROM app.${table}`), [["610", "610", "601"]]);
    assert.deepEqual(await root.rows(`SELECT pad FROM app.${table} WHERE id = 7`), [["row 7"]]);
}

const DAMAGES = {
    missing: (path) => rmSync(path),
    cut: (path) => truncateSync(path, readFileSync(path).length - 100),
    empty: (path) => truncateSync(path, 0),
    "cut to nothing but its end": (path) => writeFileSync(path, readFileSync(path).subarray(-200)),
    "with one bit flipped in the data": (path) => flip(path, 0.3),
    "with one bit flipped in the footer": (path) => flip(path, -30),
    "with one bit flipped in the magic at its end": (path) => flip(path, -1),
    "longer": (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(10)])),
    "a folder": (path) => { rmSync(path); spawnSync("mkdir", [path]); },
    "the other segment's": (path, other) => copyFileSync(other, path),
};

function flip(path, where) {
    const bytes = readFileSync(path);
    bytes[where < 0 ? bytes.length + where : Math.floor(bytes.length * where)] ^= 1;
    writeFileSync(path, bytes);
}

for (const [i, [type, name]] of ["SHARED", "USER"].flatMap((t) => Object.keys(DAMAGES).map((n) => [t, n])).entries()) {
    test(`a segment of a ${type} table that is ${name}`, async () => {
        const table = `t${i}`;
        const [first, second] = await make(type, table);
        const path = join(storage, first);
        const kept = join(base, `kept${i}`);
        await expectWhole(table);
        copyFileSync(path, kept);
        DAMAGES[name](path, join(storage, second));
        await server.restart(); // what is compared once in a process is compared again
        root = await server.client();
        const before = readdirSync(join(path, "..")).sort();

        const object = first.split("/").pop();
        for (const sql of [
            `SELECT sum(n), max(pad) FROM app.${table}`,
            `SELECT * FROM app.${table}`,
            `SELECT n, pad FROM app.${table} WHERE id = 7`,
            `SELECT count(*) FILTER (n > 0) FROM app.${table}`,
            `SELECT count(*) FROM app.${table} WHERE n > 0`,
            `UPDATE app.${table} SET n = n + 1 WHERE id = 7`,
            `UPDATE app.${table} SET n = n + 1`,
            `DELETE FROM app.${table} WHERE pad = 'row 7'`,
            `INSERT INTO app.${table} VALUES (7, 1, 'x') ON CONFLICT DO UPDATE SET n = excluded.n + app.${table}.n`,
        ]) {
            const error = await root.error(sql.replace(`app.${table}.n`, "n"));
            assert.ok(error.message.includes(object), `${sql}: ${error.code}: ${error.message}`);
        }
        // What needs no row of it.
        assert.deepEqual(await root.rows(`SELECT pad FROM app.${table} WHERE id = 1007`), [["row 1007"]]);
        assert.deepEqual(await root.rows(`SELECT pad FROM app.${table} WHERE id = 2007`), [["hot"]]);
        assert.deepEqual(await root.rows(`SELECT count(*), min(pad) FROM app.${table} WHERE id >= 1000`), [["310", "hot"]]);
        assert.deepEqual(await root.rows("SELECT sum(n) FROM app.other"), [["100"]]);
        assert.equal((await root.error(`INSERT INTO app.${table} VALUES (8, 1, 'x')`)).code, "DUPLICATE_KEY");
        await root.sql(`INSERT INTO app.${table} VALUES (3000, 1, 'x')`);
        await root.sql(`DELETE FROM app.${table} WHERE id = 3000`);
        // The manifest knows how many rows there are of everybody, not of whom.
        if (type === "SHARED") assert.deepEqual(await root.rows(`SELECT count(*) FROM app.${table}`), [["610"]]);
        await root.sql(`FLUSH TABLE app.${table}`);
        await sleep(300); // the task has been by
        assert.equal((await segments(table))[0], first);
        for (const file of before) assert.ok(existsSync(join(path, "..", file)), `${file} is gone`);

        rmSync(path, { recursive: true, force: true });
        copyFileSync(kept, path);
        await server.restart();
        root = await server.client();
        await expectWhole(table);
    });
}

// The server knows a file that it has read as the one that it was, by its identity: any other one is noticed at the next statement.
test("files that were read before and are damaged then", async () => {
    const [first, second] = await make("SHARED", "known");
    const path = join(storage, first);
    const kept = join(base, "kept-known");
    const whole = async () => assert.deepEqual(await root.rows("SELECT sum(n), max(pad) FROM app.known"), [["610", "row 99"]]);
    copyFileSync(path, kept);
    for (const [name, damage] of Object.entries(DAMAGES)) {
        for (let i = 0; i < 3; i++) await whole();
        damage(path, join(storage, second));
        for (let i = 0; i < 3; i++) {
            const error = await root.error("SELECT sum(n), max(pad) FROM app.known");
            assert.ok(error.message.includes(first.split("/").pop()), `${name}: ${error.code}: ${error.message}`);
        }
        assert.deepEqual(await root.rows("SELECT count(*), min(pad) FROM app.known WHERE id >= 1000"), [["310", "hot"]]);
        rmSync(path, { recursive: true, force: true });
        copyFileSync(kept, path);
    }
    await whole();
});

// Whole and of the right size, but of another table or user: its own checksum is right.
for (const type of ["SHARED", "USER"])
    test(`a segment of a ${type} table in the place of one that is as long`, async () => {
        const [mine, other] = [`mine_${type}`, `them_${type}`].map((name) => name.toLowerCase());
        for (const table of [mine, other]) {
            await root.sql(`CREATE ${type} TABLE app.${table} (id INT PRIMARY KEY, v TEXT) WITH (COMPRESSION = 'none')`);
            await root.sql(`INSERT INTO app.${table} SELECT i, '${table.slice(0, 4)} ' || i FROM range(100, 200) AS r(i)`);
            await root.sql(`FLUSH TABLE app.${table}`);
        }
        await root.sql(`INSERT INTO app.${mine} VALUES (1, 'mine 1')`);
        await root.sql(`FLUSH TABLE app.${mine}`);
        const [[place], [foreign]] = [await segments(mine), await segments(other)];
        const path = join(storage, place);
        const kept = join(base, `kept-${type}`);
        assert.equal(readFileSync(path).length, readFileSync(join(storage, foreign)).length);
        copyFileSync(path, kept);
        for (const restarts of [false, true]) {
            copyFileSync(join(storage, foreign), path);
            if (restarts) {
                await server.restart();
                root = await server.client();
            }
            for (const sql of [
                `SELECT v FROM app.${mine}`,
                `SELECT v FROM app.${mine} WHERE id = 150`,
                `SELECT max(v) FROM app.${mine} WHERE id > 120`,
                `UPDATE app.${mine} SET v = v || '!' WHERE id = 150`,
                `STORAGE COMPACT TABLE app.${mine}`,
                `BACKUP DATABASE app TO '${join(base, "never")}'`,
                `BACKUP DATABASE ALL TO '${join(base, "never")}'`,
            ]) {
                const error = await root.error(sql);
                assert.ok(error.message.includes(place.split("/").pop()), `${sql}: ${error.code}: ${error.message}`);
            }
            assert.deepEqual(readdirSync(base).filter((name) => name.startsWith("never")), []);
            copyFileSync(kept, path);
            assert.deepEqual(await root.rows(`SELECT count(v), min(v), max(v) FROM app.${mine}`), [["101", "mine 1", "mine 199"]]);
        }
    });

test("a damaged segment is not backed up as a sound one", async () => {
    const [first] = await make("USER", "unsound");
    const path = join(storage, first);
    const kept = join(base, "kept-unsound");
    copyFileSync(path, kept);
    for (const name of ["with one bit flipped in the data", "longer", "cut", "missing"]) {
        DAMAGES[name](path);
        const error = await root.error(`BACKUP DATABASE ALL TO '${join(base, "unsound")}'`);
        assert.ok(error.message.includes(first.split("/").pop()), `${name}: ${error.code}: ${error.message}`);
        assert.ok(!existsSync(join(base, "unsound")));
        copyFileSync(kept, path);
    }
    await root.sql(`BACKUP DATABASE ALL TO '${join(base, "unsound")}'`);
    assert.ok((await root.rows(`SHOW BACKUP '${join(base, "unsound")}'`)).every((row) => row[3] === "good"));
});

test("no link stays of a segment that is gone", async () => {
    const links = () => readdirSync(join(server.dir, "data", "shared")).length;
    const until = async (count) => {
        for (let i = 0; i < 100 && links() !== count; i++) await sleep(100);
        assert.equal(links(), count);
    };
    await server.restart();
    root = await server.client();
    assert.equal(links(), 0);
    await make("SHARED", "linked");
    const whole = async () => assert.deepEqual(await root.rows("SELECT sum(n), max(pad) FROM app.linked"), [["610", "row 99"]]);
    await whole();
    await root.rows("SELECT sum(n) FROM app.other WHERE n > 0");
    const others = links() - 2;
    assert.ok(others >= 1);
    await root.sql("STORAGE COMPACT TABLE app.linked");
    await until(others);
    await whole();
    assert.equal(links(), others + 1);
    await root.sql("DROP TABLE app.linked");
    await until(others);
    assert.deepEqual(await root.rows("SELECT sum(n) FROM app.other WHERE n > 0"), [["100"]]);
});

test("a disk that is full: FLUSH names the object, all rows stay, later it works", async (t) => {
    if (process.getuid() !== 0) return t.skip("needs to mount a small file system");
    const small = join(base, "small");
    spawnSync("mkdir", [small]);
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).status !== 0) return t.skip("no mounting here");
    try {
        await root.sql(`CREATE STORAGE small TYPE filesystem NAME 'Small' PATH '${join(small, "s")}'`);
        await root.sql("CREATE USER TABLE app.big (id BIGINT PRIMARY KEY, pad TEXT) WITH (STORAGE_ID = 'small', COMPRESSION = 'none')");
        await root.sql("INSERT INTO app.big SELECT i, repeat('x', 500) || i FROM range(0, 500) r(i)");
        const error = await root.error("FLUSH TABLE app.big");
        assert.match(error.message, /segment-.*No space left on device/);
        for (let i = 0; i < 3; i++) {
            assert.deepEqual(await root.rows("SELECT count(*), max(length(pad)) FROM app.big"), [["500", "503"]]);
            await root.sql("UPDATE app.big SET pad = pad WHERE id = 7");
            await root.error("FLUSH TABLE app.big");
        }
        await root.sql("INSERT INTO app.other VALUES (1000, 1)");
        await root.sql("FLUSH TABLE app.other");
        await root.sql("DELETE FROM app.other WHERE id = 1000");
        assert.deepEqual(await root.rows("SELECT path FROM system.segments WHERE table_name = 'big'"), []);
        assert.equal(spawnSync("mount", ["-o", "remount,size=4m", small]).status, 0);
        await flush("app.big");
        assert.deepEqual(await root.rows("SELECT count(*), max(length(pad)) FROM app.big"), [["500", "503"]]);
        // Row 7 was written after the first flush had begun: it is in another segment than the others.
        assert.deepEqual(await root.rows("SELECT sum(row_count - dead_rows) FROM system.segments WHERE table_name = 'big'"), [["500"]]);
        await root.sql("DROP TABLE app.big");
    } finally {
        await server.restart();
        root = await server.client();
        assert.equal(spawnSync("umount", [small]).status, 0);
    }
});

test("a storage whose directory is gone, and comes back", async () => {
    const place = join(base, "away");
    await root.sql(`CREATE STORAGE away TYPE filesystem NAME 'Away' PATH '${place}'`);
    await root.sql("CREATE SHARED TABLE app.far (id BIGINT PRIMARY KEY, n BIGINT) WITH (STORAGE_ID = 'away')");
    await root.sql("INSERT INTO app.far SELECT i, 1 FROM range(0, 100) r(i)");
    await root.sql("FLUSH TABLE app.far");
    await root.sql("INSERT INTO app.far VALUES (200, 1)");
    renameSync(place, `${place}.not`);
    assert.match((await root.error("SELECT sum(n) FROM app.far")).message, /segment-.*away/);
    assert.match((await root.error("FLUSH TABLE app.far")).message, /away/);
    assert.deepEqual(await root.rows("SELECT n FROM app.far WHERE id = 200"), [[ "1" ]]);
    assert.deepEqual(await root.rows("SELECT sum(n) FROM app.other"), [["100"]]);
    await root.sql("UPDATE app.far SET n = 2 WHERE id = 200");
    renameSync(`${place}.not`, place);
    assert.deepEqual(await root.rows("SELECT sum(n) FROM app.far"), [["102"]]);
    await flush("app.far");
    assert.deepEqual(await root.rows("SELECT sum(n) FROM app.far"), [["102"]]);
});

test("FLUSH ALL and STORAGE COMPACT ALL: a table that fails keeps no other one from its turn", async () => {
    const place = join(base, "renamed");
    await root.sql("CREATE NAMESPACE every");
    await root.sql(`CREATE STORAGE renamed TYPE filesystem NAME 'Renamed' PATH '${place}'`);
    for (const [table, id] of [["a", "renamed"], ["b", "local"], ["c", "local"]])
        await root.sql(`CREATE SHARED TABLE every.${table} (id BIGINT PRIMARY KEY, n BIGINT) WITH (STORAGE_ID = '${id}')`);
    const insert = async (from) => {
        for (const table of ["a", "b", "c"])
            await root.sql(`INSERT INTO every.${table} SELECT i, 1 FROM range(${from}, ${from + 100}) r(i)`);
    };
    const counts = async () => Object.fromEntries(await root.rows("SELECT table_name, count(*) FROM system.segments WHERE namespace_id = 'every' GROUP BY ALL ORDER BY 1"));
    for (const from of [0, 100]) {
        await insert(from);
        await root.sql("FLUSH ALL IN every");
    }
    assert.deepEqual(await counts(), { a: "2", b: "2", c: "2" });

    await insert(200);
    renameSync(place, `${place}.not`);
    for (let i = 0; i < 2; i++) { // the second time only a has rows to be moved
        const flushed = await root.error("FLUSH ALL IN every");
        assert.match(flushed.message, /every\/a\/segment-/);
        assert.equal(flushed.hint, ["1 of 3 tables could not be flushed, the first is every.a; the others were",
            "1 of 1 tables could not be flushed, the first is every.a"][i]);
        assert.deepEqual(await counts(), { a: "2", b: "3", c: "3" });
    }
    renameSync(`${place}.not`, place);
    await root.sql("FLUSH ALL IN every");
    assert.deepEqual(await counts(), { a: "3", b: "3", c: "3" });

    const [[path]] = await root.rows("SELECT path FROM system.segments WHERE namespace_id = 'every' AND table_name = 'a' ORDER BY segment_id");
    const kept = readFileSync(join(place, path));
    truncateSync(join(place, path), 100);
    const compacted = await root.error("STORAGE COMPACT ALL IN every");
    assert.equal(compacted.code, "DATA_CORRUPTED");
    assert.ok(compacted.message.includes(path), compacted.message);
    assert.equal(compacted.hint, "1 of 3 tables could not be compacted, the first is every.a; the others were");
    assert.deepEqual(await counts(), { a: "3", b: "1", c: "1" });
    writeFileSync(join(place, path), kept);
    await root.sql("STORAGE COMPACT ALL IN every");
    assert.deepEqual(await counts(), { a: "1", b: "1", c: "1" });
    for (const table of ["a", "b", "c"])
        assert.deepEqual(await root.rows(`SELECT count(*), sum(n) FROM every.${table}`), [["300", "300"]]);
});
