/**
 * A running client whose server turns hostile, and one whose folder somebody rearranges while news
 * comes: it says what it waits for, ends when it is told to, and goes on afterwards.
 * `SYNCED_TEST_SWAP_SECONDS` sets how long links are swapped. Rules: L7, D1, Y3, I22.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { FolderStatus } from "../../src/commands/status.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import { MARKER_FILE } from "../../src/core/state-directory.ts";
import { hexId } from "../generate/logs.ts";
import { ensureBinary, RunningSynced, runSynced, Scratch } from "./binary.ts";
import { waitFor } from "./lab.ts";
import { LyingServer } from "./lying-server.ts";

const TOKEN = "a-token-that-must-never-be-told";
const SWAP_MS = 1_000 * Number(process.env["SYNCED_TEST_SWAP_SECONDS"] ?? 3);
const ENDS_WITHIN_MS = 2_000;
/** What loads this machine beside may take as long. */
const PATIENCE_MS = 3 * ENDS_WITHIN_MS;

let server: LyingServer;
let scratch: Scratch;
let path: string;
let client: RunningSynced;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  server = await LyingServer.open();
  scratch = new Scratch();
  path = scratch.join("folder");
  mkdirSync(path);
  writeFileSync(`${path}/mine`, "mine");
  client = start();
  await client.event("in_sync");
});
afterEach(async () => {
  client.signal("SIGKILL");
  await client.ended();
  await server.close();
  scratch.remove();
});

function start(): RunningSynced {
  const args = ["sync", path, "--server", server.url];
  return new RunningSynced(args, { env: { SYNCED_TOKEN: TOKEN } });
}

async function status(): Promise<FolderStatus> {
  return JSON.parse((await runSynced(["status", path, "--json"])).stdout);
}

async function expectEnd(): Promise<void> {
  const startMs = performance.now();
  const { exitCode, stderr } = await client.stop();
  expect(performance.now() - startMs).toBeLessThan(PATIENCE_MS);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 143 });
  expect(stderr).not.toContain("bug in synced");
}

function isStream({ headers }: Request): boolean {
  return headers.get("accept")?.includes("event-stream") === true;
}

const isEvents = (route: string): boolean => route.startsWith("/folders/default/events?");

describe("a server that turns hostile", () => {
  test("by a log that is none: offline with the reason, seldom asked, and in sync again [L7, Y3]", async () => {
    const log = await server.forger();
    log.create(hexId<NodeId>(1), hexId<NodeId>(2), "below nothing");
    const { epoch, seq } = log.cursor;
    let asked = 0;
    server.lie = (_, route) => {
      if (!isEvents(route)) return undefined;
      asked += 1;
      return Response.json({ epoch, head: seq, events: log.events, next: seq });
    };
    server.cutStreams();
    await waitFor("it to be told", async () => (await status()).state === "offline");
    expect((await status()).reason).toContain("is not legal");
    asked = 0;
    await Bun.sleep(1_000);
    expect(asked).toBeLessThan(10);
    server.lie = () => undefined;
    await server.put("after", "that");
    await waitFor("the sound server", () => existsSync(`${path}/after`));
    await expectEnd();
  }, 60_000);

  test("by a stream of nothing: it is given up, and news comes all the same [H6, Y15]", async () => {
    const flood = new TextEncoder().encode("data:\n".repeat(10_000));
    server.lie = (request) => {
      if (!isStream(request)) return undefined;
      const body = new ReadableStream({ pull: (controller) => controller.enqueue(flood) });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    server.cutStreams();
    await server.put("news", "news");
    await waitFor("the news", () => existsSync(`${path}/news`));
    await expectEnd();
  }, 60_000);

  test("by a log without end: it ends when it is told to [H4]", async () => {
    const log = await server.forger();
    const { epoch } = log.cursor;
    let next = 1;
    server.lie = (_, route) => {
      if (!isEvents(route)) return undefined;
      const after = Number(new URLSearchParams(route.split("?")[1]).get("after"));
      while (log.cursor.seq < after + 1_000) {
        log.create(hexId<NodeId>(0x100000 + next), ROOT_ID, `n${next}`);
        next += 1;
      }
      const events = log.events.filter((event) => event.seq > after).slice(0, 1_000);
      const last = events.at(-1)?.seq ?? after;
      return Response.json({ epoch, head: last + 1_000, events, next: last });
    };
    server.cutStreams();
    await waitFor("it to be fed", () => next > 5_000);
    await expectEnd();
    expect(readFileSync(`${path}/mine`, "utf8")).toBe("mine");
  }, 60_000);
});

test("the token goes only where a person of this device said [G15]", async () => {
  await client.stop();
  server.authorised.length = 0;
  const copy = scratch.join("copy");
  cpSync(path, copy, { recursive: true });
  const env = { SYNCED_TOKEN: TOKEN };
  const expectRefusals = async (folder: string, words: string) => {
    for (const args of [
      ["sync", folder, "--once"],
      ["sync", folder, "--dry-run"],
      ["check", folder],
      ["log", folder],
      ["wait", folder, "--timeout", "5s"],
    ]) {
      const { exitCode, stderr } = await runSynced(args, { env });
      expect({ args, exitCode, stderr }).toMatchObject({ args, exitCode: 2 });
      expect(stderr).toContain(words);
    }
    expect(server.authorised).toEqual([]);
  };
  await expectRefusals(copy, "add --server URL once");
  if (process.getuid?.() === 0) {
    chownSync(join(path, MARKER_FILE), 12_345, 12_345);
    await expectRefusals(path, "of another user (12345)");
  }
  const said = await runSynced(["sync", copy, "--once", "--server", server.url], { env });
  expect(said).toMatchObject({ exitCode: 0 });
}, 60_000);

test(
  "nothing is written outside while a directory and a link to elsewhere trade places [D1, I22]",
  async () => {
    const outside = scratch.join("outside");
    mkdirSync(outside);
    writeFileSync(`${outside}/canary`, "sings");
    mkdirSync(`${path}/d`);
    const swap = `
    const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
    const attempt = (work) => { try { work(); } catch {} };
    const endMs = performance.now() + ${SWAP_MS};
    while (performance.now() < endMs) {
      for (let round = 0; round < 200; round += 1) {
        attempt(() => renameSync("d", "e"));
        attempt(() => symlinkSync(${JSON.stringify(outside)}, "d"));
        attempt(() => unlinkSync("d"));
        attempt(() => renameSync("e", "d"));
      }
    }
  `;
    const attacker = Bun.spawn([process.execPath, "-e", swap], {
      cwd: path,
      stdio: ["ignore", "ignore", "inherit"],
    });
    for (let number = 0; attacker.exitCode === null; number += 1) {
      await server.put(`d/news-${number % 50}`, `news ${number}`).catch(() => {});
      await server.put(`d/canary`, `evil ${number}`).catch(() => {});
      await Bun.sleep(5);
    }
    expect(readdirSync(outside)).toEqual(["canary"]);
    expect(readFileSync(`${outside}/canary`, "utf8")).toBe("sings");
    await expectEnd();
  },
  SWAP_MS + 60_000,
);
