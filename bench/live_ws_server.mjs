// live_ws_server: npm's ws telling many sockets, as live_plain.c does: "BYTES COUNT" on standard input.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./lib.mjs";

const { WebSocketServer } = createRequire(join(root, "build", "deps", "node_modules", "here.js"))("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), clientTracking: true, backlog: 4096 });
server.on("listening", () => console.log("ready"));
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
    const [bytes, count] = line.split(" ").map(Number);
    for (let n = 0; n < count; n++) {
        const message = Buffer.alloc(bytes, "x"); // encoded once, as a careful application would
        for (const client of server.clients) client.send(message, { binary: false });
    }
    console.log("sent");
});
lines.on("close", () => process.exit(0));
