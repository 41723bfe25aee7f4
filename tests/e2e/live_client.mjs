// live_client.mjs: a client of live queries over npm's ws, and what it knows of the rows.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const require = createRequire(join(process.env.KALAMDB_ROOT, "build", "deps", "node_modules", "here.js"));
const WebSocket = require("ws");
const msgpack = require("@msgpack/msgpack");

export class LiveClient {
    constructor(ws, format = {}) {
        this.ws = ws;
        this.format = format;
        this.inbox = [];
        this.waiting = [];
        ws.on("message", (data, isBinary) => this.take(this.decode(data, isBinary)));
        this.ended = new Promise((resolve) => ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() })));
        ws.on("error", () => {});
    }

    // A connection; with a token it has authenticated.
    static async open(server, token, { protocol, query = "", headers = {}, ...options } = {}) {
        const ws = new WebSocket(`ws://127.0.0.1:${server.port}/v1/ws${query}`, { headers, ...options });
        const client = new LiveClient(ws, protocol);
        await once(ws, "open");
        if (token) {
            client.send({ type: "authenticate", method: "jwt", token, protocol: protocol ?? { serialization: "json", compression: "none" } });
            client.success = await client.next();
            assert.equal(client.success.type, "auth_success", JSON.stringify(client.success));
            client.speaks = protocol?.serialization;
        }
        return client;
    }

    decode(data, isBinary) {
        if (!isBinary) return JSON.parse(data.toString());
        const bytes = data[0] === 0x1f && data[1] === 0x8b ? gunzipSync(data) : data;
        return this.speaks === "msgpack" ? msgpack.decode(bytes) : JSON.parse(bytes.toString());
    }

    take(message) {
        this.onMessage?.(message);
        if (this.waiting.length > 0) this.waiting.shift().resolve(message);
        else this.inbox.push(message);
    }

    next(ms = 10000) {
        if (this.inbox.length > 0) return Promise.resolve(this.inbox.shift());
        return new Promise((resolve, reject) => {
            const entry = { resolve: (m) => { clearTimeout(timer); resolve(m); } };
            const timer = setTimeout(() => {
                this.waiting = this.waiting.filter((e) => e !== entry);
                reject(new Error("no message came"));
            }, ms);
            this.waiting.push(entry);
        });
    }

    // Nothing comes for a moment.
    async silent(ms = 150) {
        await new Promise((resolve) => setTimeout(resolve, ms));
        assert.deepEqual(this.inbox, []);
    }

    send(message) {
        this.ws.send(this.speaks === "msgpack" ? msgpack.encode(message) : JSON.stringify(message));
    }

    // Subscribes and reads the first rows; gives the rows and what was said of them.
    async subscribe(id, sql, options) {
        this.send({ type: "subscribe", subscription: { id, sql, ...(options ? { options } : {}) } });
        const ack = await this.next();
        if (ack.type === "error") return { error: ack };
        assert.equal(ack.type, "subscription_ack", JSON.stringify(ack));
        const rows = [];
        const batches = [];
        for (;;) {
            const batch = await this.next();
            assert.equal(batch.type, "initial_data_batch", JSON.stringify(batch));
            batches.push(batch);
            rows.push(...batch.rows);
            if (!batch.batch_control.has_more) return { ack, rows, batches, seq: batch.batch_control.last_seq_id };
            this.send({ type: "next_batch", subscription_id: id, last_seq_id: batch.batch_control.last_seq_id });
        }
    }

    async close() {
        this.ws.close();
        return this.ended;
    }
}
