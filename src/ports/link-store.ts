/**
 * LinkStore: the share links of one server. It lies with TokenStore and is as that: synchronous
 * look-ups, durable writes. Rules: H40.
 */
import type { Brand } from "../core/brand.ts";
import type { Digest } from "../core/digest.ts";
import type { FolderName, NodeId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { Refreshed, TokenId } from "./token-store.ts";

/** 16 lower-case hex digits. No secret: it names a link in lists. */
export type LinkId = Brand<string, "LinkId">;

export interface LinkRecord {
  readonly id: LinkId;
  /** Of the link's whole text. */
  readonly digest: Digest;
  /** The name that the folder had when the link was made. */
  readonly folder: FolderName;
  /** The root's id shares all of the folder. */
  readonly node: NodeId;
  /** Where the node was when the link was made, for lists; "" is the root. */
  readonly path: string;
  /** The moment that it shows. Absent: it follows what changes. */
  readonly at?: Sequence;
  /** As `PasswordHashes` makes it. Absent: none is wanted. */
  readonly password?: string;
  /** The maker's token, with which the link ends. Absent if he had none that can be revoked. */
  readonly token?: TokenId;
  /** Milliseconds since 1970, as the next. */
  readonly createdMs: number;
  readonly expiresMs: number;
}

export interface LinkStore extends Refreshed {
  /** False if there is one of that id already; nothing is changed then. */
  addLink(record: LinkRecord): Promise<boolean>;
  findLink(id: LinkId): LinkRecord | undefined;
  /** By time of creation. */
  links(): readonly LinkRecord[];
  /** @returns false if there is none */
  removeLink(id: LinkId): Promise<boolean>;
}

/** Turns passwords into texts that cannot be turned back. Each call takes some 50 ms. */
export interface PasswordHashes {
  hash(password: string): Promise<string>;
  /** @param hash what `hash` made */
  matches(password: string, hash: string): Promise<boolean>;
}
