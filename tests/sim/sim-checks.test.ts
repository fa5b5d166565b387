/** What the simulation's laws excuse, and what not. */
import { expect, test } from "bun:test";
import { conflictName } from "../../src/core/conflict.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type DeviceId, type NodeId, parseId } from "../../src/core/identifier.ts";
import { earlierLosers } from "./sim-checks.ts";

const ADA = parseId<DeviceId>("a".repeat(32));
const BOB = parseId<DeviceId>("b".repeat(32));
const LABELS = new Map([
  [ADA, "ada"],
  [BOB, "bob"],
]);
const [FIRST, SECOND] = [sha256("first"), sha256("second")];

/** Somebody gives the copy that ada made of FIRST to the log; then it gets the next version. */
function copyAndNext(givenBy: DeviceId, replacedBy: DeviceId, name = copyOf(FIRST)) {
  const node = parseId<NodeId>("c".repeat(32));
  const next = `d/${copyOf(SECOND)}`;
  const content = (sha: typeof FIRST) =>
    ({ kind: "file", manifest: sha, depth: 0, sha256: sha, size: 5, ...METADATA }) as const;
  return [
    { kind: "create", node, path: `d/${name}`, device: givenBy, content: content(FIRST) },
    { kind: "move", node, path: next, device: replacedBy, content: content(FIRST) },
    { kind: "modify", node, path: next, device: replacedBy, content: content(SECOND) },
  ] as const;
}

const METADATA = { executable: false, mtimeNs: "0" };

function copyOf(hash6Source: typeof FIRST): string {
  return conflictName({ name: "f", device: "ada", mtimeNs: "0", hash6Source, attempt: 0 });
}

test("a device's next loser replaces its copy, whoever gave that to the log [R13]", () => {
  expect([...earlierLosers(copyAndNext(ADA, ADA), LABELS).keys()]).toEqual([FIRST]);
  expect([...earlierLosers(copyAndNext(BOB, ADA), LABELS).keys()]).toEqual([FIRST]);
});

test("a next version that its user deleted unposted has replaced its copy, too [R13]", () => {
  const [made] = copyAndNext(ADA, ADA);
  const deleted = (device: DeviceId) => [made, { ...made, kind: "delete", device } as const];
  expect([...earlierLosers(deleted(ADA), LABELS).keys()]).toEqual([FIRST]);
  expect([...earlierLosers(deleted(BOB), LABELS).keys()]).toEqual([]);
});

test("another device's copy, and what its user put into a copy, are not replaced [R13]", () => {
  expect([...earlierLosers(copyAndNext(ADA, BOB), LABELS).keys()]).toEqual([]);
  expect([...earlierLosers(copyAndNext(ADA, ADA, copyOf(SECOND)), LABELS).keys()]).toEqual([]);
});

test("a file that was in the log under another name is nobody's copy [R20]", () => {
  const [made, ...next] = copyAndNext(ADA, ADA);
  const before = { ...made, path: "d/f" };
  expect([...earlierLosers([before, made, ...next], LABELS).keys()]).toEqual([]);
  expect([...earlierLosers([before, made, ...next], LABELS, true).keys()]).toEqual([FIRST]);
});
