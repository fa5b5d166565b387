/**
 * Makes, checks and revokes share links. Rules: H40, H41.
 *
 * A link's text is `ID-SECRET`, its secret has 256 random bits, and only the digest is kept, as of
 * tokens. It names a node and never a path, so nothing beside or above it can be asked for.
 */
import { type Digest, equalDigests, hmacSha256, sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName, NodeId } from "../core/identifier.ts";
import { LINKS_MAX, PASSWORDS_WAITING_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { formatTime } from "../core/time.ts";
import type { Clock } from "../ports/clock.ts";
import type { LinkId, LinkRecord, LinkStore, PasswordHashes } from "../ports/link-store.ts";
import type { TokenId } from "../ports/token-store.ts";
import type { LinkInfo } from "../protocol/link-messages.ts";
import type { Tokens } from "./tokens.ts";

const LINK = /^([0-9a-f]{16})-[0-9a-f]{64}$/;
const ID_LENGTH = 16;

export interface LinksParts {
  readonly store: LinkStore;
  readonly tokens: Pick<Tokens, "confirm">;
  readonly passwords: PasswordHashes;
  readonly clock: Pick<Clock, "now">;
  /** 256 bits from a cryptographic source, as hex. */
  readonly secret: () => string;
}

export interface NewLink {
  readonly folder: FolderName;
  readonly node: NodeId;
  readonly path: string;
  readonly at: Sequence | undefined;
  readonly lifeMs: number;
  readonly password: string | undefined;
  readonly token: TokenId | undefined;
}

/** Equals no link's digest, because no link is empty. */
const NO_LINK: Digest = sha256("");

export class Links {
  readonly #parts: LinksParts;
  /** By link, a keyed digest of the password that opened it: looking at 100 files hashes once. */
  readonly #opened = new Map<LinkId, Digest>();
  readonly #key: string;
  #hashing: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(parts: LinksParts) {
    this.#parts = parts;
    this.#key = parts.secret();
  }

  /** @returns the record, and the link's text, which is nowhere else */
  async make(link: NewLink): Promise<{ readonly record: LinkRecord; readonly text: string }> {
    const { store, clock, secret, passwords } = this.#parts;
    if (store.links().length >= LINKS_MAX) {
      const claim = `there are ${LINKS_MAX}; revoke some`;
      throw new SyncedError("invalid_parameter", `Cannot make another link: ${claim}`);
    }
    const { folder, node, path, at, lifeMs, password, token } = link;
    const hash =
      password === undefined ? undefined : await this.#inTurn(() => passwords.hash(password));
    const createdMs = clock.now();
    for (;;) {
      const id = secret().slice(0, ID_LENGTH) as LinkId;
      const text = `${id}-${secret()}`;
      const record: LinkRecord = {
        id,
        digest: sha256(text),
        folder,
        node,
        path,
        ...(at === undefined ? undefined : { at }),
        ...(hash === undefined ? undefined : { password: hash }),
        ...(token === undefined ? undefined : { token }),
        createdMs,
        expiresMs: createdMs + lifeMs,
      };
      if (await store.addLink(record)) return { record, text };
    }
  }

  /**
   * Finds the link that somebody shows.
   *
   * @throws {SyncedError} `not_found`; `link_expired` only to who has the whole link
   */
  async open(text: string): Promise<LinkRecord> {
    const id = LINK.exec(text)?.[1] as LinkId | undefined;
    const record = id === undefined ? undefined : await this.#find(id);
    const isRight = equalDigests(sha256(text), record?.digest ?? NO_LINK);
    if (record === undefined || !isRight) throw noLink();
    this.#requireGood(record);
    return record;
  }

  /** Checks again a link that was opened. @throws as `open` does */
  confirm(id: LinkId): void {
    const record = this.#parts.store.findLink(id);
    if (record === undefined) throw noLink();
    this.#requireGood(record);
  }

  /** Also those that are over, oldest first. @param names all that the folder ever had */
  async list(names: ReadonlySet<string>): Promise<readonly LinkInfo[]> {
    await this.#parts.store.refresh?.();
    const links = this.#parts.store.links().filter(({ folder }) => names.has(folder));
    return links.map((link) => this.info(link));
  }

  info(record: LinkRecord): LinkInfo {
    const { id, path, at, createdMs, expiresMs, password } = record;
    const over = this.#whyOver(record);
    return {
      id,
      path,
      ...(at === undefined ? undefined : { at }),
      created: formatTime(createdMs),
      expires: formatTime(expiresMs),
      hasPassword: password !== undefined,
      ...(over === undefined ? undefined : { over }),
    };
  }

  /** @throws {SyncedError} `not_found` */
  async revoke(names: ReadonlySet<string>, id: string): Promise<void> {
    const { store } = this.#parts;
    await store.refresh?.();
    const found = store.links().find((link) => link.id === id && names.has(link.folder));
    if (found === undefined) throw noLink();
    await store.removeLink(found.id);
    this.#opened.delete(found.id);
  }

  /** @returns false for a wrong password. @throws {SyncedError} `temporarily_unavailable` */
  async isPassword({ id, password: hash }: LinkRecord, password: string): Promise<boolean> {
    if (hash === undefined) return true;
    const digest = hmacSha256(this.#key, password);
    const known = this.#opened.get(id);
    if (known !== undefined && equalDigests(known, digest)) return true;
    const isRight = await this.#inTurn(() => this.#parts.passwords.matches(password, hash));
    if (isRight) this.#opened.set(id, digest);
    return isRight;
  }

  /** One hash at a time, so that guessing takes no more memory and processors than that. */
  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#waiting >= PASSWORDS_WAITING_MAX) {
      throw new SyncedError("temporarily_unavailable", "Cannot check more passwords at once");
    }
    this.#waiting += 1;
    const turn = this.#hashing.then(work);
    this.#hashing = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Another server may just have made it. */
  async #find(id: LinkId): Promise<LinkRecord | undefined> {
    const { store } = this.#parts;
    if (store.findLink(id) === undefined) await store.refresh?.();
    return store.findLink(id);
  }

  #requireGood(record: LinkRecord): void {
    const over = this.#whyOver(record);
    if (over === undefined) return;
    throw new SyncedError("link_expired", "Cannot open the link: it has expired");
  }

  #whyOver({ expiresMs, token }: LinkRecord): LinkInfo["over"] {
    if (expiresMs <= this.#parts.clock.now()) return "expired";
    if (token === undefined) return undefined;
    try {
      this.#parts.tokens.confirm(token);
      return undefined;
    } catch (error) {
      if (error instanceof SyncedError) return "token";
      throw error;
    }
  }
}

function noLink(): SyncedError {
  return new SyncedError("not_found", "Cannot open the link: there is none, or not any more");
}
