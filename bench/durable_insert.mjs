// durable_insert: one row a request, on the disk before the answer, against PostgreSQL.
import { KalamDB, Postgres, interleaved, machine, writeResult, wrk } from "./lib.mjs";

const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
const where = machine();
const [kalam, postgres] = [await new KalamDB().start(), await new Postgres().start()];
const figures = {};
try {
    await kalam.sql("CREATE NAMESPACE bench");
    await kalam.sql("CREATE SHARED TABLE bench.log (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), kind INT, body TEXT)");
    postgres.sql("CREATE TABLE log (id BIGSERIAL PRIMARY KEY, kind INT, body TEXT)");
    const INSERT = "INSERT INTO log (kind, body) VALUES (7, 'a text of forty characters, more or less');\n";
    for (const connections of [1, 8, 64]) {
        const one = await interleaved(3, {
            KalamDB: () => wrk(kalam, "insert.lua", connections, SECONDS),
            PostgreSQL: () => postgres.pgbench(INSERT, connections, SECONDS),
        });
        for (const [name, figure] of Object.entries(one)) figures[`${name}, ${connections} connections`] = figure;
    }
    writeResult("durable_insert", { what: "INSERT of one row, fsync before the answer, 1, 8 and 64 connections",
        note: "same disk; PostgreSQL: fsync and synchronous_commit on, prepared statements", machine: where, figures });
} finally {
    await Promise.all([kalam.end(), postgres.end()]);
}
