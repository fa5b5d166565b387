/** The fold: one event is enough to know its node. */
import { describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import type { Event, EventKind } from "../../src/core/event.ts";
import { foldEvent } from "../../src/core/fold.ts";
import {
  type BatchId,
  type DeviceId,
  type NodeId,
  type OpId,
  parseId,
} from "../../src/core/identifier.ts";

function eventOf(kind: EventKind): Event {
  return {
    seq: 9,
    time: "2026-01-02T03:04:05.006Z",
    device: parseId<DeviceId>("d".repeat(32)),
    opId: parseId<OpId>("1".repeat(32)),
    batch: parseId<BatchId>("b".repeat(32)),
    groupEnd: true,
    kind,
    node: parseId<NodeId>("a".repeat(32)),
    parent: parseId<NodeId>("c".repeat(32)),
    name: "name",
    content: { kind: "directory" },
    baseContent: 4,
    basePlace: 6,
    previousHash: sha256("1"),
    hash: sha256("2"),
  };
}

describe("foldEvent()", () => {
  const cases = [
    { kind: "create", deleted: false, contentVersion: 9, placeVersion: 9 },
    { kind: "modify", deleted: false, contentVersion: 9, placeVersion: 6 },
    { kind: "move", deleted: false, contentVersion: 4, placeVersion: 9 },
    { kind: "delete", deleted: true, contentVersion: 9, placeVersion: 9 },
  ] as const;
  for (const { kind, ...versions } of cases) {
    test(`gives place, content and versions after a ${kind} [L5]`, () => {
      const { node: id, parent, name, content } = eventOf(kind);
      expect(foldEvent(eventOf(kind))).toEqual({ id, parent, name, content, ...versions });
    });
  }
});
