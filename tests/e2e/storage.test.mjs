// Storages on the real server: made, checked, used, kept over a restart, dropped.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, rmdirSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, object } from "./server.mjs";

const server = new Server();
const base = mkdtempSync(join(tmpdir(), "kalamdb-storage-"));
const path = join(base, "cold", "one");
let root;
before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
});
after(async () => {
    await server.close();
    rmSync(base, { recursive: true, force: true });
});

const check = async (sql) => object(await root.sql(sql))[0];

test("create, check, use, restart, drop", async () => {
    await root.sql(`CREATE STORAGE archive TYPE filesystem NAME 'Archive' DESCRIPTION 'old rows' PATH '${path}'`);
    assert.ok(existsSync(path));
    for (const sql of ["STORAGE CHECK archive", "STORAGE CHECK archive EXTENDED"]) {
        const result = await root.sql(sql);
        assert.deepEqual(result.schema.map((c) => c.name), ["storage_id", "status", "readable", "writable", "listable", "deletable",
            "latency_ms", "total_bytes", "used_bytes", "error", "tested_at"]);
        const row = object(result)[0];
        assert.equal(row.status, "healthy");
        assert.deepEqual([row.readable, row.writable, row.listable, row.deletable, row.error], [true, true, true, true, null]);
        assert.ok(BigInt(row.total_bytes) >= BigInt(row.used_bytes) && BigInt(row.used_bytes) > 0n);
    }
    assert.deepEqual(readdirSync(path), []);
    await root.sql("CREATE USER TABLE app.notes (id INT PRIMARY KEY) STORAGE archive");
    await root.sql("CREATE SHARED TABLE app.all (id INT PRIMARY KEY) WITH (STORAGE_ID = 'archive')");

    await server.restart("SIGKILL");
    root = await server.client();
    const shown = await root.sql("SHOW STORAGES");
    assert.deepEqual(shown.schema.map((c) => c.name),
        ["storage_id", "storage_name", "storage_type", "base_directory", "credentials", "description"]);
    assert.deepEqual(shown.rows.map((r) => r[0]), ["local", "archive"]);
    assert.deepEqual(shown.rows[1], ["archive", "Archive", "filesystem", path, null, "old rows"]);
    assert.deepEqual(await root.rows("SELECT table_name, storage_id, storage_location FROM system.tables WHERE namespace = 'app' ORDER BY 1"),
        [["all", "archive", `${path}/app/all`], ["notes", "archive", `${path}/app/notes`]]);

    const error = await root.error("DROP STORAGE archive");
    assert.match(error.message, /2 tables use it: app\.all, app\.notes/);
    await root.sql("DROP TABLE app.notes");
    await root.sql("DROP TABLE app.all");
    await root.sql("DROP STORAGE archive");
    assert.equal((await root.error("STORAGE CHECK archive")).code, "STORAGE_NOT_FOUND");
});

test("a storage whose directory is gone is a row, not an error, and is not made again", async () => {
    const gone = join(base, "gone");
    await root.sql(`CREATE STORAGE gone TYPE filesystem NAME 'Gone' PATH '${gone}'`);
    rmdirSync(gone);
    const row = await check("STORAGE CHECK gone");
    assert.deepEqual([row.status, row.readable, row.writable, row.listable, row.deletable, row.total_bytes],
        ["unreachable", false, false, false, false, null]);
    assert.ok(row.error.includes(gone), row.error);
    assert.ok(!existsSync(gone));
    assert.equal((await check("STORAGE CHECK local")).status, "healthy");
});
