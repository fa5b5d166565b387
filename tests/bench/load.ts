/**
 * Load on a server, made by a process of its own: `bun tests/bench/load.ts KIND JSON`. It prints
 * one line of JSON when it is done; a listener also one when all its streams are open.
 */
import process from "node:process";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { Cursor } from "../../src/core/event.ts";
import type { DeviceId, NodeId } from "../../src/core/identifier.ts";
import type { FileContent } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { encodePack, PACK_MEDIA_TYPE } from "../../src/protocol/pack.ts";
import { createSequencer } from "../../src/server/sequencer.ts";
import {
  batchOf,
  bytesOf,
  chunkOf,
  create,
  DIRECTORY,
  FOLDER,
  modify,
} from "../server/server-world.ts";

/** A stream's arrivals are looked at for each of so many events. */
const SAMPLED_EVERY = 20;
const OPS_PER_BATCH = 1_000;
const NODES_PER_DIRECTORY = 100;
const NODES_PER_PAGE = 5_000;
const OBJECTS_PER_FETCH = 1_000;

type Work = (options: Readonly<Record<string, string | number>>) => Promise<unknown>;

/** On a clock that all processes of the machine share. */
function nowMs(): number {
  return Date.now();
}

function fileOf(bytes: Uint8Array, mtimeNs = "1700000000000000001"): FileContent {
  const digest = sha256(bytes);
  const metadata = { executable: false, mtimeNs };
  return {
    kind: "file",
    manifest: digest,
    depth: 0,
    sha256: digest,
    size: bytes.length,
    ...metadata,
  };
}

async function cursorOf(url: string): Promise<Cursor> {
  const { epoch, head, hash } = await (await fetch(url)).json();
  return { epoch, seq: head, hash };
}

async function post(url: string, type: string, body: string | Uint8Array<ArrayBuffer>) {
  const answer = await fetch(url, { method: "POST", headers: { "content-type": type }, body });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

/** Files of 1 KiB, each in a commit of its own, as fast as the server takes them. */
const write: Work = async ({ url, writers, seconds }) => {
  const cursor = await cursorOf(String(url));
  const startMs = nowMs();
  const untilMs = startMs + Number(seconds) * 1000;
  const sent: (readonly [seq: number, ms: number])[] = [];
  let commits = 0;
  const writer = async () => {
    const device = systemRandom.id<DeviceId>();
    while (nowMs() < untilMs) {
      const node = systemRandom.id<NodeId>();
      const bytes = bytesOf(node.repeat(32));
      const pack = encodePack([{ depth: 0, digest: sha256(bytes), bytes }]);
      await (await post(`${url}/chunks`, PACK_MEDIA_TYPE, pack)).arrayBuffer();
      const batch = batchOf(cursor, [[create(node, `file-${node}`, fileOf(bytes))]], device);
      const sentMs = nowMs();
      const answer = await post(`${url}/ops`, "application/json", JSON.stringify(batch));
      const { results } = await answer.json();
      const seq = Number(results[0].seqs[0]);
      commits += 1;
      if (seq % SAMPLED_EVERY === 0) sent.push([seq, sentMs]);
    }
  };
  await Promise.all(Array.from({ length: Number(writers) }, writer));
  return { commits, seconds: (nowMs() - startMs) / 1000, sent };
};

/** Streams, of which a few are read for the times at which events arrive. Ends at SIGTERM. */
const listen: Work = async ({ url, streams, sampled }) => {
  const { epoch, seq, hash } = await cursorOf(String(url));
  const { host, port, hostname, pathname } = new URL(String(url));
  const arrivals: (readonly [seq: number, ms: number])[] = [];
  const openStream = async (index: number) => {
    const query = `after=${seq}&epoch=${epoch}&hash=${hash}&inline=1&device=${systemRandom.id()}`;
    const head = `GET ${pathname}/events?${query} HTTP/1.1\r\nHost: ${host}\r\n`;
    let tail = "";
    const take = (piece: Uint8Array) => {
      const lines = (tail + new TextDecoder().decode(piece)).split("\n");
      tail = lines.pop() ?? "";
      for (const line of lines) {
        const id = line.startsWith("id: ") ? Number(line.slice(4)) : 1;
        if (id % SAMPLED_EVERY === 0) arrivals.push([id, nowMs()]);
      }
    };
    await new Promise<void>((resolve) => {
      const data = (_: unknown, piece: Uint8Array) => {
        resolve();
        if (index < Number(sampled)) take(piece);
      };
      const begin = (socket: { write(text: string): unknown }) => {
        socket.write(`${head}Accept: text/event-stream\r\n\r\n`);
      };
      void Bun.connect({ hostname, port: Number(port), socket: { data, open: begin } });
    });
  };
  for (let index = 0; index < Number(streams); index += 1) await openStream(index);
  console.log("listening");
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  return arrivals;
};

/** Makes a log in a data directory: creates of the live nodes, then modifies of them in turn. */
const build: Work = async ({ data: path, events, live }) => {
  const data = openDataDirectory(String(path));
  const sequencer = createSequencer({ ...data, clock: systemClock, random: systemRandom });
  await sequencer.createFolder(FOLDER);
  const chunk = chunkOf("one");
  await sequencer.putObjects(FOLDER, [chunk]);
  const versions: { readonly node: NodeId; version: number }[] = [];
  let [head, at, parent] = [0, 0, systemRandom.id<NodeId>()];
  const nextOp = (): Op => {
    head += 1;
    if (versions.length + head / NODES_PER_DIRECTORY < Number(live)) {
      if (head % NODES_PER_DIRECTORY === 1) {
        parent = systemRandom.id<NodeId>();
        return create(parent, `directory ${head}`, DIRECTORY);
      }
      const node = systemRandom.id<NodeId>();
      versions.push({ node, version: head });
      return create(node, `some file ${head}.txt`, fileOf(chunk.bytes), parent);
    }
    const row = versions[at++ % versions.length];
    if (row === undefined) throw new Error("There is no node");
    const base = row.version;
    row.version = head;
    return modify(row.node, fileOf(chunk.bytes, `${head}`), base);
  };
  while (head < Number(events)) {
    const { epoch, head: seq, hash } = await sequencer.folder(FOLDER);
    const groups = Array.from({ length: OPS_PER_BATCH }, () => [nextOp()]);
    const { results } = await sequencer.commit(FOLDER, batchOf({ epoch, seq, hash }, groups));
    const refused = results.find(({ status }) => status !== "accepted");
    if (refused !== undefined) throw new Error(JSON.stringify(refused));
  }
  await sequencer.close();
  await data.close();
  return { head };
};

/** So many devices read all of the folder, each page by page, and then all of its objects. */
const join: Work = async ({ url, devices }) => {
  let [bytes, nodes] = [0, 0];
  const device = async () => {
    const digests = new Set<string>();
    for (let after = ""; ; ) {
      const text = await (await fetch(`${url}/tree?limit=${NODES_PER_PAGE}${after}`)).text();
      bytes += text.length;
      const page = JSON.parse(text);
      nodes += page.nodes.length;
      for (const { content } of page.nodes) {
        if (content.depth === 0) digests.add(content.manifest);
      }
      if (page.next === undefined) break;
      after = `&after=${page.next}`;
    }
    const all = [...digests];
    for (let from = 0; from < all.length; from += OBJECTS_PER_FETCH) {
      const body = JSON.stringify({ digests: all.slice(from, from + OBJECTS_PER_FETCH) });
      const answer = await post(`${url}/chunks/fetch`, "application/json", body);
      for await (const piece of answer.body ?? []) bytes += piece.length;
    }
  };
  const startMs = nowMs();
  await Promise.all(Array.from({ length: Number(devices) }, device));
  return { bytes, nodes, seconds: (nowMs() - startMs) / 1000 };
};

/** One commit after the other. @returns how long each took, in milliseconds. */
const commit: Work = async ({ url, count }) => {
  const cursor = await cursorOf(String(url));
  const chunk = chunkOf("one");
  await post(`${url}/chunks`, PACK_MEDIA_TYPE, encodePack([chunk]));
  const tookMs: number[] = [];
  for (let left = Number(count); left > 0; left -= 1) {
    const node = systemRandom.id<NodeId>();
    const batch = batchOf(cursor, [[create(node, `file-${node}`, fileOf(chunk.bytes))]]);
    const startMs = performance.now();
    const body = JSON.stringify({ ...batch, batch: systemRandom.id() });
    await (await post(`${url}/ops`, "application/json", body)).arrayBuffer();
    tookMs.push(performance.now() - startMs);
  }
  return tookMs;
};

const WORKS: Readonly<Record<string, Work>> = { write, listen, build, join, commit };

const [, , kind = "", options = "{}"] = process.argv;
const work = WORKS[kind];
if (work === undefined) throw new Error(`There is no load "${kind}"`);
console.log(JSON.stringify(await work(JSON.parse(options))));
process.exit(0);
