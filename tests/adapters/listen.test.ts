/** The listener, when connections come faster than they are answered. Rules: H20. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { listen } from "../../src/adapters/network/listen.ts";
import { LongTurn } from "../../src/adapters/network/long-turn.ts";
import { bestOf } from "../timing.ts";

const TRIES = 3;
/** Without the rule nothing else runs in all of this time. */
const FLOOD_MS = 8_000;
const ANSWER_MS = 5;
const GAP_MS_MAX = 5_000;
const FLOOD = join(import.meta.dir, "processes", "connections.ts");

test("a thousand streams at once are not too many, 250 other requests are [H20]", () => {
  const turn = new LongTurn();
  const began = performance.now();
  turn.hear(true);
  while (performance.now() - began < 600);
  for (let count = 1; count < 1_000; count++) expect(turn.hear(true)).toBe(false);
  expect([turn.hear(false), turn.hear(false)]).toEqual([true, false]);
});

test("a crowd of connections does not keep timers from running [H20]", async () => {
  const gapMs = await bestOf(TRIES, GAP_MS_MAX, async () => {
    let answerCount = 0;
    const listener = await listen({
      host: "127.0.0.1",
      port: 0,
      handle() {
        const sinceMs = performance.now();
        while (performance.now() - sinceMs < ANSWER_MS);
        answerCount += 1;
        return new Response("late");
      },
    });
    const flood = Bun.spawn([process.execPath, FLOOD, String(listener.port)]);
    let gapMsMax = 0;
    for (let atMs = performance.now(), endMs = atMs + FLOOD_MS; atMs < endMs; ) {
      await Bun.sleep(20);
      gapMsMax = Math.max(gapMsMax, performance.now() - atMs);
      atMs = performance.now();
    }
    flood.kill("SIGKILL");
    await flood.exited;
    await listener.stop();
    expect(answerCount).toBeGreaterThan(0);
    return gapMsMax;
  });
  expect(gapMs).toBeLessThan(GAP_MS_MAX);
}, 60_000);
