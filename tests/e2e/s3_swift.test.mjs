// S3 storages on a server that is not ours: Swift's S3 interface verifies signatures, ranges and parts.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server, object } from "./server.mjs";
import { Swift, missing } from "./swift.mjs";

const skip = missing.length > 0 ? `Swift is not installed: no ${missing.join(", ")}` : false;
const swift = new Swift();
const server = new Server({ args: ["--flush-interval-ms", "200", "--timeout-ms", "120000"] });
let root;
const credentials = (secret = swift.secret) => JSON.stringify({ access_key_id: swift.accessKey, secret_access_key: secret });
const create = (place, secret) => `CREATE STORAGE far TYPE s3 NAME 'Swift' BUCKET '${place}' ENDPOINT '${swift.endpoint}' CREDENTIALS '${credentials(secret)}'`;

before(async () => {
    if (skip) return;
    await swift.start();
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
});
after(async () => {
    await swift.stop();
    if (!skip) await server.close();
});

test("a wrong secret and a bucket that is not there are refused by name", { skip }, async () => {
    assert.match((await root.error(create("nowhere"))).message, /'nowhere'.*NoSuchBucket/);
    assert.match((await root.error(create("nowhere", "wrong"))).message, /'nowhere'.*SignatureDoesNotMatch/);
});

test("a table's segments are written, read, merged and removed", { skip }, async () => {
    await swift.makeBucket("kalam");
    await root.sql(create("kalam/a=b/c"));
    for (const sql of ["STORAGE CHECK far", "STORAGE CHECK far EXTENDED"])
        assert.deepEqual(object(await root.sql(sql)).map((row) => [row.status, row.error]), [["healthy", null]]);
    await root.sql("CREATE SHARED TABLE app.t (id INT PRIMARY KEY, pad TEXT) WITH (STORAGE_ID = 'far', COMPRESSION = 'none')");
    await root.sql("CREATE USER TABLE app.u (id INT PRIMARY KEY, pad TEXT) WITH (STORAGE_ID = 'far')");
    for (const table of ["app.t", "app.u"])
        for (let part = 0; part < 2; part++) {
            await root.sql(`INSERT INTO ${table} VALUES ${Array.from({ length: 500 }, (_, i) => `(${part * 500 + i}, 'pad')`).join(", ")}`);
            await root.sql(`FLUSH TABLE ${table}`);
        }
    await server.restart();
    root = await server.client();
    for (const table of ["app.t", "app.u"]) {
        assert.deepEqual((await root.rows(`SELECT count(pad) FROM ${table} WHERE id >= 100`)).map((r) => Number(r[0])), [900]);
        await root.sql(`DELETE FROM ${table} WHERE id < 400`);
        await root.sql(`STORAGE COMPACT TABLE ${table}`);
        assert.deepEqual((await root.rows(`SELECT count(pad) FROM ${table} WHERE id >= 100`)).map((r) => Number(r[0])), [600]);
    }
    // A segment that is sent in parts.
    await root.sql("CREATE SHARED TABLE app.big (id INT PRIMARY KEY, pad TEXT) WITH (STORAGE_ID = 'far', COMPRESSION = 'none')");
    await root.sql("INSERT INTO app.big SELECT a.id * 1000 + b.id, repeat(md5(CAST(a.id * 1000 + b.id AS TEXT)), 40) FROM app.t a, app.t b WHERE b.id < 425");
    await root.sql("FLUSH TABLE app.big");
    const [[bytes]] = await root.rows("SELECT max(size_bytes) FROM system.segments WHERE table_name = 'big'");
    assert.ok(Number(bytes) > 17 << 20, String(bytes));
    await server.restart();
    root = await server.client();
    assert.deepEqual((await root.rows("SELECT count(*) FROM app.big WHERE pad = repeat(md5(CAST(id AS TEXT)), 40)")).map((r) => Number(r[0])), [15000]);
    await root.sql("DROP TABLE app.big");
    await root.sql("DROP TABLE app.t");
    await root.sql("DROP TABLE app.u");
    for (let i = 0; ; i++) {
        const error = await root.sql("DROP STORAGE far").then(() => null, (e) => e);
        if (!error) break;
        assert.match(error.message, /being removed/);
        assert.ok(i < 300);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
});
