// Random views over random tables: whatever columns the tables and views under them get later, the
// views keep their answers. Names come from a small pool, so that new columns meet names in the
// views' texts. KAL_TEST_SEED=n repeats a run, KAL_TEST_COUNT=n makes more databases.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { seeded } from "./random.mjs";
import { Server, SqlError } from "./server.mjs";

const NAMES = [..."abcdef"];
const TABLES = [..."tuv"];
const seed = Number(process.env.KAL_TEST_SEED ?? 20261126);
const count = Number(process.env.KAL_TEST_COUNT ?? 10);

const random = seeded(seed);
const below = (n) => Math.floor(random() * n);
const one = (list) => list[below(list.length)];
const chance = (p) => random() < p;
const sample = (list, n) => list.map((x) => [random(), x]).sort(([a], [b]) => a - b).slice(0, n).map(([, x]) => x);

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
});
after(() => server.close());

// The text of a SELECT whose names may be valid.
class Query {
    constructor(ns, columns) {
        Object.assign(this, { ns, columns });
    }
    name(tables) {
        const column = one(this.columns);
        return chance(0.6) ? column : `${one(tables)}.${column}`;
    }
    condition(tables, depth = 0) {
        const kind = random();
        if (depth < 2 && kind < 0.2)
            return `EXISTS (SELECT 1 FROM ${this.ns}.${one(TABLES)} AS x${depth} WHERE ${this.condition([...tables, `x${depth}`], depth + 1)})`;
        if (depth < 2 && kind < 0.35) return `${this.name(tables)} IN (SELECT ${one(this.columns)} FROM ${this.ns}.${one(TABLES)})`;
        if (depth < 2 && kind < 0.5) return `(${this.condition(tables, depth + 1)} ${one(["AND", "OR"])} ${this.condition(tables, depth + 1)})`;
        return `${this.name(tables)} ${one(["=", "<", ">=", "<>"])} ${chance(0.5) ? 1 : this.name(tables)}`;
    }
    from(views) {
        const [a, b] = sample(TABLES, 2);
        const { ns } = this;
        if (views.length > 0 && chance(0.3)) return [`${ns}.${one(views).name} AS q, ${ns}.t`, ["q", "t"]];
        return one([
            () => [`${ns}.${a}`, [a]],
            () => [`${ns}.${a} NATURAL JOIN ${ns}.${b}`, [a, b]],
            () => [`${ns}.${a} JOIN ${ns}.${b} USING (id)`, [a, b]],
            () => [`${ns}.${a} LEFT JOIN ${ns}.${b} ON ${this.condition([a, b], 2)}`, [a, b]],
            () => [`${ns}.${a}, ${ns}.${b}`, [a, b]],
            () => [`(SELECT * FROM ${ns}.${a}) AS s, LATERAL (SELECT ${this.name([b])} AS l FROM ${ns}.${b}) AS w`, ["s", "w"]],
        ])();
    }
    select(views) {
        const [from, tables] = this.from(views);
        if (chance(0.2)) return `SELECT ${this.name(tables)} AS c0, count(*) AS n FROM ${from} GROUP BY ${one(["c0", "1", this.name(tables)])}`;
        const items = chance(0.1) ? "*" : chance(0.2) ? `${one(tables)}.*` : [0, 1, 2].slice(below(3)).map((i) => `${this.name(tables)} AS c${i}`).join(", ");
        return `SELECT ${items} FROM ${from} WHERE ${this.condition(tables)}`;
    }
}

async function works(sql) {
    try {
        await root.sql(sql);
        return true;
    } catch (error) {
        if (error instanceof SqlError && error.status < 500) return false;
        throw error;
    }
}

async function makeTables(ns) {
    const columns = [];
    await root.sql(`CREATE NAMESPACE ${ns}`);
    for (const table of TABLES) {
        const own = sample(NAMES, 1 + below(3));
        columns.push(...own);
        await root.sql(`CREATE SHARED TABLE ${ns}.${table} (id INT PRIMARY KEY, ${own.map((c) => `${c} INT`).join(", ")})`);
        await root.sql(`INSERT INTO ${ns}.${table} VALUES ${[0, 1, 2].map((id) => `(${[id, ...own.map(() => below(3))].join(", ")})`).join(", ")}`);
    }
    return [...columns, "id"];
}

const rowsOf = async (ns, view) => (await root.rows(`SELECT * FROM ${ns}.${view.name}`)).map((row) => JSON.stringify(row)).sort();

test(`views keep their answers (KAL_TEST_SEED=${seed})`, async () => {
    let compared = 0;
    for (let n = 0; n < count; n++) {
        const ns = `db${n}`;
        const query = new Query(ns, await makeTables(ns));
        const views = [];
        for (let i = 0; i < 10; i++) {
            const view = { name: `v${i}`, text: query.select(views) };
            if (await works(`CREATE VIEW ${ns}.${view.name} AS ${view.text}`)) views.push(view);
        }
        const remember = async () => {
            for (const view of views) view.rows = await rowsOf(ns, view);
        };
        await remember();
        for (let step = 0; step < 4; step++) {
            const column = one(NAMES);
            await works(`ALTER TABLE ${ns}.${one(TABLES)} ADD COLUMN ${column} INT DEFAULT ${below(3)}`);
            for (const view of views) {
                assert.deepEqual(await rowsOf(ns, view), view.rows, `${ns}.${view.name}: ${view.text}`);
                compared++;
            }
            if (views.length === 0 || chance(0.7)) continue;
            // A view under others gets a column. What it reads is looked up anew, so its rows may be others.
            const view = one(views);
            const text = `SELECT s.*, 7 AS ${column} FROM (${view.text}) AS s`;
            if (await works(`CREATE OR REPLACE VIEW ${ns}.${view.name} AS ${text}`)) view.text = text;
            await remember();
        }
        await root.sql(`DROP NAMESPACE ${ns} CASCADE`);
    }
    assert.ok(compared > count * 4, `only ${compared} comparisons`);
});
