// server.mjs: a real kalamdb-server in a temporary directory, as the e2e tests use it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";

export const ROOT_PASSWORD = "correct horse battery";

export async function freePort() {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    await once(probe, "close");
    return port;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Server {
    constructor({ password = ROOT_PASSWORD, args = [], env = {} } = {}) {
        this.dir = mkdtempSync(join(tmpdir(), "kalamdb-e2e-"));
        this.password = password;
        this.args = args;
        this.env = env;
        this.log = "";
    }

    async start() {
        this.port = await freePort();
        this.url = `http://127.0.0.1:${this.port}`;
        const env = { ...process.env, ...this.env };
        delete env.KALAMDB_ROOT_PASSWORD;
        if (this.password) env.KALAMDB_ROOT_PASSWORD = this.password;
        this.process = spawn(process.env.KALAMDB_SERVER,
            ["--data", join(this.dir, "data"), "--port", String(this.port), ...this.args],
            { env, stdio: ["ignore", "pipe", "pipe"] });
        this.process.stdout.on("data", (text) => (this.log += text));
        this.process.stderr.on("data", (text) => (this.log += text));
        this.exit = once(this.process, "exit");
        for (let i = 0; i < 600; i++) {
            assert.equal(this.process.exitCode, null, `the server ended:\n${this.log}`);
            try {
                const reply = await fetch(`${this.url}/health`);
                if (reply.ok) return this;
            } catch {
                // not listening yet
            }
            await sleep(50);
        }
        throw new Error(`the server does not answer:\n${this.log}`);
    }

    // Ends it with a signal; SIGTERM must end with 0.
    async stop(signal = "SIGTERM") {
        if (this.process.exitCode !== null || this.process.signalCode !== null) return;
        this.process.kill(signal);
        const [code] = await this.exit;
        if (signal === "SIGTERM") assert.equal(code, 0, `SIGTERM ended with ${code}:\n${this.log}`);
    }

    async restart(signal = "SIGTERM") {
        await this.stop(signal);
        return this.start();
    }

    async close(signal) {
        await this.stop(signal);
        rmSync(this.dir, { recursive: true, force: true });
    }

    // A logged-in client.
    async client(user = "root", password = ROOT_PASSWORD) {
        const reply = await fetch(`${this.url}/v1/api/auth/login`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ user, password }),
        });
        const body = await reply.json();
        assert.equal(reply.status, 200, JSON.stringify(body));
        return new Client(this, body.access_token);
    }
}

export class SqlError extends Error {
    constructor(status, error) {
        super(`${error.code}: ${error.message}`);
        Object.assign(this, { status, ...error });
    }
}

export class Client {
    constructor(server, token) {
        this.server = server;
        this.token = token;
    }

    // The whole reply; throws SqlError.
    async request(sql, params, namespace_id) {
        const reply = await fetch(`${this.server.url}/v1/api/sql`, {
            method: "POST",
            headers: { "content-type": "application/json", authorization: `Bearer ${this.token}` },
            body: JSON.stringify({ sql, params, namespace_id }),
        });
        const body = await reply.json();
        if (body.status !== "success") throw new SqlError(reply.status, body.error);
        return body;
    }

    // The last result.
    async sql(sql, params, namespace_id) {
        const body = await this.request(sql, params, namespace_id);
        return body.results[body.results.length - 1];
    }

    async rows(sql, params, namespace_id) {
        return (await this.sql(sql, params, namespace_id)).rows;
    }

    // The error that the statement must end with.
    async error(sql, params, namespace_id) {
        try {
            await this.request(sql, params, namespace_id);
        } catch (error) {
            if (error instanceof SqlError) return error;
            throw error;
        }
        assert.fail(`should have failed: ${sql.slice(0, 200)}`);
    }

    async addUser(name, role = "user", password = `password of ${name}`) {
        await this.sql(`CREATE USER '${name}' WITH PASSWORD '${password}' ROLE ${role}`);
        return this.server.client(name, password);
    }
}

// Rows as objects by column name.
export const object = (result) => result.rows.map((row) => Object.fromEntries(row.map((v, i) => [result.schema[i].name, v])));

// "BIGINT" of DESCRIBE beside "BigInt" of the reply.
export const replyType = (sql) => {
    const embedding = /^EMBEDDING\((\d+)\)$/.exec(sql);
    if (embedding) return { Embedding: Number(embedding[1]) };
    const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(sql);
    if (decimal) return { Decimal: { precision: Number(decimal[1]), scale: Number(decimal[2]) } };
    return { BIGINT: "BigInt", SMALLINT: "SmallInt", DATETIME: "DateTime" }[sql] ?? sql[0] + sql.slice(1).toLowerCase();
};
