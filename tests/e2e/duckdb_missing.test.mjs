// Libraries that are loaded when first needed: their absence is said when the server starts, and by the statements that need them.
import { test } from "node:test";
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { Server } from "./server.mjs";

async function withServer(args, env, run) {
    const server = new Server({ args: ["--flush-interval-ms", "86400000", ...args], env });
    try {
        await server.start();
        const root = await server.client();
        await root.sql("CREATE NAMESPACE app");
        await root.sql("CREATE SHARED TABLE app.hot (id INT PRIMARY KEY, n INT)");
        await root.sql("INSERT INTO app.hot VALUES (1, 10), (2, 20)");
        await run(root, server);
    } finally {
        await server.close();
    }
}

// Statements over rows of SHARED segments need the module, nothing else does.
async function expectOnlyFilesFail(root, message) {
    await root.sql("CREATE SHARED TABLE app.cold (id INT PRIMARY KEY, n INT)");
    await root.sql("INSERT INTO app.cold VALUES (1, 10), (2, 20)");
    await root.sql("FLUSH TABLE app.cold");
    for (let i = 0; i < 2; i++) // it is not kept half open
        await assert.rejects(root.sql("SELECT sum(n) FROM app.cold"), message);
    assert.deepEqual((await root.sql("SELECT n FROM app.cold WHERE id = 2")).rows, [[20]]);
    assert.deepEqual((await root.sql("SELECT sum(n) FROM app.hot")).rows, [["30"]]);
}

test("the module for DuckDB is not there", () =>
    withServer(["--duckdb-module", "/nowhere/module.so"], {}, async (root, server) => {
        assert.match(server.log, /cannot read '\/nowhere\/module\.so'/);
        await expectOnlyFilesFail(root, /cannot load the module for DuckDB '\/nowhere\/module\.so'/);
    }));

test("the module for DuckDB is no such module", () =>
    withServer(["--duckdb-module", join(process.env.LD_LIBRARY_PATH, "libduckdb.so")], {}, (root) =>
        expectOnlyFilesFail(root, /has no function 'kal_duckdb_module_register'/)));

test("DuckDB lies elsewhere: the module takes the one in use", () =>
    withServer([], { LD_LIBRARY_PATH: "" }, async (root, server) => {
        const moved = join(server.dir, "libduckdb.so");
        copyFileSync(join(process.env.LD_LIBRARY_PATH, "libduckdb.so"), moved);
        server.args.push("--duckdb", moved);
        await server.restart();
        root = await server.client();
        await root.sql("FLUSH TABLE app.hot");
        await root.sql("DELETE FROM app.hot WHERE id = 1");
        assert.deepEqual((await root.sql("SELECT sum(n), count(n) FROM app.hot")).rows, [["20", "1"]]);
    }));

test("DuckDB is not there", () =>
    withServer(["--duckdb", "/nowhere/libduckdb.so"], {}, async (root, server) => {
        assert.match(server.log, /cannot read '\/nowhere\/libduckdb\.so'/);
        await assert.rejects(root.sql("SELECT sum(n) FROM app.hot"), /cannot load the DuckDB library '\/nowhere\/libduckdb\.so'/);
        assert.deepEqual((await root.sql("SELECT n FROM app.hot WHERE id = 2")).rows, [[20]]);
    }));
