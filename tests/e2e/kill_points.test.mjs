// The server kills itself at the n-th change of the file system since an operation began (kill_at.c), for every n
// until the operation comes through: flush, compaction, DDL, backup, erasing. After each kill it opens, every
// acknowledged row is there once and as it was left, a table is as it was before or after, a backup is
// whole or is none, an erasing comes to its end, and no file is left that no table knows.
// KAL_TEST_COUNT: how many kills at most; a few are at random steps, many go step by step. KAL_TEST_SEED.
import { after, before, test } from "node:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crashModel, isLost } from "./crash_model.mjs";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";

const COUNT = Number(process.env.KAL_TEST_COUNT ?? 9);
const STEP_BY_STEP = COUNT >= 100;
const GROUP = 50; // rounds that are one test

const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);
const random = seeded(seed);
const below = (n) => Math.floor(random() * n);

const dir = mkdtempSync(join(tmpdir(), "kalamdb-e2e-kill-"));
const counter = join(dir, "steps");
function arm(n) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(n));
    writeFileSync(counter, bytes, { flag: "r+" }); // the file that the server has mapped
}
const left = () => Number(readFileSync(counter).readBigInt64LE());
writeFileSync(counter, Buffer.alloc(8));

const BY_HAND = ["--flush-interval-ms", "100000"]; // nothing is flushed, merged and swept but by statement
const BY_ITSELF = ["--flush-interval-ms", "100"];
const server = new Server({
    args: BY_HAND,
    env: { LD_PRELOAD: process.env.KILL_AT, KAL_KILL_FILE: counter, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:verify_asan_link_order=0` },
});
const model = crashModel(server, random, () => dir);

before(async () => {
    console.log(`KAL_TEST_SEED=${seed}`);
    await server.start();
    await model.setUp();
});
after(async () => {
    await server.close("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
});

// ---- one kill

const figures = new Map();
let failed = false; // what follows a failure says nothing

// Whether the server was killed.
async function once(name, step) {
    const operation = model.OPERATIONS[name];
    const what = `${name}, killed at step ${step}`;
    const state = { over: false };
    await operation.prepare();
    const running = random() < 0.5 ? model.writers.map((w) => model.work(w, state)) : [];
    arm(step);
    let done = true;
    try {
        await operation.run();
    } catch (error) {
        if (!isLost(error)) throw error;
        done = false;
    }
    const steps = step - left();
    state.over = true;
    await Promise.all(running);
    const killed = left() === 0;
    arm(0);
    if (killed) {
        await server.exit;
        await server.start();
        await model.login();
    }
    for (const w of model.writers) await model.check(w, what);
    await operation.check?.(done);
    const f = figures.get(name) ?? { kills: 0, through: 0, steps: 0 };
    f[killed ? "kills" : "through"]++;
    f.steps = Math.max(f.steps, steps);
    figures.set(name, f);
    return killed;
}

const names = Object.keys(model.OPERATIONS);
const at = { name: 0, step: 0 };

async function round() {
    if (!STEP_BY_STEP) return once(names[at.name++ % names.length], 1 + below(60));
    if (await once(names[at.name % names.length], ++at.step)) return true;
    at.name++;
    at.step = 0;
    return false;
}

for (let first = 1; first <= COUNT; first += GROUP) {
    test(`kills ${first} to ${Math.min(COUNT, first + GROUP - 1)}`, async (t) => {
        if (failed) return t.skip("an earlier one failed");
        failed = true;
        for (let i = first; i < first + GROUP && i <= COUNT; i++) await round();
        await model.noOrphans(`after ${first + GROUP - 1} kills`, BY_HAND, BY_ITSELF);
        for (const w of model.writers) await model.check(w, "after a restart");
        console.log(JSON.stringify(Object.fromEntries(figures)));
        failed = false;
    });
}
