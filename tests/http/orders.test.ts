/** Orders for devices: given, fetched, done; and the stream that tells of them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ORDER_LIFE_MS } from "../../src/core/limits.ts";
import { type Fixture, openFixture } from "./fixture.ts";

const DEVICE = "d".repeat(32);
const PLACE = `/v1/folders/default/devices/${DEVICE}/orders`;
const HELD = "a".repeat(16);

let fixture: Fixture;
beforeEach(async () => {
  fixture = await openFixture();
});
afterEach(() => fixture.close());

function idOf(digit: string): string {
  return digit.repeat(32);
}

async function give(digit: string, json: object): Promise<number> {
  return (await fixture.call("PUT", `${PLACE}/${idOf(digit)}`, { json })).status;
}

async function waiting(): Promise<readonly { readonly id: string; readonly order: object }[]> {
  return (await (await fixture.call("GET", PLACE)).json()).orders;
}

describe("orders [V9]", () => {
  test("wait until the device says that they are done, one on each subject", async () => {
    const until = "2030-01-01T00:00:00.000Z";
    expect(await give("1", { kind: "pause" })).toBe(204);
    expect(await give("2", { kind: "approve", held: HELD })).toBe(204);
    expect(await give("3", { kind: "pause", until })).toBe(204);
    const shown = (await waiting()).map(({ id, order }) => [id, order]);
    expect(shown).toEqual([
      [idOf("2"), { kind: "approve", held: HELD }],
      [idOf("3"), { kind: "pause", until }],
    ]);
    await fixture.call("DELETE", `${PLACE}/${idOf("2")}`);
    await fixture.call("DELETE", `${PLACE}/${idOf("2")}`);
    expect((await waiting()).map(({ id }) => id)).toEqual([idOf("3")]);
    await fixture.clock.advance(ORDER_LIFE_MS + 1);
    expect(await waiting()).toEqual([]);
  });

  test.each([
    [{}],
    [{ kind: "erase" }],
    [{ kind: "approve" }],
    [{ kind: "reject", held: "../x" }],
    [{ kind: "resume", held: HELD }],
    [{ kind: "resume", until: "2030-01-01T00:00:00Z" }],
    [{ kind: "pause", until: "tomorrow" }],
    [{ kind: "pause", more: 1 }],
  ])("of no sense are refused: %j", async (json) => {
    expect(await give("1", json)).toBe(400);
    expect(await waiting()).toEqual([]);
  });

  test("reach a stream that asked for them, at its start and later", async () => {
    await give("1", { kind: "pause" });
    const route = `/v1/folders/default/events?after=0&device=${DEVICE}`;
    const headers = { accept: "text/event-stream" };
    const stream = await fixture.call("GET", `${route}&orders=1`, { headers });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    const read = async () => (await reader?.read())?.value ?? "";
    expect(await read()).toBe(": synced\n\n");
    expect(await read()).toBe('data: {"order":true}\n\n');
    const next = read();
    await give("2", { kind: "resume" });
    expect(await next).toBe('data: {"order":true}\n\n');
    await reader?.cancel();
  });
});
