// alter: ALTER TABLE on a table of 10 rows and on one of 1,000,000: the cost must not depend on the rows.
import { KalamDB, interleaved, machine, writeResult } from "./lib.mjs";

const STATEMENTS = 400;
const where = machine();
const kalam = await new KalamDB().start();
try {
    await kalam.sql("CREATE NAMESPACE bench");
    for (const [table, rows] of [["small", 10], ["large", 1000000]]) {
        await kalam.sql(`CREATE TABLE bench.${table} (id BIGINT PRIMARY KEY, kind INT, body TEXT)`);
        for (let at = 0; at < rows; at += 50000)
            await kalam.sql(`INSERT INTO bench.${table} SELECT i, i % 7, 'row ' || i FROM range(${at}, ${Math.min(at + 50000, rows)}) r(i)`);
    }
    let next = 0;
    const alter = (table) => async () => {
        const before = kalam.cpu();
        const start = performance.now();
        for (let i = 0; i < STATEMENTS / 2; i++) {
            const column = `c${++next}`;
            await kalam.sql(`ALTER TABLE bench.${table} ADD COLUMN ${column} INT NOT NULL DEFAULT 7`);
            await kalam.sql(`ALTER TABLE bench.${table} DROP COLUMN ${column}`);
        }
        const took = performance.now() - start;
        return { ops: STATEMENTS, cpu_us: ((kalam.cpu() - before) * 1e6) / STATEMENTS,
            per_second: (STATEMENTS * 1000) / took, latency_ms: took / STATEMENTS };
    };
    await alter("small")();
    const figures = await interleaved(7, { "10 rows": alter("small"), "1,000,000 rows": alter("large") });
    writeResult("alter", { what: "ALTER TABLE: ADD COLUMN with a default, then DROP COLUMN, in turn",
        note: "over HTTP, one connection, fsync before the answer", machine: where, figures });
} finally {
    await kalam.end();
}
