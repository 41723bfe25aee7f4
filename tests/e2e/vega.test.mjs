// Real data through the terminal client: three data sets are imported with CREATE, and ten
// analytical queries over them must answer what plain DuckDB answers on the same files.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT_PASSWORD, Server } from "./server.mjs";

const run = promisify(execFile);
const DATA = join(process.env.KALAMDB_ROOT, "build/deps/vega-datasets/data");
const FILES = { flights: "flights-200k.json", movies: "movies.json", weather: "seattle-weather.csv" };

const server = new Server();
let root;

async function kalam(...args) {
    const { stdout } = await run(process.env.KALAM, ["--url", server.url, "--user", "root", ...args],
        { env: { ...process.env, KALAMDB_PASSWORD: ROOT_PASSWORD }, maxBuffer: 64 << 20 });
    return stdout;
}

before(async () => {
    assert.ok(existsSync(DATA), "the data sets are missing: tools/setup data");
    await server.start();
    root = await server.client();
    await kalam("-c", "CREATE NAMESPACE vega");
    for (const [table, file] of Object.entries(FILES))
        await kalam("-c", `\\import ${join(DATA, file)} INTO vega.${table} CREATE`);
});
after(() => server.close());

// The same tables in plain DuckDB, under the names that the import made.
const identifier = (name) => name.toLowerCase().replaceAll(" ", "_");
const movieColumns = Object.keys(JSON.parse(readFileSync(join(DATA, FILES.movies), "utf8"))[0]);
const ORACLE_SETUP = [
    `CREATE TABLE flights AS SELECT * FROM read_json('${join(DATA, FILES.flights)}')`,
    `CREATE TABLE movies AS SELECT ${movieColumns.map((c) => `"${c}" AS ${identifier(c)}`).join(", ")}
        FROM read_json('${join(DATA, FILES.movies)}', columns = {${movieColumns.map((c) =>
            `"${c}": '${/Gross|Sales|Budget|Time|Votes|Tomatoes/.test(c) ? "BIGINT" : /IMDB Rating/.test(c) ? "DOUBLE" : "VARCHAR"}'`).join(", ")}})`,
    `CREATE TABLE weather AS SELECT * FROM read_csv('${join(DATA, FILES.weather)}')`,
];

async function oracle(sql) {
    const { stdout } = await run(process.env.DUCKDB_ORACLE, [...ORACLE_SETUP, sql], { maxBuffer: 64 << 20 });
    return JSON.parse(stdout);
}

function sameCell(ours, theirs) {
    if (ours === null || theirs === null) return ours === theirs;
    const a = typeof ours === "boolean" ? ours : Number(ours);
    const b = Number(theirs);
    if (typeof a === "number" && Number.isFinite(a) && Number.isFinite(b) && String(ours).trim() !== "")
        return a === b || Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
    return String(ours) === String(theirs);
}

const QUERIES = {
    "counts and sums": "SELECT count(*), sum(delay), min(delay), max(distance), avg(distance) FROM flights",
    "group by expression": `SELECT delay // 60 AS hours, count(*) AS n, avg(distance) AS far FROM flights
        GROUP BY hours HAVING count(*) > 10 ORDER BY hours`,
    "quantiles": "SELECT quantile_cont(delay, 0.5), quantile_cont(delay, 0.99), stddev_samp(distance) FROM flights WHERE delay > 0",
    "window over groups": `SELECT major_genre, title, worldwide_gross, rank FROM (
        SELECT major_genre, title, worldwide_gross,
            rank() OVER (PARTITION BY major_genre ORDER BY worldwide_gross DESC NULLS LAST, title) AS rank
        FROM movies WHERE major_genre IS NOT NULL AND worldwide_gross > 0) WHERE rank <= 3 ORDER BY major_genre, rank, title`,
    "CTEs and a join": `WITH d AS (SELECT director, count(*) AS films, avg(imdb_rating) AS rating FROM movies
            WHERE director IS NOT NULL GROUP BY director HAVING count(*) >= 5),
        best AS (SELECT * FROM d ORDER BY rating DESC, director LIMIT 10)
        SELECT best.director, best.films, round(best.rating, 6), m.title FROM best JOIN movies m USING (director)
        ORDER BY best.rating DESC, best.director, m.title NULLS FIRST`,
    "text and NULLs": `SELECT upper(left(title, 3)) AS start, count(*) AS n, count(us_dvd_sales) AS dvd, sum(us_gross) AS gross
        FROM movies WHERE title IS NOT NULL GROUP BY start ORDER BY n DESC, start LIMIT 25`,
    "Unicode titles": "SELECT title, length(title) FROM movies WHERE title <> regexp_replace(title, '[^\\x00-\\x7F]', '', 'g') ORDER BY title",
    "months": `SELECT CAST(date_trunc('month', date) AS DATE)::TEXT AS month, round(sum(precipitation), 4), max(temp_max), min(temp_min)
        FROM weather GROUP BY month ORDER BY month`,
    "moving average": `SELECT date::TEXT, weather, round(avg(temp_max) OVER (ORDER BY date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW), 4),
            temp_max - lag(temp_max) OVER (ORDER BY date) AS change
        FROM weather ORDER BY date LIMIT 400`,
    "set operations and a self-join": `SELECT 'warm' AS what, count(*) FROM weather a JOIN weather b ON b.date = a.date + 1 AND b.temp_max > a.temp_max
        UNION ALL SELECT 'rain', count(*) FROM weather WHERE weather = 'rain'
        UNION ALL SELECT 'days', count(DISTINCT date) FROM weather ORDER BY 1`,
};

test("the import keeps every row and finds the types", async () => {
    assert.deepEqual(await root.rows("SELECT count(*) FROM vega.flights"), [["200000"]]);
    assert.deepEqual(await root.rows("SELECT count(*) FROM vega.movies"), [["3201"]]);
    assert.deepEqual(await root.rows("SELECT count(*) FROM vega.weather"), [["1461"]]);
    const types = Object.fromEntries((await root.rows("DESCRIBE TABLE vega.movies")).map((row) => [row[0], row[2]]));
    assert.equal(types.title, "TEXT");
    assert.equal(types.us_gross, "BIGINT");
    assert.equal(types.imdb_rating, "DOUBLE");
    assert.equal(Object.fromEntries((await root.rows("DESCRIBE TABLE vega.weather")).map((row) => [row[0], row[2]])).date, "DATE");
});

for (const [name, sql] of Object.entries(QUERIES)) {
    test(`as plain DuckDB: ${name}`, async () => {
        const [ours, theirs] = await Promise.all([root.rows(sql, undefined, "vega"), oracle(sql)]);
        assert.ok(theirs.length > 0, "the query finds nothing");
        assert.equal(ours.length, theirs.length);
        ours.forEach((row, r) => row.forEach((cell, c) =>
            assert.ok(sameCell(cell, theirs[r][c]), `row ${r}, column ${c}: ${cell} is not ${theirs[r][c]}`)));
    });
}

test("every cell of movies.json came through", async () => {
    const file = JSON.parse(readFileSync(join(DATA, FILES.movies), "utf8"));
    const columns = movieColumns.map(identifier).join(", ");
    const rows = await root.rows(`SELECT ${columns} FROM vega.movies ORDER BY id`);
    file.forEach((movie, r) => movieColumns.forEach((column, c) => {
        const value = movie[column];
        assert.ok(value === null ? rows[r][c] === null : String(rows[r][c]) === String(value),
            `${movie.Title}, ${column}: ${rows[r][c]} is not ${value}`);
    }));
});

test("BYTES come in from every form a file may have", async () => {
    await kalam("-c", "CREATE TABLE vega.raw (id INT PRIMARY KEY, b BYTES)");
    const csv = join(server.dir, "raw.csv");
    const json = join(server.dir, "raw.json");
    writeFileSync(csv, "id,b\n1,0x00ff\n2,\\x00\\xFF\n3,abcd\n");
    writeFileSync(json, JSON.stringify([{ id: 4, b: [0, 255] }, { id: 5, b: "0x00ff" }, { id: 6, b: "abcd" }]));
    await kalam("-c", `\\import ${csv} INTO vega.raw`);
    await kalam("-c", `\\import ${json} INTO vega.raw`);
    const text = [...Buffer.from("abcd")];
    assert.deepEqual(await root.rows("SELECT id, b FROM vega.raw ORDER BY id"),
        [[1, [0, 255]], [2, [0, 255]], [3, text], [4, [0, 255]], [5, [0, 255]], [6, text]]);
});
