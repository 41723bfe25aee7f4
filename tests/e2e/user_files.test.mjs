// partition_by_user: each user's rows lie in files of their own, in the folder that the storage's template gives the user; no
// statement of one user's opens a file of another's; merging and erasing keep to that.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Server } from "./server.mjs";

const server = new Server({ args: ["--flush-interval-ms", "86400000"] });
const base = mkdtempSync(join(tmpdir(), "kalamdb-user-files-"));
const away = join(base, "objects");
// As docs/sql.md says how values stand in paths.
const USERS = { ann: "ann", "Bob.Miller": "%42ob%2e%4diller", "zoë": "zo%c3%ab", "..": "%2e%2e" };
const clients = {};
let root;

before(async () => {
    await server.start();
    root = await server.client();
    await root.sql("CREATE NAMESPACE app");
    await root.sql(`CREATE STORAGE away TYPE filesystem NAME 'Away' PATH '${away}' SHARED_TABLES_TEMPLATE 'shared/{namespace}/{tableName}' USER_TABLES_TEMPLATE 'users/{namespace}/{tableName}/of-{userId}/s={shard}'`);
    for (const name of Object.keys(USERS)) clients[name] = await root.addUser(name);
});
after(async () => {
    await server.close();
    rmSync(base, { recursive: true, force: true });
});

async function restart() {
    await server.restart();
    root = await server.client();
    for (const name of Object.keys(clients)) clients[name] = await server.client(name, `password of ${name}`);
}
const segments = async (table) => (await root.rows("SELECT path, row_count FROM system.segments WHERE table_name = $1 ORDER BY segment_id", [table])).map(([path, rows]) => ({ path, rows: Number(rows) }));
const owner = (path) => Object.keys(USERS).find((name) => path.includes(`/of-${USERS[name]}/s=`) || dirname(path).endsWith(`/${USERS[name]}`));

async function insert(table, from, count) {
    for (const [name, client] of Object.entries(clients)) await client.sql(`INSERT INTO app.${table} SELECT i, '${name} ' || i FROM range(${from}, ${from + count}) r(i)`);
}
const expectRows = async (name, table, count) => assert.deepEqual(await clients[name].rows(`SELECT count(*), count(DISTINCT id), bool_and(starts_with(text, '${name} ')) FROM app.${table}`), [[`${count}`, `${count}`, true]], name);

for (const [storage, root_of] of [["local", () => join(server.dir, "data", "storage")], ["away", () => away]]) {
    test(`files in the storage ${storage}`, async () => {
        const table = `notes_${storage}`;
        await root.sql(`CREATE USER TABLE app.${table} (id BIGINT PRIMARY KEY, text TEXT) WITH (PARTITION_BY_USER = true, STORAGE_ID = '${storage}')`);
        await insert(table, 0, 50);
        await root.sql(`FLUSH TABLE app.${table}`);
        await insert(table, 100, 20); // and these stay hot

        const made = await segments(table);
        assert.equal(made.length, 4);
        for (const [name, folder] of Object.entries(USERS)) {
            const own = made.filter(({ path }) => owner(path) === name);
            assert.deepEqual(own.map(({ rows }) => rows), [50], `${name}: ${JSON.stringify(made)}`);
            const expected = storage === "local" ? `app/${table}/${folder}` : new RegExp(`^users/app/${table}/of-${folder}/s=\\d+$`);
            if (storage === "local") assert.equal(dirname(own[0].path), expected);
            else assert.match(dirname(own[0].path), expected);
            assert.ok(existsSync(join(root_of(), own[0].path)));
        }

        // With all other users' files away each one's statements work.
        for (const name of Object.keys(USERS)) {
            const others = made.filter(({ path }) => owner(path) !== name).map(({ path }) => join(root_of(), path));
            await server.stop();
            for (const path of others) renameSync(path, path + ".away");
            await server.start();
            root = await server.client();
            for (const other of Object.keys(clients)) clients[other] = await server.client(other, `password of ${other}`);
            await expectRows(name, table, 70);
            assert.deepEqual(await clients[name].rows(`SELECT text FROM app.${table} WHERE id = 7`), [[`${name} 7`]]);
            await clients[name].sql(`UPDATE app.${table} SET text = text || '' WHERE id IN (7, 108)`);
            await clients[name].sql(`DELETE FROM app.${table} WHERE id = 8`);
            await expectRows(name, table, 69);
            await clients[name].sql(`INSERT INTO app.${table} VALUES (8, '${name} 8')`);
            const other = Object.keys(USERS).find((n) => n !== name);
            const error = await clients[other].error(`SELECT count(*), max(text) FROM app.${table}`);
            assert.ok(error.message.includes("is missing") && error.message.includes(USERS[other]), error.message);
            for (const path of others) renameSync(path + ".away", path);
        }
        await restart();

        // A user's segments become one; other users' do not come in.
        for (let i = 1; i <= 3; i++) {
            await insert(table, 1000 * i, 10);
            await root.sql(`FLUSH TABLE app.${table}`);
        }
        assert.equal((await segments(table)).length, 16);
        await root.sql(`STORAGE COMPACT TABLE app.${table}`);
        const merged = await segments(table);
        assert.deepEqual(merged.map(({ path }) => owner(path)).sort(), Object.keys(USERS).sort());
        for (const name of Object.keys(USERS)) await expectRows(name, table, 100);
        assert.deepEqual(merged.map(({ rows }) => rows), [100, 100, 100, 100]);
        await root.sql(`STORAGE COMPACT TABLE app.${table}`); // there is nothing left to do
        assert.deepEqual(await segments(table), merged);
    });
}

test("what was written before the option stays as it is", async () => {
    await root.sql("CREATE USER TABLE app.later (id BIGINT PRIMARY KEY, text TEXT)");
    for (let i = 0; i < 2; i++) {
        await insert("later", 100 * i, 10);
        await root.sql("FLUSH TABLE app.later");
    }
    await root.sql("ALTER TABLE app.later SET (PARTITION_BY_USER = true)");
    await insert("later", 1000, 10);
    await root.sql("FLUSH TABLE app.later");
    assert.deepEqual((await segments("later")).map(({ path, rows }) => [owner(path), rows]).sort(), [[undefined, 40], [undefined, 40], ...Object.keys(USERS).map((name) => [name, 10])].sort());
    await root.sql("STORAGE COMPACT TABLE app.later");
    assert.deepEqual((await segments("later")).map(({ path, rows }) => [owner(path), rows]).sort(), [[undefined, 80], ...Object.keys(USERS).map((name) => [name, 10])].sort());
    await root.sql("ALTER TABLE app.later SET (PARTITION_BY_USER = false)");
    await root.sql("STORAGE COMPACT TABLE app.later");
    assert.deepEqual((await segments("later")).map(({ path, rows }) => [owner(path), rows]), [[undefined, 120]]);
    for (const name of Object.keys(USERS)) await expectRows(name, "later", 30);
});

test("more users than are published together", async () => {
    const names = Array.from({ length: 300 }, (_, i) => `many${i}`);
    await root.sql("CREATE USER TABLE app.many (id BIGINT PRIMARY KEY, text TEXT) WITH (PARTITION_BY_USER = true)");
    await Promise.all(names.map((name) => root.sql(`CREATE USER '${name}' WITH PASSWORD 'password of ${name}' ROLE user`)));
    for (let i = 0; i < names.length; i += 10) {
        await Promise.all(names.slice(i, i + 10).map(async (name) => {
            const client = await server.client(name, `password of ${name}`);
            await client.sql(`INSERT INTO app.many VALUES (1, '${name} 1'), (2, '${name} 2')`);
        }));
    }
    await root.sql("FLUSH TABLE app.many");
    const folder = join(server.dir, "data", "storage", "app", "many");
    assert.deepEqual(readdirSync(folder).sort(), names.sort());
    for (const name of names) assert.equal(readdirSync(join(folder, name)).length, 1);
    const client = await server.client("many17", "password of many17");
    assert.deepEqual(await client.rows("SELECT id, text FROM app.many ORDER BY id"), [[1, "many17 1"], [2, "many17 2"]].map(([id, text]) => [`${id}`, text]));

    // Nothing of one who was erased is left, all of the others is.
    await root.sql("DROP USER 'many17' ERASE");
    assert.deepEqual(readdirSync(folder).sort(), names.filter((name) => name !== "many17").sort());
    assert.deepEqual(await root.rows("SELECT count(*), sum(row_count) FROM system.segments WHERE table_name = 'many'"), [["299", "598"]]);
});

test("use_user_storage is refused", async () => {
    for (const sql of ["CREATE USER TABLE app.x (id BIGINT PRIMARY KEY) WITH (USE_USER_STORAGE = true)", "CREATE USER TABLE app.x (id BIGINT PRIMARY KEY) USE_USER_STORAGE", "ALTER TABLE app.later SET (USE_USER_STORAGE = true)"]) {
        const error = await root.error(sql);
        assert.ok(error.message.includes("accounts have no storage of their own"), `${sql}: ${error.code}: ${error.message}`);
    }
});
