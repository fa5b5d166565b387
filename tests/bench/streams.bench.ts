/**
 * Commits over HTTP while many clients listen: single-op batches of 200 devices, without and with
 * 200 event streams. Prints commits a second and the server's processor time for each:
 * `bun tests/bench/streams.bench.ts [commits] [streams]`. Wants `dist/synced`.
 */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import type { DeviceId, NodeId } from "../../src/core/identifier.ts";
import { encodePack, PACK_MEDIA_TYPE } from "../../src/protocol/pack.ts";
import { fileOf } from "../generate/trees.ts";
import { batchOf, chunkOf, create } from "../server/server-world.ts";

const DEVICES = 200;
const commits = Number(process.argv[2] ?? 10_000);
const streams = Number(process.argv[3] ?? 200);
const binary =
  process.env["BENCH_BINARY"] ?? new URL("../../dist/synced", import.meta.url).pathname;
const root = fs.mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "synced-test-streams-"));
const args = ["serve", "--data", join(root, "server"), "--port", "0", "--json"];
const server = spawn(binary, args, { stdio: ["ignore", "pipe", "ignore"] });

async function address(): Promise<string> {
  let text = "";
  for await (const piece of server.stdout) {
    text += String(piece);
    const url = /http:\/\/[^"\s]+/.exec(text)?.[0];
    if (url !== undefined) return `${url}/v1/folders/default`;
  }
  throw new Error("The server did not start");
}

/** User and system time in milliseconds; Linux only. */
function processorMs(): number {
  const stat = fs.readFileSync(`/proc/${server.pid}/stat`, "utf8");
  const fields = stat.split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const url = await address();
await fetch(url, { method: "PUT" });
const chunk = encodePack([chunkOf("one")]);
await fetch(`${url}/chunks`, {
  method: "POST",
  headers: { "content-type": PACK_MEDIA_TYPE },
  body: chunk,
});

/** @returns how many events the streams have taken when all have seen the last one. */
function listen(after: number, last: number, ended: AbortController): Promise<unknown> {
  const reader = async () => {
    const headers = { accept: "text/event-stream" };
    const target = `${url}/events?after=${after}&inline=1&device=${systemRandom.id()}`;
    const answer = await fetch(target, { headers, signal: ended.signal });
    const mark = `id: ${last}\n`;
    let tail = "";
    for await (const piece of answer.body ?? []) {
      tail = (tail + new TextDecoder().decode(piece)).slice(-2_000);
      if (tail.includes(mark)) return;
    }
  };
  return Promise.all(Array.from({ length: streams }, reader));
}

async function post(count: number): Promise<void> {
  const answer = await fetch(url);
  const folder: { epoch: never; head: number; hash: never } = await answer.json();
  const cursor = { epoch: folder.epoch, seq: folder.head, hash: folder.hash };
  let left = count;
  const device = async () => {
    const id = systemRandom.id<DeviceId>();
    while (left > 0) {
      left -= 1;
      const node = systemRandom.id<NodeId>();
      const batch = batchOf(cursor, [[create(node, `file-${node}`, fileOf("one"))]], id);
      const headers = { "content-type": "application/json" };
      const sent = await fetch(`${url}/ops`, {
        method: "POST",
        headers,
        body: JSON.stringify(batch),
      });
      if (!sent.ok) throw new Error(await sent.text());
      await sent.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: DEVICES }, device));
}

async function timed(name: string, work: () => Promise<unknown>): Promise<void> {
  const before = processorMs();
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  const each = (processorMs() - before) / commits;
  console.log(`${name}: ${Math.round(commits / seconds)}/s, server ${each.toFixed(3)} ms each`);
}

try {
  await post(500);
  await timed("commits without streams", () => post(commits));
  const ended = new AbortController();
  const heard = listen(500 + commits, 500 + 2 * commits, ended);
  await timed(`commits with ${streams} streams`, () => Promise.all([post(commits), heard]));
  ended.abort();
} finally {
  server.kill("SIGTERM");
  await new Promise((resolve) => server.once("exit", resolve));
  fs.rmSync(root, { recursive: true });
}
