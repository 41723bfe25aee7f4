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
