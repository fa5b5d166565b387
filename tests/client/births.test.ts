/** What is remembered of who made a node, and when. Rules: G6. */
import { expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { Births } from "../../src/client/folder/births.ts";
import { StatusRecord } from "../../src/client/folder/status-record.ts";
import type { Event } from "../../src/core/event.ts";
import { foldEvent } from "../../src/core/fold.ts";
import { parseId, ROOT_ID } from "../../src/core/identifier.ts";
import { GUARD_OWN_AGE_MS } from "../../src/core/limits.ts";
import { planBatchId } from "../../src/core/plan-id.ts";
import { fileContent, nodeId } from "../contracts/state-store-contract.ts";

const [ours, theirs] = ["a", "b"].map((digit) => digit.repeat(32));

class BirthWorld {
  readonly store = openStateStore(":memory:");
  nowMs = 1_000_000;
  readonly #clock = {
    now: () => this.nowMs,
    monotonic: () => this.nowMs,
    sleep: () => Promise.resolve(),
    yield: () => Promise.resolve(),
  };
  readonly births = new Births({ store: this.store, clock: this.#clock }, parseId(ours ?? ""));
  #seq = 0;

  inSync(): this {
    const observer = { emit: () => {} };
    const status = new StatusRecord({ store: this.store, clock: this.#clock, observer });
    status.set({ state: "in_sync", head: 0 });
    return this;
  }

  fold(
    kind: Event["kind"],
    node: number,
    device = ours,
    more: Partial<Pick<Event, "approval" | "batch" | "content">> = {},
  ): void {
    this.#seq += 1;
    const content = fileContent(`${node}`);
    const event: Event = {
      seq: this.#seq,
      time: "2026-01-01T00:00:00.000Z",
      device: parseId(device ?? ""),
      opId: parseId("c".repeat(32)),
      batch: parseId("d".repeat(32)),
      groupEnd: true,
      kind,
      node: nodeId(node),
      parent: ROOT_ID,
      name: `${node}`,
      content,
      baseContent: 0,
      basePlace: 0,
      previousHash: content.sha256,
      hash: content.sha256,
      ...more,
    };
    this.births.note(event);
    this.store.putRemote(foldEvent(event));
  }

  knows(node: number): boolean {
    return this.store.birth(nodeId(node)) !== undefined;
  }
}

test("what the folder held before it was in sync was made nobody knows when [G6]", () => {
  const world = new BirthWorld();
  world.fold("create", 1);
  world.inSync().fold("create", 2);
  expect([world.knows(1), world.knows(2)]).toEqual([false, true]);
});

test("while people work without a pause, what comes after the first full scan is new [G6]", () => {
  const world = new BirthWorld();
  world.fold("create", 1, theirs);
  expect(world.births.ofScan).toBeUndefined();
  world.store.setCursor({ epoch: parseId("e".repeat(32)), seq: 1, hash: fileContent("1").sha256 });
  world.births.begin();
  world.births.ofScan?.(nodeId(3));
  world.fold("create", 2, theirs);
  world.fold("create", 3);
  // Found by the first scan, and posted after it.
  world.fold("create", 4);
  expect([1, 2, 3, 4].map((node) => world.knows(node))).toEqual([false, true, true, false]);
  expect(world.inSync().births.ofScan).toBeUndefined();
});

test("a birth outlives its maker's deletion, and nobody else's [G6]", () => {
  const world = new BirthWorld().inSync();
  world.fold("create", 1);
  world.fold("create", 2, theirs);
  world.fold("create", 3, theirs);
  world.fold("modify", 2, ours);
  world.fold("delete", 1, ours);
  world.fold("delete", 2, ours);
  world.fold("delete", 3, theirs);
  expect([1, 2, 3].map((node) => world.knows(node))).toEqual([true, false, true]);
});

test("a birth outlives its maker's overwriting, and nobody else's [G6]", () => {
  const world = new BirthWorld().inSync();
  for (const node of [1, 2, 3]) world.fold("create", node, theirs);
  world.fold("modify", 1, theirs, { content: fileContent("other") });
  world.fold("modify", 2, ours, { content: fileContent("other") });
  const touched = { ...fileContent("3"), executable: true };
  world.fold("modify", 3, ours, { content: touched });
  expect([1, 2, 3].map((node) => world.knows(node))).toEqual([true, false, true]);
});

test("a birth outlives a plan's deletion, and not one that was held and approved [G6]", () => {
  const world = new BirthWorld().inSync();
  const plan = "e".repeat(32);
  for (const node of [1, 2, 3]) world.fold("create", node, theirs);
  world.fold("delete", 1, ours, { approval: plan, batch: planBatchId(plan, 0) });
  world.fold("delete", 2, ours, { approval: plan, batch: planBatchId(plan, 199) });
  world.fold("delete", 3, ours, { approval: plan, batch: parseId("d".repeat(32)) });
  expect([1, 2, 3].map((node) => world.knows(node))).toEqual([true, true, false]);
});

test("what was deleted and is back was made before [G6]", () => {
  const world = new BirthWorld().inSync();
  world.fold("create", 1);
  world.fold("delete", 1, theirs);
  world.fold("create", 1);
  expect(world.knows(1)).toBe(false);
});

test("births of long ago are cleared away [G6]", () => {
  const world = new BirthWorld().inSync();
  world.fold("create", 1);
  world.nowMs += GUARD_OWN_AGE_MS + 1;
  world.fold("create", 2);
  expect([world.knows(1), world.knows(2)]).toEqual([false, true]);
});
