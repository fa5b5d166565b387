/** The canonical form and the hash chain, against values written out by hand. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { HashedEvent } from "../../src/core/canonical.ts";
import { canonicalEvent, eventHash, genesisHash, opBodyDigest } from "../../src/core/canonical.ts";
import { sha256 } from "../../src/core/digest.ts";
import {
  type BatchId,
  type DeviceId,
  type Epoch,
  type NodeId,
  type OpId,
  parseFolderName,
  parseId,
  ROOT_ID,
  type ServerId,
} from "../../src/core/identifier.ts";

const device = parseId<DeviceId>("d".repeat(32));
const opId = parseId<OpId>(`${"0".repeat(31)}1`);
const batch = parseId<BatchId>("b".repeat(32));
const node = parseId<NodeId>("a".repeat(32));
const other = parseId<NodeId>("c".repeat(32));
const digest = sha256("hello");

const event: HashedEvent = {
  seq: 7,
  time: "2026-01-02T03:04:05.006Z",
  device,
  opId,
  batch,
  groupEnd: true,
  kind: "create",
  node,
  parent: ROOT_ID,
  name: 'a "quoted" ü\u0001',
  content: {
    kind: "file",
    manifest: digest,
    depth: 0,
    sha256: digest,
    size: 5,
    executable: false,
    mtimeNs: "-1",
  },
  baseContent: 0,
  basePlace: 0,
};

describe("canonicalEvent()", () => {
  test("lists the fields in the documented order without spaces [L3]", () => {
    const expected =
      `[7,"2026-01-02T03:04:05.006Z","${device}","${opId}","${batch}",true,"create","${node}",` +
      `"${ROOT_ID}","a \\"quoted\\" ü\\u0001",["file","${digest}",0,"${digest}",5,false,"-1"],` +
      "0,0,null,null]";
    expect(canonicalEvent(event)).toBe(expected);
  });

  test("writes directories, symlinks, conflict origin and approval [L3]", () => {
    const conflictOf = { node: other, version: 3 };
    const directory = canonicalEvent({
      ...event,
      content: { kind: "directory" },
      conflictOf,
      approval: "x1",
    });
    expect(directory).toEndWith(`["directory"],0,0,["${other}",3],"x1"]`);
    const symlink = canonicalEvent({ ...event, content: { kind: "symlink", target: "../b" } });
    expect(symlink).toEndWith('["symlink","../b"],0,0,null,null]');
  });

  test("leaves out what is only served [L4]", () => {
    const served = { ...event, path: "p", from: "q", inline: "aGVsbG8=" };
    expect(canonicalEvent(served)).toBe(canonicalEvent(event));
  });
});

describe("eventHash()", () => {
  test("covers the previous hash's 32 raw bytes and then the canonical form [L2]", () => {
    const previous = sha256("before");
    const expected = createHash("sha256")
      .update(Buffer.from(previous, "hex"))
      .update(canonicalEvent(event))
      .digest("hex");
    expect(String(eventHash(previous, event))).toBe(expected);
  });

  test("changes with every field [L2]", () => {
    const previous = sha256("before");
    const variants: HashedEvent[] = [
      event,
      { ...event, seq: 8 },
      { ...event, time: "2026-01-02T03:04:05.007Z" },
      { ...event, groupEnd: false },
      { ...event, kind: "modify" },
      { ...event, name: "b" },
      { ...event, parent: other },
      { ...event, baseContent: 1 },
      { ...event, basePlace: 1 },
      { ...event, approval: "x" },
      { ...event, conflictOf: { node, version: 0 } },
      { ...event, content: { kind: "directory" } },
    ];
    const hashes = variants.map((variant) => eventHash(previous, variant));
    expect(new Set([...hashes, eventHash(sha256("x"), event)]).size).toBe(variants.length + 1);
  });
});

describe("genesisHash()", () => {
  test("covers server, folder and epoch [L2]", () => {
    const server = parseId<ServerId>("5".repeat(32));
    const epoch = parseId<Epoch>("e".repeat(32));
    const folder = parseFolderName("docs");
    const expected = sha256(`synced log 1\n${server}\ndocs\n${epoch}\n`);
    expect(genesisHash({ server, folder, epoch })).toBe(expected);
  });
});

describe("opBodyDigest()", () => {
  const header = { opId, node };
  test("is the same for the same proposal and another for any other [O1]", () => {
    const ops = [
      { kind: "create", ...header, parent: ROOT_ID, name: "a", content: event.content, base: 0 },
      { kind: "create", ...header, parent: ROOT_ID, name: "b", content: event.content, base: 0 },
      { kind: "create", ...header, parent: other, name: "a", content: event.content, base: 0 },
      { kind: "create", ...header, parent: ROOT_ID, name: "a", content: event.content, base: 1 },
      { kind: "modify", ...header, content: event.content, baseContent: 0 },
      { kind: "modify", ...header, content: event.content, baseContent: 1 },
      { kind: "move", ...header, parent: ROOT_ID, name: "a", basePlace: 1 },
      { kind: "move", ...header, parent: ROOT_ID, name: "a", basePlace: 2 },
      { kind: "delete", ...header, baseContent: 1, basePlace: 1 },
      { kind: "delete", ...header, baseContent: 1, basePlace: 2 },
    ] as const;
    const digests = ops.map((op) => opBodyDigest(op));
    expect(new Set(digests).size).toBe(ops.length);
    expect(ops.map((op) => opBodyDigest({ ...op }))).toEqual(digests);
  });
});
