/** Devices that say how they are, whoever waits for them, and the conflicts that they left. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { conflictsAnswerSchema } from "../../src/protocol/time-answers.ts";
import { BASE, expectProblem, type Fixture, FOLDER, id, openFixture } from "./fixture.ts";

let fixture: Fixture;
const LAPTOP = id("laptop");
const PHONE = id("phone");

beforeEach(async () => {
  fixture = await openFixture();
});

afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

async function put(path: string): Promise<void> {
  await fixture.call("PUT", `${BASE}/files?path=${path}`, { body: path });
}

async function report(device: string, more: object, seq?: number): Promise<Response> {
  const { epoch, head, hash } = await fixture.sequencer.folder(FOLDER);
  const page = await fixture.sequencer.events(FOLDER, { after: 0, limit: 100 });
  const at = seq === undefined ? { seq: head, hash } : { seq, hash: page.events[seq - 1]?.hash };
  const json = { name: device.slice(0, 6), applied: { epoch, ...at }, ...more };
  return await fixture.call("PUT", `${BASE}/devices/${device}`, { json });
}

async function wait(query: string): Promise<Record<string, unknown>> {
  const answer = await fixture.call("GET", `${BASE}/wait?${query}`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Record<string, unknown>;
}

test("a device has reached an event when it is there or beyond, and settled [V8]", async () => {
  await put("a");
  await put("b");
  expect(await wait(`device=${LAPTOP}`)).toEqual({ seq: 2, reached: false, devices: [] });
  await report(LAPTOP, {});
  expect(await wait(`device=${LAPTOP}`)).toMatchObject({ reached: false });
  await report(LAPTOP, { settled: false });
  expect(await wait(`device=${LAPTOP}`)).toMatchObject({ reached: false });
  await report(LAPTOP, { settled: true }, 1);
  expect(await wait(`device=${LAPTOP}&seq=1`)).toMatchObject({ seq: 1, reached: true });
  expect(await wait(`device=${LAPTOP}&seq=2`)).toMatchObject({
    reached: false,
    devices: [{ device: LAPTOP, applied: 1, settled: true }],
  });
});

test("all devices are those seen lately, without browsers [V8]", async () => {
  await put("a");
  await report(LAPTOP, { settled: true });
  await report(id("page"), { kind: "page" });
  await report(PHONE, { settled: false, held: held("up") });
  expect(await wait("device=all")).toMatchObject({ reached: false });
  await report(PHONE, { settled: true });
  const { reached, devices } = await wait("device=all");
  expect(reached).toBe(true);
  expect((devices as object[]).length).toBe(2);
  await fixture.clock.advance(8 * 86_400_000);
  expect(await wait("device=all")).toMatchObject({ reached: false, devices: [] });
});

function held(direction: string) {
  return { id: id("held"), direction, reason: "it would delete 60 of 100 files", count: 60 };
}

test("a wait ends with the report that it is for, or with its time [V8]", async () => {
  await put("a");
  await report(LAPTOP, { settled: false });
  const waiting = wait(`device=${LAPTOP}&within=25`);
  await fixture.clock.advance(1000);
  await report(LAPTOP, { settled: true });
  expect(await waiting).toMatchObject({ reached: true });
  const inVain = wait(`device=${LAPTOP}&within=25&seq=9`);
  await fixture.clock.advance(25_000);
  expect(await inVain).toMatchObject({ seq: 9, reached: false });
});

test("a device's state is told to whoever asks, and checked [V8, H8]", async () => {
  const state = { kind: "client", settled: false, problems: 2, held: held("down") };
  expect((await report(LAPTOP, state)).status).toBe(204);
  const answer = await fixture.call("GET", `${BASE}/devices`);
  expect(await answer.json()).toMatchObject({ devices: [{ device: LAPTOP, ...state }] });
  for (const wrong of [
    { kind: "toaster" },
    { settled: 1 },
    { problems: -1 },
    { held: held("left") },
    { held: { ...held("up"), reason: "x".repeat(9000) } },
    { held: { ...held("up"), more: 1 } },
    { mood: "good" },
  ]) {
    expect((await report(LAPTOP, wrong)).status).toBe(400);
  }
  for (const query of ["", "device=me", "device=all&within=26", "device=all&within=0"]) {
    const refused = await fixture.call("GET", `${BASE}/wait?${query}`);
    await expectProblem(refused, 400, query.includes("me") ? "invalid_id" : "invalid_parameter");
  }
});

test("conflicts are copies that nobody has moved or deleted since [E13]", async () => {
  await put("a");
  const { versions } = await fixture.sequencer.history(FOLDER, { of: { path: "a" }, limit: 1 });
  const [node, ...copies] = [versions[0]?.id, id("one"), id("two"), id("three")];
  const post = async (...ops: readonly object[]) => {
    const { epoch, head: seq, hash } = await fixture.sequencer.folder(FOLDER);
    const groups = ops.map((op, index) => [{ opId: id(`op ${seq} ${index}`), ...op }]);
    const json = { device: LAPTOP, batch: id(`${seq}`), cursor: { epoch, seq, hash }, groups };
    const answer = (await (await fixture.call("POST", `${BASE}/ops`, { json })).json()) as {
      results: { status: string }[];
    };
    expect(answer.results.map(({ status }) => status)).toEqual(groups.map(() => "accepted"));
  };
  const content = { kind: "symlink", target: "x" };
  const common = { kind: "create", parent: "0".repeat(32), content, base: 0 };
  const conflictOf = { node, version: 1 };
  await post(
    ...copies.map((copy, index) => ({ ...common, node: copy, name: `a${index}`, conflictOf })),
  );
  await post({ kind: "delete", node: copies[0], baseContent: 2, basePlace: 2 });
  await post({ kind: "move", node: copies[1], parent: "0".repeat(32), name: "mine", basePlace: 3 });
  const answer = await (await fixture.call("GET", `${BASE}/conflicts`)).json();
  expect(conflictsAnswerSchema.parse(answer)).toMatchObject({
    seq: 6,
    conflicts: [
      { copy: { id: copies[2], path: "a2" }, original: { id: node, path: "a" }, device: LAPTOP },
    ],
  });
});
