// The power fails: what was written but not synced is gone. The data directory lies on an ext4 file system in a
// file; the cut is a copy of that file, taken while nothing is being written to it: what the file system still had in memory only
// is not in it. The copy is mounted, which replays ext4's journal, and the server must find every acknowledged row,
// operations done or not begun, and go on. (What a disk acknowledged, it has kept: lying disks are not tried.)
// Needs root and loop devices, else it is skipped and says so. KAL_TEST_COUNT: how many cuts; KAL_TEST_SEED.
import { after, test } from "node:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { crashModel, isLost } from "./crash_model.mjs";
import { seeded } from "./random.mjs";
import { Server } from "./server.mjs";

const CUTS = Number(process.env.KAL_TEST_COUNT ?? 4);
const seed = Number(process.env.KAL_TEST_SEED ?? 20261127);
const random = seeded(seed);
const below = (n) => Math.floor(random() * n);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const run = (program, ...args) => execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"] }).toString().trim();

const place = mkdtempSync(join(tmpdir(), "kalamdb-e2e-power-"));
const mountPoint = join(place, "disk");
let image = join(place, "disk0");
let mounted = false;

// Commits and writes back as rarely as it may: so as much as possible is lost.
function mount() {
    run("mount", "-o", "loop,commit=300", image, mountPoint);
    mounted = true;
}
function unmount() {
    if (mounted) run("umount", mountPoint);
    mounted = false;
}

function setUpDisk() {
    if (process.getuid() !== 0) return "not root";
    try {
        mkdirSync(mountPoint);
        run("truncate", "-s", "1G", image);
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
        mount();
        return false;
    } catch (error) {
        return `no loop device can be mounted: ${String(error.stderr ?? error.message).trim()}`;
    }
}
const skip = setUpDisk();
if (skip) console.log(`power cuts are not tried: ${skip}`);

const counter = join(place, "steps");
function arm(n) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(n));
    writeFileSync(counter, bytes, { flag: "r+" });
}
writeFileSync(counter, Buffer.alloc(8));
const server = new Server({
    args: ["--flush-interval-ms", "200"],
    env: { LD_PRELOAD: process.env.KILL_AT, KAL_KILL_FILE: counter, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:verify_asan_link_order=0` },
});
const own = server.dir;
server.dir = mountPoint;
const model = crashModel(server, random, () => mountPoint);

after(async () => {
    if (server.process) await server.stop("SIGKILL");
    unmount();
    rmSync(place, { recursive: true, force: true });
    rmSync(own, { recursive: true, force: true });
});

// How much was written to the loop device so far.
const written = (device) => readFileSync(`/sys/block/${device}/stat`, "utf8").trim().split(/\s+/)[6];

// The backing file as it is at one moment: a copy during which nothing was written is one.
async function cut(number) {
    const device = basename(run("findmnt", "-no", "SOURCE", mountPoint));
    const copy = join(place, `disk${number}`);
    for (;;) {
        const before = written(device);
        run("cp", "--sparse=always", image, copy);
        if (written(device) === before) break;
        await sleep(10);
    }
    unmount();
    rmSync(image);
    image = copy;
    mount();
}

test("set-up", { skip }, async () => {
    console.log(`KAL_TEST_SEED=${seed}`);
    await server.start();
    await model.setUp();
});

const names = Object.keys(model.OPERATIONS);
for (let number = 1; number <= CUTS; number++) {
    const name = names[(number - 1) % names.length];
    test(`power cut ${number} of ${CUTS}, in ${name}`, { skip }, async () => {
        const operation = model.OPERATIONS[name];
        const state = { over: false };
        await operation.prepare();
        const running = model.writers.map((w) => model.work(w, state));
        let done = false;
        const outcome = (async () => {
            await sleep(below(40));
            if (random() < 0.7) arm(1 + below(120));
            await operation.run();
            done = true;
        })().catch((error) => { if (!isLost(error)) throw error; });
        await Promise.race([server.exit, sleep(50 + below(600))]);
        const wasDone = done; // what is answered from now on may be lost
        state.over = true;
        await server.stop("SIGKILL");
        await cut(number);
        arm(0);
        await outcome;
        await Promise.all(running);
        await server.start();
        await model.login();
        for (const w of model.writers) await model.check(w, `cut ${number} in ${name}`);
        await operation.check?.(wasDone || done);
    });
}
