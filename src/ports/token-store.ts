/**
 * TokenStore: the tokens of one server, and which devices used them. Rules: K2-K4.
 *
 * Look-ups are synchronous and take a few microseconds. Other processes may read and write the same
 * store meanwhile; each call sees what they have done, or did before the last `refresh`. Writes are
 * durable when they resolve, unless they say otherwise.
 */
import type { Access } from "../core/access.ts";
import type { Brand } from "../core/brand.ts";
import type { Digest } from "../core/digest.ts";
import type { DeviceId, FolderName } from "../core/identifier.ts";

/** 16 lower-case hex digits. No secret: it names a token in lists and logs. */
export type TokenId = Brand<string, "TokenId">;

export interface TokenRecord {
  readonly id: TokenId;
  /** Of the whole token's text. */
  readonly digest: Digest;
  /** A person's word for whose it is; may be empty. */
  readonly label: string;
  readonly access: Access;
  readonly folders: "all" | readonly FolderName[];
  /** All times are milliseconds since 1970. */
  readonly createdMs: number;
  readonly expiresMs?: number;
  readonly revokedMs?: number;
  /** Up to a minute older than the last use. */
  readonly usedMs?: number;
}

/** A device as it last reported with a token. */
export interface TokenDevice {
  readonly token: TokenId;
  readonly folder: FolderName;
  readonly device: DeviceId;
  readonly seenMs: number;
}

/** A promise of one token to whoever has its secret. */
export interface InviteRecord extends Pick<TokenRecord, "label" | "access" | "folders"> {
  /** Of the secret. */
  readonly digest: Digest;
  readonly createdMs: number;
  readonly expiresMs: number;
}

/** Of stores that only now and then look what other servers did. */
export interface Refreshed {
  /**
   * Looks now. Absent where each call sees it anyway.
   *
   * @param isWhole true to see when tokens were used, too
   */
  refresh?(isWhole?: boolean): Promise<void>;
}

export interface TokenStore extends Refreshed {
  /** True if no token was ever added. */
  isEmpty(): boolean;
  /** False if there is one of that id already; nothing is changed then. */
  add(record: TokenRecord): Promise<boolean>;
  find(id: TokenId): TokenRecord | undefined;
  /** By time of creation. Revoked and expired ones stay, so that their holders are told. */
  list(): readonly TokenRecord[];
  /** @returns false if there is none, or if it was revoked before */
  revoke(id: TokenId, nowMs: number): Promise<boolean>;
  addInvite(record: InviteRecord): Promise<void>;
  /**
   * Takes an invite that is good at that time away, once, whoever else asks for it meanwhile.
   *
   * @returns undefined if there is none
   */
  takeInvite(digest: Digest, nowMs: number): Promise<InviteRecord | undefined>;
  /** A crash may forget it. */
  used(id: TokenId, nowMs: number): void;
  /** A crash may forget it. */
  sawDevice(device: TokenDevice): void;
  /** By token, folder and device. */
  devices(): readonly TokenDevice[];
  close(): void;
}
