/** The canonical form of an event, and the hash chain over it. Rules: L2, L3. */
import { type Digest, digestToBytes, sha256 } from "./digest.ts";
import type { Event } from "./event.ts";
import type { Epoch, FolderName, ServerId } from "./identifier.ts";
import type { Content } from "./node.ts";
import type { Op } from "./op.ts";

const encoder = new TextEncoder();

/** The part of an event that its hash covers beside the previous hash. */
export type HashedEvent = Omit<Event, "previousHash" | "hash">;

/** The canonical form: a JSON array without spaces, fields in the order of L3. */
export function canonicalEvent(event: HashedEvent): string {
  const { conflictOf } = event;
  return JSON.stringify([
    event.seq,
    event.time,
    event.device,
    event.opId,
    event.batch,
    event.groupEnd,
    event.kind,
    event.node,
    event.parent,
    event.name,
    canonicalContent(event.content),
    event.baseContent,
    event.basePlace,
    conflictOf === undefined ? null : [conflictOf.node, conflictOf.version],
    event.approval ?? null,
  ]);
}

/** SHA-256 of the previous hash as 32 raw bytes, then the canonical form in UTF-8. */
export function eventHash(previousHash: Digest, event: HashedEvent): Digest {
  const canonical = encoder.encode(canonicalEvent(event));
  const bytes = new Uint8Array(32 + canonical.length);
  bytes.set(digestToBytes(previousHash), 0);
  bytes.set(canonical, 32);
  return sha256(bytes);
}

/**
 * The hash that precedes the first event. It covers server, folder and epoch, so no two logs share
 * it.
 */
export function genesisHash(log: {
  readonly server: ServerId;
  readonly folder: FolderName;
  readonly epoch: Epoch;
}): Digest {
  return sha256(`synced log 1\n${log.server}\n${log.folder}\n${log.epoch}\n`);
}

/**
 * A digest of what the op proposes. A retry under the same op id must have the same one. Rules: O1.
 */
export function opBodyDigest(op: Op): Digest {
  const { kind, node } = op;
  switch (op.kind) {
    case "create": {
      const { parent, name, content, base, conflictOf } = op;
      const conflict = conflictOf === undefined ? null : [conflictOf.node, conflictOf.version];
      const fields = [kind, node, parent, name, canonicalContent(content), base, conflict];
      return sha256(JSON.stringify(fields));
    }
    case "modify":
      return sha256(JSON.stringify([kind, node, canonicalContent(op.content), op.baseContent]));
    case "move":
      return sha256(JSON.stringify([kind, node, op.parent, op.name, op.basePlace]));
    case "delete":
      return sha256(JSON.stringify([kind, node, op.baseContent, op.basePlace]));
  }
}

export function canonicalContent(content: Content): readonly unknown[] {
  switch (content.kind) {
    case "file": {
      const { manifest, depth, sha256: whole, size, executable, mtimeNs } = content;
      return ["file", manifest, depth, whole, size, executable, mtimeNs];
    }
    case "directory":
      return ["directory"];
    case "symlink":
      return ["symlink", content.target];
  }
}
