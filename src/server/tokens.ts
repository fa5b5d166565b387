/**
 * Makes, checks and revokes tokens. Rules: K2-K4. It knows what a token's text looks like; the
 * store keeps only its digest.
 *
 * The text is `sy-ID-SECRET`: it begins in a way that scanners of leaked secrets can look for. The
 * secret has 256 random bits, so a plain SHA-256 of it cannot be inverted by guessing.
 */
import type { Access } from "../core/access.ts";
import { type Digest, equalDigests, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { DeviceId, FolderName } from "../core/identifier.ts";
import { TOKENS_MAX } from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { TokenId, TokenRecord, TokenStore } from "../ports/token-store.ts";

const TOKEN = /^sy-([0-9a-f]{16})-[0-9a-f]{64}$/;
const ID = /^[0-9a-f]{16}$/;
const ID_LENGTH = 16;
/** A use is written down this often at most. */
const USED_INTERVAL_MS = 60_000;

export interface TokensParts {
  readonly store: TokenStore;
  readonly clock: Pick<Clock, "now">;
  /** 256 bits from a cryptographic source, as hex. */
  readonly secret: () => string;
}

export interface TokenRequest {
  readonly label: string;
  readonly access: Access;
  readonly folders: "all" | readonly FolderName[];
  /** Absent: it never expires. */
  readonly lifeMs?: number;
}

/** A token that was just made. Its text is nowhere else, and cannot be had again. */
export interface MadeToken {
  readonly record: TokenRecord;
  readonly text: string;
}

export class Tokens {
  readonly #parts: TokensParts;
  #isEmpty = true;

  constructor(parts: TokensParts) {
    this.#parts = parts;
  }

  /** True if none was ever made: then nobody can have one. */
  get isEmpty(): boolean {
    if (this.#isEmpty) this.#isEmpty = this.#parts.store.isEmpty();
    return this.#isEmpty;
  }

  /** @throws {SyncedError} `usage` if there are too many */
  async make({ label, access, folders, lifeMs }: TokenRequest): Promise<MadeToken> {
    const { store, clock, secret } = this.#parts;
    if (store.list().length >= TOKENS_MAX) {
      throw new SyncedError("usage", `Cannot make another token: there are ${TOKENS_MAX}`);
    }
    const createdMs = clock.now();
    const expiry = lifeMs === undefined ? undefined : { expiresMs: createdMs + lifeMs };
    for (;;) {
      const id = secret().slice(0, ID_LENGTH) as TokenId;
      const text = `sy-${id}-${secret()}`;
      const digest = sha256(text);
      const record: TokenRecord = { id, digest, label, access, folders, createdMs, ...expiry };
      if (await store.add(record)) return { record, text };
    }
  }

  /** @returns the secret of an invitation to one token, good once and for `lifeMs` */
  async invite({ label, access, folders, lifeMs }: Required<TokenRequest>): Promise<string> {
    const { store, clock, secret } = this.#parts;
    const text = secret();
    const createdMs = clock.now();
    const expiresMs = createdMs + lifeMs;
    await store.addInvite({ digest: sha256(text), label, access, folders, createdMs, expiresMs });
    return text;
  }

  /**
   * @param label the new device's name, where the invitation has no label
   * @throws {SyncedError} `unauthenticated` if there is no such invitation, or not any more
   */
  async redeem(text: string, label: string): Promise<MadeToken> {
    const { store, clock } = this.#parts;
    const invite = await store.takeInvite(sha256(text), clock.now());
    if (invite === undefined) {
      const message = "Cannot answer: the invitation was used, has expired, or was never made";
      throw new SyncedError("unauthenticated", message);
    }
    const { access, folders } = invite;
    return await this.make({ label: invite.label === "" ? label : invite.label, access, folders });
  }

  /**
   * Finds the record of a token that somebody shows, and notes that it was used.
   *
   * @throws {SyncedError} `unauthenticated`; `token_revoked` and `token_expired` only to who has
   * the whole token
   */
  check(text: string): TokenRecord {
    const { store, clock } = this.#parts;
    const id = TOKEN.exec(text)?.[1] as TokenId | undefined;
    const record = id === undefined ? undefined : store.find(id);
    // An unknown id takes as long as a wrong secret (B48).
    const isRight = equalDigests(sha256(text), record?.digest ?? NO_TOKEN);
    if (record === undefined || !isRight) throw wrongToken();
    this.#requireValid(record);
    const nowMs = clock.now();
    if (nowMs - (record.usedMs ?? 0) >= USED_INTERVAL_MS) {
      note(() => store.used(record.id, nowMs));
    }
    return record;
  }

  /**
   * Another server may just have made that token.
   *
   * @returns undefined if there is nothing to look for
   */
  lookFor(text: string): Promise<void> | undefined {
    const { store } = this.#parts;
    const id = TOKEN.exec(text)?.[1] as TokenId | undefined;
    if (id === undefined || store.find(id) !== undefined) return undefined;
    return store.refresh?.();
  }

  /** Sees what other servers did up to now. */
  async refresh(): Promise<void> {
    await this.#parts.store.refresh?.(true);
  }

  /** Checks a token again that `check` let through. @throws as `check` does */
  confirm(id: TokenId): void {
    const record = this.#parts.store.find(id);
    if (record === undefined) throw wrongToken();
    this.#requireValid(record);
  }

  /** By time of creation, those that are over too. */
  list(): readonly TokenRecord[] {
    return this.#parts.store.list();
  }

  /** @throws {SyncedError} `invalid_id` */
  find(text: string): TokenRecord | undefined {
    return this.#parts.store.find(parseTokenId(text));
  }

  /** @returns false if it was revoked before. @throws {SyncedError} `invalid_id`, `usage` */
  async revoke(text: string): Promise<boolean> {
    const { store, clock } = this.#parts;
    const id = parseTokenId(text);
    if (store.find(id) === undefined) {
      throw new SyncedError("usage", `Cannot revoke "${id}": there is no such token`);
    }
    return await store.revoke(id, clock.now());
  }

  sawDevice(token: TokenId, folder: FolderName, device: DeviceId): void {
    const { store, clock } = this.#parts;
    note(() => store.sawDevice({ token, folder, device, seenMs: clock.now() }));
  }

  #requireValid({ expiresMs, revokedMs }: TokenRecord): void {
    if (revokedMs !== undefined) {
      throw new SyncedError("token_revoked", "Cannot answer: the token was revoked");
    }
    if (expiresMs !== undefined && expiresMs <= this.#parts.clock.now()) {
      throw new SyncedError("token_expired", "Cannot answer: the token has expired");
    }
  }
}

/** Writes down what a list shows. A request must not fail because the disk has no room for it. */
function note(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof SyncedError) || !error.kind.retriable) throw error;
  }
}

/** @throws {SyncedError} `invalid_id` */
function parseTokenId(text: string): TokenId {
  if (ID.test(text)) return text as TokenId;
  const shown = text.slice(0, 80);
  throw new SyncedError("invalid_id", `Cannot use "${shown}" as a token's id: see the list`);
}

/** True for a text in the form of a made token; its secret may be wrong. */
export function looksMade(text: string): boolean {
  return TOKEN.test(text);
}

/** Equals no token's digest, because no token is empty. */
const NO_TOKEN: Digest = sha256("");

export function wrongToken(): SyncedError {
  return new SyncedError("unauthenticated", "Cannot answer: the bearer token is missing or wrong");
}
