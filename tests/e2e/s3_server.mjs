// s3_server.mjs: an S3 server in memory for tests, which verifies Signature V4 by an implementation of
// its own, and fails when it is told to.
//
// Faults are taken in the order they were added, each for `times` matching requests:
//   { method?, match?, times?, kind, status?, code? }
//   match: a regular expression on "/bucket/key?query"
//   kind: "status" (answers status, code) · "cut" (closes the connection without an answer) ·
//         "truncate" (half of the body, then closes) · "lose" (does it, then closes without an answer) ·
//         "slow" (a byte each 20 ms) · "hold" (no answer until release()) · "late" (200 with an error in it)
// As a program it prints {"port":n} and obeys lines of JSON: {"fault":{..}}, {"set":{"secret":".."}},
// {"put":{bucket,key,size}}, {"state":true}; it answers each by a line and ends with its standard input.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const SKEW_MS = 15 * 60 * 1000;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

class S3Error extends Error {
    constructor(status, code) {
        super(code);
        Object.assign(this, { status, code });
    }
}

// RFC 3986, as the S3 reference's UriEncode.
const encode = (text) => [...Buffer.from(text)].map((b) => /[A-Za-z0-9._~-]/.test(String.fromCharCode(b))
    ? String.fromCharCode(b) : "%" + b.toString(16).toUpperCase().padStart(2, "0")).join("");
const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function parseUrl(url) {
    const [path, query = ""] = url.split("?");
    const segments = path.split("/").slice(1).map(decodeURIComponent);
    const pairs = query === "" ? [] : query.split("&").map((pair) => {
        const at = pair.indexOf("=");
        return at < 0 ? [decodeURIComponent(pair), ""] : [pair.slice(0, at), pair.slice(at + 1)].map(decodeURIComponent);
    });
    return {
        bucket: segments[0], key: segments.slice(1).join("/"), query: new Map(pairs),
        canonicalPath: "/" + segments.map(encode).join("/"),
        canonicalQuery: pairs.map(([k, v]) => `${encode(k)}=${encode(v)}`).sort().join("&"),
    };
}

export class S3Server {
    constructor(options = {}) {
        Object.assign(this, {
            accessKey: "AKIDEXAMPLE", secret: "the/secret+of=tests", token: null, region: "us-east-1", pageSize: 1000,
        }, options);
        this.buckets = new Map([["bucket", new Map()]]);
        this.uploads = new Map();
        this.faults = [];
        this.requests = [];
        this.held = [];
        this.nextUpload = 1;
        this.gets = new Map(); // key -> how many GETs
        this.getsRunning = 0;
    }

    async start(port = 0) {
        this.sockets = new Set();
        this.http = createServer((req, res) => this.#serve(req, res));
        this.http.on("connection", (socket) => {
            this.sockets.add(socket);
            socket.on("close", () => this.sockets.delete(socket));
        });
        this.http.listen(port, "127.0.0.1");
        await once(this.http, "listening");
        this.port = this.http.address().port;
        this.endpoint = `http://127.0.0.1:${this.port}`;
        return this;
    }

    async stop() {
        this.release();
        for (const socket of this.sockets) socket.destroy();
        this.http.close();
        await once(this.http, "close");
    }

    fault(fault) {
        this.faults.push({ times: 1, ...fault, match: new RegExp(fault.match ?? "") });
    }

    release() {
        for (const go of this.held.splice(0)) go();
    }

    keys(bucket = "bucket") {
        return [...this.buckets.get(bucket).keys()].sort();
    }

    #takeFault(req) {
        const at = this.faults.findIndex((f) => (f.method ?? req.method) === req.method && f.match.test(decodeURIComponent(req.url)));
        if (at < 0) return null;
        const fault = this.faults[at];
        if (--fault.times <= 0) this.faults.splice(at, 1);
        return fault;
    }

    #verify(req, url, body) {
        const found = /^AWS4-HMAC-SHA256 Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$/
            .exec(req.headers.authorization ?? "");
        if (!found) throw new S3Error(403, "AccessDenied");
        const [key, date, region, service, end] = found[1].split("/");
        const signed = found[2].split(";");
        const time = req.headers["x-amz-date"] ?? "";
        if (key !== this.accessKey) throw new S3Error(403, "InvalidAccessKeyId");
        if (region !== this.region || service !== "s3" || end !== "aws4_request" || !time.startsWith(date))
            throw new S3Error(400, "AuthorizationHeaderMalformed");
        const when = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
        if (!(Math.abs(when - Date.now()) < SKEW_MS)) throw new S3Error(403, "RequestTimeTooSkewed");
        for (const name of ["host", "x-amz-date", "x-amz-content-sha256"])
            if (!signed.includes(name)) throw new S3Error(403, "AccessDenied");
        for (const name of Object.keys(req.headers))
            if (name.startsWith("x-amz-") && !signed.includes(name)) throw new S3Error(403, "AccessDenied");
        if ((req.headers["x-amz-security-token"] ?? null) !== this.token) throw new S3Error(400, "InvalidToken");
        const hash = req.headers["x-amz-content-sha256"];
        const canonical = [req.method, url.canonicalPath, url.canonicalQuery,
            ...signed.map((name) => `${name}:${(req.headers[name] ?? "").trim().replace(/ +/g, " ")}`), "", signed.join(";"), hash].join("\n");
        const scope = `${date}/${region}/s3/aws4_request`;
        const signing = hmac(hmac(hmac(hmac("AWS4" + this.secret, date), region), "s3"), "aws4_request");
        const expected = hmac(signing, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`);
        if (!timingSafeEqual(expected, Buffer.from(found[3], "hex"))) throw new S3Error(403, "SignatureDoesNotMatch");
        if (sha256(body) !== hash) throw new S3Error(400, "XAmzContentSHA256Mismatch");
    }

    async #serve(req, res) {
        const pieces = [];
        try {
            for await (const piece of req) pieces.push(piece);
        } catch {
            return; // the client left
        }
        const body = Buffer.concat(pieces);
        const fault = this.#takeFault(req);
        this.requests.push(`${req.method} ${decodeURIComponent(req.url)}`);
        if (fault?.kind === "hold") await new Promise((resolve) => this.held.push(resolve));
        if (fault?.kind === "cut") return void req.socket.destroy();
        let answer;
        try {
            const url = parseUrl(req.url);
            this.#verify(req, url, body);
            if (fault?.kind === "status") throw new S3Error(fault.status, fault.code ?? "InternalError");
            answer = fault?.kind === "late" ? { status: 200, body: this.#errorBody(fault.code ?? "InternalError") }
                : this.#answer(req, url, body);
        } catch (error) {
            if (!(error instanceof S3Error)) throw error;
            answer = { status: error.status, body: this.#errorBody(error.code), headers: { "content-type": "application/xml" } };
        }
        if (fault?.kind === "lose") return void req.socket.destroy();
        await this.#send(req, res, answer, fault);
    }

    // A real server repeats in its message what it was sent.
    #errorBody(code) {
        return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>about ${this.accessKey} &amp; more</Message></Error>`);
    }

    async #send(req, res, { status, headers = {}, body = Buffer.alloc(0) }, fault) {
        const bytes = Buffer.from(body);
        res.writeHead(status, { "content-length": bytes.length, ...headers });
        if (req.method === "HEAD") return void res.end();
        if (fault?.kind === "truncate") {
            res.write(bytes.subarray(0, bytes.length >> 1), () => req.socket.destroy());
            return;
        }
        if (fault?.kind === "slow") {
            for (let i = 0; i < bytes.length && !res.destroyed; i++) {
                res.write(bytes.subarray(i, i + 1));
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            return void res.end();
        }
        res.end(bytes);
    }

    #answer(req, { bucket, key, query }, body) {
        const objects = this.buckets.get(bucket);
        if (!objects) throw new S3Error(404, "NoSuchBucket");
        if (key === "") {
            if (req.method !== "GET") throw new S3Error(405, "MethodNotAllowed");
            return query.has("uploads") ? this.#listUploads(query) : this.#list(objects, query);
        }
        if (Buffer.byteLength(key) > 1024) throw new S3Error(400, "KeyTooLongError");
        switch (req.method) {
            case "PUT": return query.has("uploadId") ? this.#putPart(key, query, body) : this.#put(objects, key, body);
            case "POST": return query.has("uploads") ? this.#begin(bucket, key) : this.#complete(objects, query, body);
            case "DELETE": return this.#delete(objects, key, query);
            case "HEAD": case "GET": return this.#get(req, objects, key);
            default: throw new S3Error(405, "MethodNotAllowed");
        }
    }

    #put(objects, key, body) {
        objects.set(key, body);
        return { status: 200, headers: { etag: `"${sha256(body).slice(0, 32)}"` } };
    }

    #get(req, objects, key) {
        if (req.method === "GET") this.gets.set(key, (this.gets.get(key) ?? 0) + 1);
        const body = objects.get(key);
        if (!body) throw new S3Error(404, "NoSuchKey");
        const range = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? "");
        if (!range) return { status: 200, body, headers: { "content-length": body.length } };
        const from = Number(range[1]);
        if (from >= body.length) throw new S3Error(416, "InvalidRange");
        const to = Math.min(Number(range[2]), body.length - 1);
        return { status: 206, body: body.subarray(from, to + 1), headers: { "content-range": `bytes ${from}-${to}/${body.length}` } };
    }

    #delete(objects, key, query) {
        if (query.has("uploadId")) {
            if (!this.uploads.delete(query.get("uploadId"))) throw new S3Error(404, "NoSuchUpload");
        } else {
            objects.delete(key);
        }
        return { status: 204 };
    }

    #begin(bucket, key) {
        const id = `upload+/=${this.nextUpload++}`;
        this.uploads.set(id, { bucket, key, parts: new Map() });
        return { status: 200, body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>` };
    }

    #upload(query) {
        const upload = this.uploads.get(query.get("uploadId"));
        if (!upload) throw new S3Error(404, "NoSuchUpload");
        return upload;
    }

    #putPart(key, query, body) {
        const upload = this.#upload(query);
        const etag = `"part-&-${sha256(body).slice(0, 32)}"`;
        upload.parts.set(Number(query.get("partNumber")), { etag, body });
        return { status: 200, headers: { etag } };
    }

    #complete(objects, query, body) {
        const upload = this.#upload(query);
        const named = [...body.toString().matchAll(/<Part><PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag><\/Part>/g)];
        const parts = named.map(([, number, etag]) => {
            const part = upload.parts.get(Number(number));
            if (part?.etag !== etag.replace(/&amp;/g, "&")) throw new S3Error(400, "InvalidPart");
            return part.body;
        });
        if (parts.length === 0) throw new S3Error(400, "MalformedXML");
        if (parts.slice(0, -1).some((part) => part.length < 5 << 20)) throw new S3Error(400, "EntityTooSmall");
        objects.set(upload.key, Buffer.concat(parts));
        this.uploads.delete(query.get("uploadId"));
        return { status: 200, body: `  \n<?xml version="1.0"?><CompleteMultipartUploadResult><Key>${escape(upload.key)}</Key></CompleteMultipartUploadResult>` };
    }

    #list(objects, query) {
        const prefix = query.get("prefix") ?? "";
        const after = query.has("continuation-token") ? Buffer.from(query.get("continuation-token"), "base64").toString() : "";
        const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
        const page = keys.slice(0, this.pageSize);
        const truncated = page.length < keys.length;
        const shown = (key) => query.get("encoding-type") === "url" ? encode(key) : escape(key);
        return {
            status: 200,
            body: `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>${truncated}</IsTruncated>` +
                (query.has("encoding-type") ? "<EncodingType>url</EncodingType>" : "") +
                page.map((key) => `<Contents><Key>${shown(key)}</Key><Size>${objects.get(key).length}</Size></Contents>`).join("") +
                (truncated ? `<NextContinuationToken>${Buffer.from(page.at(-1)).toString("base64")}</NextContinuationToken>` : "") + "</ListBucketResult>",
        };
    }

    #listUploads(query) {
        const prefix = query.get("prefix") ?? "";
        const uploads = [...this.uploads].filter(([, upload]) => upload.key.startsWith(prefix));
        return {
            status: 200,
            body: "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>" +
                uploads.map(([id, upload]) => `<Upload><Key>${encode(upload.key)}</Key><UploadId>${id}</UploadId></Upload>`).join("") + "</ListMultipartUploadsResult>",
        };
    }

    // A line of the program's standard input.
    obey(command) {
        if (command.set) Object.assign(this, command.set);
        if (command.fault) this.fault(command.fault);
        if (command.put) this.buckets.get(command.put.bucket).set(command.put.key, Buffer.alloc(command.put.size, 7));
        if (command.release) this.release();
        return { requests: this.requests.length, uploads: this.uploads.size, faults: this.faults.length };
    }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
    const server = await new S3Server().start();
    console.log(JSON.stringify({ port: server.port }));
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => console.log(JSON.stringify(server.obey(JSON.parse(line)))));
    lines.on("close", () => process.exit(0));
}
