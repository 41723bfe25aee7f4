// render: docs/performance.md from bench/results/*.json and the remarks in bench/remarks/*.md.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { here, root } from "./lib.mjs";

const TITLES = { schema: "Schemas", alter: "ALTER TABLE", point_select: "One row by its key", durable_insert: "Durable INSERT", import: "Import", group_by: "GROUP BY over hot rows", cold: "Rows in segments", by_user: "A file for each user", vector: "Nearest vectors", live: "Live queries" };
const PEERS = /^(PostgreSQL|DuckDB|HTTP|GET|write\(\)|npm|NATS)/;

const number = (v) => (v === undefined ? "" : v >= 1000 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3))));

// KalamDB's figure of the same load as a peer's: the text behind the comma names it, or its part from a number on.
function ratio(name, figures) {
    if (!PEERS.test(name)) return "";
    if (figures[name].ratio !== undefined) return number(figures[name].ratio);
    const load = /, (\d.*)$/.exec(name)?.[1];
    const ours = figures[name.replace(/^[^,]*/, "KalamDB")]
        ?? Object.entries(figures).find(([other]) => other.startsWith("KalamDB") && (!load || other.endsWith(load)))?.[1];
    return ours ? number(ours.cpu_us / figures[name].cpu_us) : "";
}

function section(name) {
    const file = join(here, "results", `${name}.json`);
    if (!existsSync(file)) return "";
    const result = JSON.parse(readFileSync(file, "utf8"));
    const { machine: m } = result;
    const spread = (f) => (f.cpu_us_min === undefined ? "" : ` (${number(f.cpu_us_min)}–${number(f.cpu_us_max)})`);
    const rows = Object.entries(result.figures).map(([what, f]) =>
        `| ${what} | ${number(f.cpu_us)}${spread(f)} | ${number(f.per_second)} | ${number(f.latency_ms)} | ${number(f.p99_ms)} | ${ratio(what, result.figures)} |`);
    const inside = Object.entries(result.inside ?? {}).map(([what, v]) => `| ${what} | ${number(v)} |`);
    const more = inside.length ? `| inside the process | CPU or size |\n|---|---|\n${inside.join("\n")}\n\n` : "";
    const remark = join(here, "remarks", `${name}.md`);
    const operations = rows.length ? `| | CPU µs per operation (lowest–highest) | per second | mean ms | p99 ms | KalamDB's CPU ÷ this |
|---|---|---|---|---|---|
${rows.join("\n")}

` : "";
    return `## ${TITLES[name]}

${result.what}. ${result.note}.

${operations}${more}${existsSync(remark) ? readFileSync(remark, "utf8").trim() + "\n\n" : ""}Measured ${result.date}: ${m.processor}, ${m.cores} cores, ${m.memory_gib} GiB, Linux ${m.kernel}; load average before: ${m.load_before}.
`;
}

writeFileSync(join(root, "docs", "performance.md"), `# Performance

Made by \`bench/run\` from \`bench/results/\`; do not edit. Figures are CPU time of the server per operation, user and
system, because that depends least on who else uses the machine; contenders run in turn, three rounds or
more, the round of the median is shown, and the median of the rounds' ratios. A ratio above 1 is a loss for KalamDB. All clients run on the same machine and share its cores.

${Object.keys(TITLES).map(section).join("\n")}`);
