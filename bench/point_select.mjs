// point_select: one row by its key over HTTP, against HTTP alone and against PostgreSQL.
import { Hello, KalamDB, Postgres, interleaved, machine, writeResult, wrk } from "./lib.mjs";

const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
const ROWS = 100000;
const where = machine();
const [hello, kalam, postgres] = [await new Hello().start(1), await new KalamDB().start("--loops", "1"), await new Postgres().start()];
try {
    await kalam.sql("CREATE NAMESPACE bench");
    await kalam.sql("CREATE SHARED TABLE bench.accounts (aid INT PRIMARY KEY, bid INT, abalance INT, filler TEXT)");
    for (let from = 1; from <= ROWS; from += 1000)
        await kalam.sql("INSERT INTO bench.accounts VALUES ($1, $2, $3, $4)",
            Array.from({ length: 1000 }, (_, i) => [from + i, 1, 0, " ".repeat(84)]));
    postgres.run("pgbench", ["-i", "-q", "-s", "1"]); // 100,000 accounts
    const SELECT = `\\set aid random(1, ${ROWS})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n`;
    const figures = await interleaved(3, {
        "HTTP alone": () => wrk(hello, "point.lua", 16, SECONDS),
        KalamDB: () => wrk(kalam, "point.lua", 16, SECONDS),
        "PostgreSQL, prepared": () => postgres.pgbench(SELECT, 16, SECONDS, "prepared"),
        "PostgreSQL, parsed each time": () => postgres.pgbench(SELECT, 16, SECONDS, "simple"),
    });
    writeResult("point_select", { what: "SELECT of one row by its key, 16 connections, 100,000 rows of 4 columns",
        note: "server's CPU only; KalamDB parses the text and checks the token each time; PostgreSQL as pgbench -S",
        machine: where, figures });
} finally {
    await Promise.all([hello.end(), kalam.end(), postgres.end()]);
}
