// Backups of the whole database while it is written to, their check, and what they restore to.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server } from "./server.mjs";

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql("CREATE SHARED TABLE app.pairs (id BIGINT PRIMARY KEY, n BIGINT) WITH (ACCESS_LEVEL = 'public')");
    await root.sql("CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, text TEXT)");
    await root.sql("CREATE VIEW app.sums AS SELECT sum(n) AS s FROM app.pairs");
    await root.sql("INSERT INTO app.pairs VALUES (1, 0), (2, 0)");
});
after(() => server.close());

const path = (name) => join(server.dir, name);
const sql = (text) => `'${text.replaceAll("'", "''")}'`;
const backup = (name) => root.sql(`BACKUP DATABASE ALL TO ${sql(path(name))}`);

function restore(name, data) {
    const ended = spawnSync(process.env.KALAMDB_SERVER, ["--restore", path(name), "--data", data], { encoding: "utf8" });
    return { code: ended.status, out: ended.stdout, err: ended.stderr };
}

// A server on what was restored.
async function restored(name) {
    const copy = new Server({ password: null });
    const ended = restore(name, join(copy.dir, "data"));
    assert.equal(ended.code, 0, ended.err);
    assert.match(ended.out, /restored '.*' to '.*': the database of \d{4}-.* UTC, \d+ files, \d+ bytes/);
    await copy.start();
    return copy;
}

test("made while others write: whole, of one moment, with all that was acknowledged", async () => {
    const ann = await root.addUser("ann");
    const seen = { ann: 0, pairs: 0 };
    let stop = false;
    const writers = [
        (async () => { // rows of a user
            for (let id = 1; !stop; id++) {
                await ann.sql("INSERT INTO app.notes VALUES ($1, $2)", [id, "x".repeat(500)]);
                seen.ann = id;
            }
        })(),
        (async () => { // two rows that change together
            for (let n = 1; !stop; n++) {
                await root.request(`BEGIN; UPDATE app.pairs SET n = ${n} WHERE id = 1; UPDATE app.pairs SET n = ${-n} WHERE id = 2; COMMIT`);
                seen.pairs = n;
            }
        })(),
        (async () => { // rows move to segments, which come and go
            while (!stop)
                await root.sql("FLUSH ALL IN app");
        })(),
    ];
    const made = [];
    for (let round = 0; round < 4; round++) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        const before = { ...seen };
        const reply = await backup(`during-${round}`);
        assert.match(reply.message, /^Backup written to '.*': \d+ files, \d+ bytes$/);
        made.push({ name: `during-${round}`, before, after: { ...seen } });
    }
    stop = true;
    await Promise.all(writers);
    for (const { name, before, after } of [made[0], made[3]]) {
        const copy = await restored(name);
        try {
            const there = await copy.client("ann", "password of ann");
            const [[count, least, most]] = await there.rows("SELECT count(*), min(id), max(id) FROM app.notes");
            assert.ok(Number(count) >= before.ann && Number(count) <= after.ann + 1, `${count} of ${before.ann}..${after.ann}`);
            assert.deepEqual([Number(least), Number(most)], [1, Number(count)]);
            const again = await copy.client();
            assert.deepEqual(await again.rows("SELECT s FROM app.sums"), [["0"]]);
            const [[n]] = await again.rows("SELECT n FROM app.pairs WHERE id = 1");
            assert.ok(Number(n) >= before.pairs && Number(n) <= after.pairs + 1, `${n} of ${before.pairs}..${after.pairs}`);
            assert.deepEqual(await again.rows("SELECT count(*) FROM app.notes"), [["0"]], "root sees only his own");
            // It goes on as a database, with seqs that nobody has seen.
            const seq = async (client) => Number((await client.rows("SELECT _seq FROM app.pairs WHERE id = 1"))[0][0]);
            await again.sql("UPDATE app.pairs SET n = 5 WHERE id = 1");
            await root.sql("UPDATE app.pairs SET n = 5 WHERE id = 1");
            assert.ok(await seq(again) > await seq(root) + 1000000);
            await copy.restart("SIGKILL");
            assert.deepEqual(await (await copy.client()).rows("SELECT n FROM app.pairs WHERE id = 1"), [["5"]]);
        } finally {
            await copy.close();
        }
    }
});

test("SHOW BACKUP checks every file; a changed one is named and not restored", async () => {
    await backup("checked");
    const files = await root.rows(`SHOW BACKUP ${sql(path("checked"))}`);
    assert.ok(files.length >= 4);
    for (const [name, bytes, hash, state] of files) {
        assert.equal(Number(bytes), statSync(join(path("checked"), name)).size);
        assert.match(hash, /^[0-9a-f]{64}$/);
        assert.equal(state, "good");
    }
    assert.equal(statSync(join(path("checked"), "token-secret")).mode & 0o777, 0o600);
    assert.equal(statSync(path("checked")).mode & 0o777, 0o700);
    const table = files.find(([name]) => name.endsWith(".sst"))[0];
    const damage = [
        ["another checksum", () => {
            const file = join(path("checked"), table);
            const bytes = readFileSync(file);
            bytes[bytes.length >> 1] ^= 1;
            unlinkSync(file); // the server's own file is the same one
            writeFileSync(file, bytes);
        }],
        ["another size", () => truncateSync(join(path("checked"), table), 10)],
        ["missing", () => unlinkSync(join(path("checked"), table))],
    ];
    for (const [state, change] of damage) {
        change();
        const now = await root.rows(`SHOW BACKUP ${sql(path("checked"))}`);
        assert.deepEqual(now.filter((row) => row[3] !== "good").map((row) => [row[0], row[3]]), [[table, state]]);
        const ended = restore("checked", path("never"));
        assert.equal(ended.code, 1);
        assert.match(ended.err, new RegExp(`file '${table}' of the backup: ${state}`));
        assert.ok(!existsSync(path("never")));
    }
    // One bit of any file, the token secret among them.
    await backup("flipped");
    for (const [name, bytes] of await root.rows(`SHOW BACKUP ${sql(path("flipped"))}`)) {
        if (Number(bytes) === 0) continue;
        const file = join(path("flipped"), name);
        const good = readFileSync(file);
        const flipped = Buffer.from(good);
        flipped[flipped.length - 1] ^= 1;
        unlinkSync(file);
        writeFileSync(file, flipped);
        const now = await root.rows(`SHOW BACKUP ${sql(path("flipped"))}`);
        assert.deepEqual(now.filter((row) => row[3] !== "good").map((row) => [row[0], row[3]]), [[name, "another checksum"]]);
        const ended = restore("flipped", path("never"));
        assert.equal(ended.code, 1);
        assert.ok(ended.err.includes(`file '${name}' of the backup: another checksum`), ended.err);
        assert.ok(!existsSync(path("never")));
        writeFileSync(file, good);
    }
    assert.equal(restore("flipped", path("whole")).code, 0);
    assert.deepEqual(readdirSync(server.dir).filter((name) => name.includes("partial")), []);
    assert.deepEqual(await root.rows("SELECT s FROM app.sums"), [[(await root.rows("SELECT sum(n) FROM app.pairs"))[0][0]]]);
});

test("what is refused leaves nothing behind", async () => {
    const refused = async (statement, code, text) => {
        const error = await root.error(statement);
        assert.equal(error.code, code, `${statement}: ${error.message}`);
        assert.match(`${error.message} ${error.hint ?? ""}`, text);
    };
    await backup("once");
    await refused(`BACKUP DATABASE ALL TO ${sql(path("once"))}`, "ALREADY_EXISTS", /'.*once' exists already/);
    await refused(`BACKUP DATABASE ALL TO ${sql(path("no/parent"))}`, "INVALID_INPUT", /directory '.*\/no', which the backup is to be made in, does not exist/);
    await refused(`BACKUP DATABASE ALL TO ${sql(path("once/backup.json/x"))}`, "INVALID_INPUT", /backup.json' is no directory/);
    await refused(`BACKUP DATABASE ALL TO ${sql(path("once/backup.json/x/y"))}`, "INVALID_INPUT", /json\/x', which the backup is to be made in, does not exist/);
    await refused(`SHOW BACKUP ${sql(path("once/backup.json"))}`, "BACKUP_NOT_FOUND", /is no backup/);
    await refused(`RESTORE DATABASE other FROM ${sql(path("once/backup.json"))}`, "BACKUP_NOT_FOUND", /is no backup/);
    await refused("BACKUP DATABASE ALL TO 'relative'", "INVALID_INPUT", /begins with '\/'/);
    await refused("BACKUP DATABASE ALL TO ''", "INVALID_INPUT", /begins with '\/'/);
    await refused("BACKUP DATABASE ALL", "INVALID_SQL", /TO/);
    await refused("BACKUP DATABASE ALL TO here", "INVALID_SQL", /path of the backup as a string/);
    await refused(`RESTORE DATABASE ALL FROM ${sql(path("once"))}`, "UNSUPPORTED", /--restore PATH/);
    await refused(`RESTORE DATABASE other FROM ${sql(path("once"))}`, "INVALID_INPUT", /backup of the whole database.*--restore PATH/);
    await refused(`SHOW BACKUP ${sql(path("none"))}`, "BACKUP_NOT_FOUND", /is no backup/);
    await refused(`BACKUP DATABASE ALL TO ${sql("/" + "x".repeat(5000))}`, "INVALID_INPUT", /too long/);
    const uma = await root.addUser("uma");
    for (const statement of [`BACKUP DATABASE ALL TO ${sql(path("uma"))}`, `SHOW BACKUP ${sql(path("once"))}`])
        assert.equal((await uma.error(statement)).code, "PERMISSION_DENIED");
    mkdirSync(path("junk"));
    for (const text of ["", "{", "[]", "{\"format\":4}", "{\"format\":1,\"version\":\"1\",\"created_at\":1,\"files\":[{\"name\":\"rocksdb/../../x\",\"size\":1,\"sha256\":\"" + "0".repeat(64) + "\"}]}"]) {
        writeFileSync(join(path("junk"), "backup.json"), text);
        const error = await root.error(`SHOW BACKUP ${sql(path("junk"))}`);
        assert.equal(error.code, text.includes(":4") ? "UNSUPPORTED" : "DATA_CORRUPTED", `${text}: ${error.message}`);
        assert.equal(restore("junk", path("never")).code, 1);
    }
    // What is no plain file is not waited for.
    mkdirSync(path("pipe"));
    assert.equal(spawnSync("mkfifo", [join(path("pipe"), "backup.json")]).status, 0);
    await refused(`SHOW BACKUP ${sql(path("pipe"))}`, "INVALID_INPUT", /not a plain file/);
    // Root may write everywhere, so this shows only for others.
    if (process.getuid() !== 0) {
        mkdirSync(path("closed"), 0o500);
        await refused(`BACKUP DATABASE ALL TO ${sql(path("closed/x"))}`, "PERMISSION_DENIED", /closed/);
        chmodSync(path("closed"), 0o700);
    }
    const full = restore("once", join(server.dir, "data"));
    assert.equal(full.code, 1);
    assert.match(full.err, /is not empty/);
    assert.deepEqual(readdirSync(server.dir).filter((name) => name.includes("partial") || name === "uma"), []);
});

test("no backup is made among the server's own files", async () => {
    const data = path("data");
    symlinkSync(join(data, "cache"), path("link"));
    const places = ["", "cache", "tmp", "shared", "exports", "rocksdb", "storage"].map((name) => join(data, name));
    for (const place of [...places, path("link"), `${data}/../data/cache`, `${data}/cache/.`]) {
        for (const what of ["ALL", "app"]) {
            const error = await root.error(`BACKUP DATABASE ${what} TO ${sql(`${place}/bk`)}`);
            assert.equal(error.code, "INVALID_INPUT", `${place}: ${error.message}`);
            assert.match(error.message, /overlaps the server's data directory/);
        }
        assert.deepEqual(readdirSync(place).filter((name) => name.startsWith("bk")), []);
    }
    mkdirSync(path("data2")); // only begins as the data directory does
    await backup("data2/bk");
    unlinkSync(path("link"));
});

test("what somebody put among the server's own files: the server starts, leaves directories, and follows no link", async () => {
    await server.stop();
    mkdirSync(path("elsewhere"));
    writeFileSync(path("elsewhere/mine"), "mine");
    const folders = ["cache", "tmp", "shared"].map((name) => join(path("data"), name));
    for (const folder of folders) {
        mkdirSync(join(folder, "bk/rocksdb"), { recursive: true });
        writeFileSync(join(folder, "bk/backup.json"), "{}");
        writeFileSync(join(folder, "left"), "of a crash");
        symlinkSync(path("elsewhere"), join(folder, "link"));
    }
    await server.start();
    root = await server.client();
    for (const folder of folders) {
        assert.deepEqual(readdirSync(folder), ["bk"]);
        assert.deepEqual(readdirSync(join(folder, "bk")), ["backup.json", "rocksdb"]);
        assert.equal(server.log.split(`'${folder}/bk' is left there`).length, 2, server.log);
    }
    assert.deepEqual(readdirSync(path("elsewhere")), ["mine"]);
    assert.deepEqual(await root.rows("SELECT count(*) > 0 FROM app.pairs"), [[true]]);
    await server.restart();
    root = await server.client();
});

test("a file system that is full: the backup fails by name and leaves nothing, the server goes on", async (t) => {
    if (!existsSync("/dev/shm") || process.getuid() !== 0) return t.skip("needs to mount a small file system");
    const small = path("small");
    mkdirSync(small);
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).status !== 0) return t.skip("no mounting here");
    try {
        const error = await root.error(`BACKUP DATABASE ALL TO ${sql(join(small, "b"))}`);
        assert.equal(error.code, "IO_ERROR", error.message);
        assert.match(error.message, /No space left/);
        assert.ok(error.message.includes(small), error.message);
        assert.deepEqual(readdirSync(small), []);
        await root.sql("INSERT INTO app.pairs VALUES (77, 0)");
        await root.sql("DELETE FROM app.pairs WHERE id = 77");
    } finally {
        assert.equal(spawnSync("umount", [small]).status, 0);
    }
});

test("kill -9 during a backup: none of that name, and the server starts", async () => {
    for (let round = 0; round < 5; round++) {
        const running = backup(`killed-${round}`).then(() => true, () => false);
        await new Promise((resolve) => setTimeout(resolve, round * 8));
        await server.stop("SIGKILL");
        await running;
        await server.start();
        root = await server.client();
        if (existsSync(path(`killed-${round}`))) { // it was faster: then it is whole
            const files = await root.rows(`SHOW BACKUP ${sql(path(`killed-${round}`))}`);
            assert.ok(files.every((row) => row[3] === "good"));
        }
        await root.rows("SELECT count(*) FROM app.pairs");
    }
    // What a killed server left under a passing name is no backup, or a whole one that lacked its name.
    for (const name of readdirSync(server.dir).filter((name) => name.includes(".partial-"))) {
        if (existsSync(join(path(name), "backup.json")))
            assert.ok((await root.rows(`SHOW BACKUP ${sql(path(name))}`)).every((row) => row[3] === "good"));
        else
            assert.equal((await root.error(`SHOW BACKUP ${sql(path(name))}`)).code, "BACKUP_NOT_FOUND");
    }
    // A backup that a kill ended goes on by itself, and only one is made at a time.
    const unfinished = "SELECT job_id FROM system.jobs WHERE job_type = 'backup' AND status IN ('queued', 'running', 'retrying')";
    for (let i = 0; i < 600 && (await root.rows(unfinished)).length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 100));
    await backup("afterwards");
});
