// Backups that the server makes by itself: when they are due, how many are kept, and that nothing else
// in the directory is touched.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, object } from "./server.mjs";

const NAME = /^kalamdb-\d{8}T\d{6}Z$/;
const directory = mkdtempSync(join(tmpdir(), "kalamdb-e2e-backups-"));
const server = new Server({ args: ["--backup-dir", directory, "--backup-interval-seconds", "1", "--backup-keep", "2"] });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const made = () => readdirSync(directory).filter((name) => NAME.test(name)).sort();
let root;
before(async () => {
    await server.start();
    root = await server.client();
});
after(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
});
async function until(what) {
    for (let i = 0; i < 600; i++) {
        const found = await what();
        if (found) return found;
        await sleep(50);
    }
    throw new Error(`it did not come: ${readdirSync(directory)}\n${server.log}`);
}

test("made, shown, kept to a number; of others nothing is removed", async () => {
    // Made by hand, of a name like theirs; and what is no backup at all.
    await root.sql(`BACKUP DATABASE ALL TO '${join(directory, "mine")}'`);
    cpSync(join(directory, "mine"), join(directory, "kalamdb-20200101T000000Z"), { recursive: true });
    mkdirSync(join(directory, "kalamdb-20200102T000000Z"));
    writeFileSync(join(directory, "kalamdb-20200103T000000Z"), "a file");
    writeFileSync(join(directory, "note.txt"), "mine");
    const old = ["kalamdb-20200101T000000Z", "kalamdb-20200102T000000Z", "kalamdb-20200103T000000Z"];
    const ours = () => made().filter((name) => !old.includes(name));
    const first = await until(() => ours()[0]);
    await until(() => !existsSync(join(directory, first)) && ours().length >= 2);
    await until(() => ours().length <= 2);
    for (const name of [...old, "mine", "note.txt"]) assert.ok(existsSync(join(directory, name)), name);
    const settings = Object.fromEntries((await root.rows("SELECT name, value FROM system.settings")).map(([name, value]) => [name, value]));
    assert.equal(settings["backup.directory"], directory);
    assert.equal(settings["backup.keep"], "2");
    const jobs = object(await root.sql("SHOW JOBS")).filter((job) => job.job_type === "backup" && job.result?.includes("kalamdb-"));
    assert.ok(jobs.length >= 3);
    assert.ok(jobs.every((job) => ["completed", "queued", "running"].includes(job.status)));
});

test("one of them is a backup like any other; a restart makes none before it is due", async () => {
    await server.stop();
    server.args = ["--backup-dir", directory, "--backup-interval-seconds", "86400", "--backup-keep", "2"];
    await server.start();
    root = await server.client();
    const before = made();
    await sleep(1500);
    assert.deepEqual(made(), before);
    const name = before.at(-1);
    assert.ok((await root.rows(`SHOW BACKUP '${join(directory, name)}'`)).every((row) => row[3] === "good"));
    const data = join(server.dir, "restored");
    const ended = spawnSync(process.env.KALAMDB_SERVER, ["--restore", join(directory, name), "--data", data], { encoding: "utf8" });
    assert.equal(ended.status, 0, ended.stderr);
    assert.ok(statSync(join(data, "rocksdb")).isDirectory());
});

test("what a crash left under a passing name goes at the next start", async () => {
    await server.stop();
    for (const end of [".partial-Ab3xYz", ".removing"]) {
        mkdirSync(join(directory, `kalamdb-20210101T000000Z${end}`, "rocksdb"), { recursive: true });
        writeFileSync(join(directory, `kalamdb-20210101T000000Z${end}`, "rocksdb", "1.sst"), "x");
    }
    mkdirSync(join(directory, "other.partial-Ab3xYz"));
    await server.start();
    assert.deepEqual(readdirSync(directory).filter((name) => /partial|removing/.test(name)), ["other.partial-Ab3xYz"]);
});

test("a directory that is not there is said, and the server goes on; a relative one and the server's own are refused", async () => {
    await server.stop();
    server.args = ["--backup-dir", join(directory, "not", "there"), "--backup-interval-seconds", "1"];
    await server.start();
    root = await server.client();
    await until(() => server.log.includes("cannot read the directory of backups"));
    assert.deepEqual(await root.rows("SELECT 1"), [[1]]);
    await server.stop();
    symlinkSync(join(server.dir, "data", "cache"), join(directory, "link"));
    for (const [place, message] of [
        ["relative", /must begin with '\/'/],
        [join(server.dir, "data"), /overlaps the server's data directory/],
        [join(directory, "link"), /overlaps the server's data directory/],
    ]) {
        const ended = spawnSync(process.env.KALAMDB_SERVER, ["--data", join(server.dir, "data"), "--port", "0", "--backup-dir", place], { encoding: "utf8", timeout: 20000 });
        assert.equal(ended.status, 1);
        assert.match(ended.stderr, message);
    }
});
