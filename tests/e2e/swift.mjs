// swift.mjs: OpenStack Swift with its S3 interface, as a private set of daemons in a temporary directory:
// an S3 server that is not ours, and verifies signatures.
import { createHash, createHmac } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { freePort } from "./server.mjs";

const KINDS = ["account", "container", "object"];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const find = (name) => (process.env.PATH + ":/usr/bin:/usr/sbin").split(":").map((dir) => join(dir, name)).find((path) => existsSync(path));

export const missing = ["swift-ring-builder", "swift-proxy-server", ...KINDS.map((kind) => `swift-${kind}-server`)].filter((name) => !find(name));

export class Swift {
    accessKey = "test:tester";
    secret = "testing+secret/of=swift";

    async start() {
        this.dir = mkdtempSync(join(tmpdir(), "kalamdb-swift-"));
        this.daemons = [];
        this.log = "";
        mkdirSync(join(this.dir, "devices", "d1"), { recursive: true });
        writeFileSync(join(this.dir, "swift.conf"), "[swift-hash]\nswift_hash_path_suffix = kalamdb\n");
        for (const kind of KINDS) {
            const port = await freePort();
            this.#ring(kind, port);
            this.#daemon(kind, port, `[pipeline:main]\npipeline = ${kind}-server\n[app:${kind}-server]\nuse = egg:swift#${kind}\n`);
        }
        this.port = await freePort();
        this.endpoint = `http://127.0.0.1:${this.port}`;
        this.#daemon("proxy", this.port, `[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 30
node_timeout = 60
recoverable_node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = ${this.secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
`);
        for (let i = 0; i < 400; i++) {
            const reply = await fetch(this.endpoint, { headers: { "x-probe": "1" } }).catch(() => null);
            if (reply) return this;
            assert.ok(this.daemons.every((d) => d.exitCode === null), `a daemon of Swift ended:\n${this.log.slice(-3000)}`);
            await sleep(100);
        }
        throw new Error(`Swift does not answer:\n${this.log.slice(-3000)}`);
    }

    // CREATE STORAGE wants a bucket that is there.
    async makeBucket(name) {
        const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
        const sha256 = (text) => createHash("sha256").update(text).digest("hex");
        const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
        const scope = `${time.slice(0, 8)}/us-east-1/s3/aws4_request`;
        const headers = { host: `127.0.0.1:${this.port}`, "x-amz-content-sha256": sha256(""), "x-amz-date": time };
        const names = Object.keys(headers).join(";");
        const canonical = ["PUT", `/${name}`, "", ...Object.entries(headers).map(([k, v]) => `${k}:${v}`), "", names, sha256("")].join("\n");
        const key = scope.split("/").reduce(hmac, "AWS4" + this.secret);
        const signature = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`).toString("hex");
        const { host, ...sent } = headers;
        const made = await fetch(`${this.endpoint}/${name}`, { method: "PUT", headers: { ...sent,
            authorization: `AWS4-HMAC-SHA256 Credential=${this.accessKey}/${scope},SignedHeaders=${names},Signature=${signature}` } });
        assert.equal(made.status, 200, `${await made.text()}\n${this.log.slice(-3000)}`);
    }

    #ring(kind, port) {
        const builder = join(this.dir, `${kind}.builder`);
        const run = (...args) => execFileSync(find("swift-ring-builder"), [builder, ...args], { stdio: "pipe" });
        run("create", "4", "1", "1");
        run("add", "--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", String(port), "--device", "d1", "--weight", "1");
        run("rebalance");
    }

    #daemon(kind, port, pipeline) {
        const path = join(this.dir, `${kind}.conf`);
        writeFileSync(path, `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${port}\nworkers = 0\nuser = ${userInfo().username}\nswift_dir = ${this.dir}
devices = ${join(this.dir, "devices")}\nmount_check = false\nlog_address = ${join(this.dir, "no-syslog")}\n${pipeline}`);
        const daemon = spawn(find(`swift-${kind}-server`), [path, "--verbose"], { cwd: this.dir, stdio: ["ignore", "pipe", "pipe"] });
        daemon.stdout.on("data", (text) => (this.log += text));
        daemon.stderr.on("data", (text) => (this.log += text));
        daemon.gone = once(daemon, "exit");
        this.daemons.push(daemon);
    }

    async stop() {
        for (const daemon of this.daemons ?? []) {
            if (daemon.exitCode === null && daemon.signalCode === null) daemon.kill("SIGKILL");
            await daemon.gone;
        }
        if (this.dir) rmSync(this.dir, { recursive: true, force: true });
    }
}
