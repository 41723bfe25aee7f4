// Which changes end a user's tokens: password, role, logging out and dropping do, an e-mail address
// does not.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./server.mjs";

const server = new Server();
let root;
before(async () => {
    await server.start();
    root = await server.client();
});
after(() => server.close());

async function post(path, token, body) {
    const headers = { "content-type": "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const reply = await fetch(`${server.url}/v1/api/auth/${path}`, { method: "POST", headers, body });
    return { status: reply.status, body: await reply.json() };
}

const logIn = (user) => post("login", null, JSON.stringify({ user, password: `password of ${user}` }));
const works = async (client) => assert.deepEqual(await client.rows("SELECT 1 AS one"), [[1]]);
async function isRevoked(client) {
    const error = await client.error("SELECT 1 AS one");
    assert.equal(error.status, 401);
    assert.equal(error.code, "TOKEN_REVOKED");
}

test("an e-mail address", async () => {
    const mia = await root.addUser("mia");
    await root.sql("ALTER USER 'mia' SET EMAIL 'mia@example.org'");
    await works(mia);
    await mia.sql("ALTER USER 'mia' SET EMAIL 'mia@example.com'");
    await works(mia);
});

test("a password, a role, being dropped", async () => {
    for (const change of ["ALTER USER 'ned' SET PASSWORD 'another long one'", "ALTER USER 'ned' SET ROLE service", "DROP USER 'ned'"]) {
        const ned = change.includes("PASSWORD") ? await root.addUser("ned") : await server.client("ned", "another long one");
        await works(ned);
        await root.sql(change);
        await isRevoked(ned);
    }
});

test("logging out", async () => {
    const ina = await root.addUser("ina");
    const elsewhere = (await logIn("ina")).body;
    const other = await root.addUser("olaf");
    const reply = await post("logout", ina.token);
    assert.equal(reply.status, 200);
    assert.match(reply.body.message, /logged out/);
    await isRevoked(ina);
    assert.equal((await post("refresh", null, JSON.stringify({ refresh_token: elsewhere.refresh_token }))).body.code, "TOKEN_REVOKED");
    await works(other);
    await works(await server.client("ina", "password of ina"));
    await server.restart();
    await isRevoked(ina);
});

test("logging out needs a token that is valid", async () => {
    assert.equal((await post("logout", null)).status, 401);
    assert.equal((await post("logout", "x")).status, 401);
    const { refresh_token } = (await logIn("olaf")).body;
    assert.equal((await post("logout", refresh_token)).status, 401);
});

test("last_seen: of the last login, to the minute, kept over a restart", async () => {
    const lastSeen = async () => (await root.rows("SELECT last_seen FROM system.users WHERE user_id = 'una'"))[0][0];
    await root.sql("CREATE USER 'una' WITH PASSWORD 'password of una' ROLE user");
    assert.equal(await lastSeen(), null);
    const before = Date.now();
    await logIn("una");
    const seen = await lastSeen();
    const at = Number(seen) / 1000;
    assert.ok(at >= before - 1000 && at <= Date.now() + 1000, `${seen} is not now`);
    await logIn("una");
    assert.equal(await lastSeen(), seen, "a second login within the minute writes nothing");
    await server.restart();
    root = await server.client();
    assert.equal(await lastSeen(), seen);
});
