/**
 * The worked example of DESIGN.md, as it is told there: A edits a file, B renames it, at the same
 * time. Real state stores and a real sequencer; no disk. Rules: R1, R3, S6, O2, L5.
 */
import { afterAll, expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { Event } from "../../src/core/event.ts";
import { foldEvent } from "../../src/core/fold.ts";
import { type DeviceId, ROOT_ID } from "../../src/core/identifier.ts";
import type { LocalNode, NodeState } from "../../src/core/node.ts";
import { reconcile } from "../../src/core/reconcile.ts";
import type { Plan } from "../../src/core/transition.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import { nodeId } from "../contracts/state-store-contract.ts";
import { fileOf } from "../generate/trees.ts";
import {
  batchOf,
  create,
  FOLDER,
  hexId,
  modify,
  move,
  serverWorld,
} from "../server/server-world.ts";

const FILE = nodeId(7);
const A = hexId<DeviceId>("a", 1);
const B = hexId<DeviceId>("b", 1);
const world = await serverWorld();
afterAll(() => world.close());

/** A device that agrees with the log on `report.txt`, event 1. */
function joined(): StateStore {
  const store = openStateStore(":memory:");
  const node = { id: FILE, parent: ROOT_ID, name: "report.txt", content: fileOf("one") };
  store.putLocal({ ...node, identity: "inode", stamp: "then" });
  store.putRemote({ ...node, deleted: false, contentVersion: 1, placeVersion: 1 });
  store.settle(FILE);
  return store;
}

function planOf(store: StateStore): Pick<Plan, "transitions"> & { readonly ops: unknown[] } {
  const { ops, transitions } = reconcile({
    base: store.base,
    local: store.local,
    remote: store.remote,
    remoteRow: (id) => store.remoteRow(id),
    dirty: store.dirty(),
    ignores: () => false,
    device: "laptop",
  });
  return { ops: [...ops.values()].flat(), transitions };
}

/** `name digest/content version/place version`, as in the tables of DESIGN.md. */
function shown(node: NodeState & { contentVersion?: number; placeVersion?: number }): string {
  const digest = node.content.kind === "file" ? node.content.sha256.slice(0, 6) : "";
  const { contentVersion, placeVersion } = node;
  const versions = contentVersion === undefined ? "" : `, ${contentVersion}, ${placeVersion}`;
  return `${node.name} ${digest}${versions}`;
}

function trees({ base, local, remote }: StateStore): readonly string[] {
  return [base.get(FILE), local.get(FILE), remote.get(FILE)].map((node) =>
    node === undefined ? "none" : shown(node),
  );
}

function change(store: StateStore, what: Partial<LocalNode>): LocalNode {
  const node = store.local.get(FILE);
  if (node === undefined) throw new Error("The file is there");
  return { ...node, ...what };
}

test("the worked example: an edit and a rename at the same time are both done [R1, R3, S6, O2]", async () => {
  expect([sha256("one"), sha256("two")].map((digest) => digest.slice(0, 6))).toEqual([
    "7692c3",
    "3fc4cc",
  ]);
  await world.upload("one", "two");
  await world.post([create(FILE, "report.txt", fileOf("one"))]);
  const [a, b] = [joined(), joined()];
  a.putLocal(change(a, { content: fileOf("two") }));
  b.putLocal(change(b, { name: "final.txt" }));
  expect(trees(a)).toEqual([
    "report.txt 7692c3, 1, 1",
    "report.txt 3fc4cc",
    "report.txt 7692c3, 1, 1",
  ]);
  expect(trees(b)).toEqual([
    "report.txt 7692c3, 1, 1",
    "final.txt 7692c3",
    "report.txt 7692c3, 1, 1",
  ]);
  expect(planOf(a)).toMatchObject({ ops: [{ kind: "modify", baseContent: 1 }], transitions: [] });
  expect(planOf(b)).toMatchObject({
    ops: [{ kind: "move", name: "final.txt", basePlace: 1 }],
    transitions: [],
  });

  const then = await world.cursor();
  const edit = batchOf(then, [[modify(FILE, fileOf("two"), 1)]], A);
  const rename = batchOf(then, [[move(FILE, "final.txt", 1)]], B);
  for (const [index, batch] of [edit, rename].entries()) {
    const { results } = await world.sequencer.commit(FOLDER, batch);
    expect(results).toEqual([{ status: "accepted", seqs: [index + 2] }]);
  }
  const { events } = await world.sequencer.events(FOLDER, { after: 1, limit: 10 });
  const [second, third] = events;
  if (second === undefined || third === undefined) throw new Error("Two events follow");
  expect(second).toMatchObject({
    kind: "modify",
    name: "report.txt",
    baseContent: 1,
    basePlace: 1,
  });
  expect(third).toMatchObject({ kind: "move", name: "final.txt", baseContent: 2, basePlace: 1 });

  hear(a, { own: second, others: third });
  expect(trees(a)).toEqual([
    "report.txt 3fc4cc, 2, 1",
    "report.txt 3fc4cc",
    "final.txt 3fc4cc, 2, 3",
  ]);
  expect(planOf(a)).toMatchObject({ ops: [], transitions: [{ kind: "move", name: "final.txt" }] });

  hear(b, { own: third, others: second });
  expect(trees(b)).toEqual([
    "final.txt 7692c3, 1, 3",
    "final.txt 7692c3",
    "final.txt 3fc4cc, 2, 3",
  ]);
  expect(planOf(b)).toMatchObject({
    ops: [],
    transitions: [{ kind: "replace", content: fileOf("two"), expected: { name: "final.txt" } }],
  });

  a.agreeLocal(change(a, { name: "final.txt" }));
  b.agreeLocal(change(b, { content: fileOf("two"), identity: "another", stamp: "now" }));
  for (const store of [a, b]) {
    expect(trees(store)).toEqual([
      "final.txt 3fc4cc, 2, 3",
      "final.txt 3fc4cc",
      "final.txt 3fc4cc, 2, 3",
    ]);
    expect(store.dirty()).toEqual([]);
  }
});

/** Folds both events as the client does, in the log's order. */
function hear(store: StateStore, events: { readonly own: Event; readonly others: Event }): void {
  const { own, others } = events;
  for (const event of [own, others].toSorted((one, other) => one.seq - other.seq)) {
    if (event === own) store.agreeOwn(event);
    else store.putRemote(foldEvent(event));
  }
}
