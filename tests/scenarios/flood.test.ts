/**
 * A server that gets more than it can do keeps its bounds, and ends when it is told to. A machine
 * that does other things too gets some more tries. Rules: H20, H21, H25, I42.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { bestOf, timeOf } from "../timing.ts";
import { ensureBinary, RunningSynced, Scratch } from "./binary.ts";

const TRIES = 5;
const FLOOD_MS = 4_000;
const END_MS_MAX = 2_000;
const MEMORY_MB_MAX = 512;
const scratch = new Scratch();

beforeAll(ensureBinary);
afterAll(() => scratch.remove());

test("amid a flood a server keeps its memory, and ends in time [H20, H21, H25, I42]", async () => {
  let memoryMb = 0;
  const endMs = await bestOf(TRIES, END_MS_MAX, async () => {
    const data = scratch.join(`data-${crypto.randomUUID()}`);
    const server = new RunningSynced(["serve", "--data", data, "--port", "0"]);
    const { url } = await server.event("listening");
    await fetch(`${url}/v1/folders/default`, { method: "PUT" });
    const { port } = new URL(String(url));
    const command = [process.execPath, join(import.meta.dir, "flood.ts"), port];
    const flood = Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] });
    for (const sinceMs = performance.now(); performance.now() - sinceMs < FLOOD_MS; ) {
      memoryMb = Math.max(memoryMb, server.residentMb);
      await Bun.sleep(100);
    }
    const tookMs = await timeOf(async () => {
      expect((await server.stop("SIGTERM")).exitCode).toBe(143);
    });
    flood.kill("SIGKILL");
    await flood.exited;
    return tookMs;
  });
  expect(endMs).toBeLessThan(END_MS_MAX);
  expect(memoryMb).toBeLessThan(MEMORY_MB_MAX);
}, 180_000);
