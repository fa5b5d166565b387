/**
 * mendMetadata(): puts rows right that the log, or the hash of an event, proves to be wrong.
 * Rules: U12. It invents nothing: what is not proven stays as it is.
 */
import { canonicalContent } from "../../core/canonical.ts";
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { Event, ServedEvent } from "../../core/event.ts";
import { parseManifestObject } from "../../core/manifest.ts";
import type { RemoteNode, Sequence } from "../../core/node.ts";
import type { KnownObject } from "../../ports/object-records.ts";
import type { ObjectStore } from "../../ports/object-store.ts";
import { SqliteDatabase, type SqlRow } from "../sqlite/database.ts";
import { mendEvent } from "./mend-events.ts";
import { putRowsRight } from "./row-check.ts";
import {
  blob,
  hex,
  INSERT_NODE,
  integer,
  nodeValues,
  text,
  toBlob,
  toKnownObject,
  toNode,
} from "./rows.ts";
import { METADATA_MIGRATIONS } from "./schema.ts";

export interface Mended {
  /** `folder NAME`, `folder NAME event N`, `folder NAME node ID` or `folder NAME object DIGEST`. */
  readonly where: string;
  readonly path?: string;
  readonly message: string;
}

/** Finds out what follows from a log. */
export interface LogReplay {
  take(group: readonly Event[]): readonly Derived[];
  nodes(): Iterable<RemoteNode>;
  pathOf(node: RemoteNode): string;
}

interface Derived {
  readonly path: string;
  readonly from?: string;
  readonly body: Digest;
}

export interface MendParts {
  readonly objects: Pick<ObjectStore, "get" | "sizeOf">;
  readonly newReplay: () => LogReplay;
}

/**
 * @param path `metadata.db` of a data directory on which no server runs
 * @returns each thing that it put right, when it is durable
 * @throws {SyncedError} `damage_found` if the file is broken beyond its rows
 */
export async function* mendMetadata(path: string, parts: MendParts): AsyncGenerator<Mended, void> {
  const database = new SqliteDatabase(path, METADATA_MIGRATIONS);
  try {
    // The rows are the truth about the indexes.
    database.write("full", () => database.run("REINDEX"));
    const folders = database.rows("SELECT id, name, genesis FROM folders ORDER BY name");
    const mendings = () =>
      folders.map((row) => {
        const folder = { row: integer(row, "id"), where: `folder ${text(row, "name")}` };
        return new FolderMending(database, folder, { ...parts, genesis: hex(row, "genesis") });
      });
    // The logs first, because the marks of rows are judged by them, and the rest by both.
    for (const mending of mendings()) yield* mending.mendLog();
    const changed = database.write("full", () => putRowsRight(database));
    if (changed > 0) yield { where: "store", message: `${changed} marks of rows were wrong` };
    for (const mending of mendings()) yield* mending.run();
  } finally {
    database.close();
  }
}

class FolderMending {
  readonly #db: SqliteDatabase;
  readonly #folder: { readonly row: number; readonly where: string };
  readonly #objects: MendParts["objects"];
  readonly #replay: LogReplay;
  readonly #genesis: Digest;
  /** Sizes of the objects that the log needs, by `digest/depth`. */
  readonly #needed = new Map<string, KnownObject>();

  constructor(
    database: SqliteDatabase,
    folder: { readonly row: number; readonly where: string },
    { objects, newReplay, genesis }: MendParts & { readonly genesis: Digest },
  ) {
    this.#db = database;
    this.#folder = folder;
    this.#objects = objects;
    this.#replay = newReplay();
    this.#genesis = genesis;
  }

  async *run(): AsyncGenerator<Mended, void> {
    const isWhole = yield* this.mendLog();
    // A part of the log does not tell the present.
    if (!isWhole) return;
    yield* this.#mendNodes();
    yield* this.#mendObjects();
  }

  /** @returns true if all events up to the last one are as they were written */
  *mendLog(): Generator<Mended, boolean> {
    const { row: folder, where } = this.#folder;
    let previousHash = this.#genesis;
    let group: ServedEvent[] = [];
    for (let seq = 1; ; seq += 1) {
      const found = mendEvent(this.#db, folder, { seq, previousHash });
      if (found === undefined) return !this.#hasEventsFrom(seq);
      const { event, mended } = found;
      group.push(event);
      previousHash = event.hash;
      if (mended !== undefined) {
        yield { where: `${where} event ${seq}`, path: event.path, message: mended };
      }
      if (!event.groupEnd) continue;
      const derived = this.#replay.take(group);
      for (const [index, one] of group.entries()) yield* this.#mendDerived(one, derived[index]);
      group = [];
    }
  }

  #hasEventsFrom(seq: Sequence): boolean {
    const sql = "SELECT 1 FROM events WHERE folder = ? AND seq >= ? LIMIT 1";
    return this.#db.row(sql, this.#folder.row, seq) !== undefined;
  }

  *#mendDerived(event: ServedEvent, derived: Derived | undefined): Generator<Mended, void> {
    const { content, seq } = event;
    if (content.kind === "file" && content.size > 0 && event.gone !== true) {
      const { manifest: digest, depth, size } = content;
      this.#needed.set(`${digest}/${depth}`, { digest, depth, size });
    }
    if (derived === undefined) return;
    const sql = `UPDATE events SET path = ?, from_path = ?, body = ? WHERE folder = ? AND seq = ?
      AND (path IS NOT ? OR from_path IS NOT ? OR body IS NOT ?)`;
    const right = [derived.path, derived.from ?? null, toBlob(derived.body)];
    const { row: folder, where } = this.#folder;
    const count = this.#db.write("full", () => this.#db.run(sql, ...right, folder, seq, ...right));
    if (count === 0) return;
    const message = "What stands beside the event was wrong";
    yield { where: `${where} event ${seq}`, path: derived.path, message };
  }

  *#mendNodes(): Generator<Mended, void> {
    const { row: folder, where } = this.#folder;
    const right = new Map([...this.#replay.nodes()].map((node) => [keyOf(node), node]));
    const wrong: Uint8Array[] = [];
    for (const row of this.#db.rows("SELECT * FROM nodes WHERE folder = ?", folder)) {
      const key = keyOfRow(row);
      if (key === undefined || !right.delete(key)) wrong.push(blob(row, "id"));
    }
    if (wrong.length === 0 && right.size === 0) return;
    this.#db.write("full", () => {
      const sql = "DELETE FROM nodes WHERE folder = ? AND id = ?";
      for (const id of wrong) this.#db.run(sql, folder, id);
      for (const node of right.values()) this.#db.run(INSERT_NODE, ...nodeValues(folder, node));
    });
    for (const node of right.values()) {
      const path = this.#replay.pathOf(node);
      yield { where: `${where} node ${node.id}`, path, message: "Its row differed from the log" };
    }
  }

  async *#mendObjects(): AsyncGenerator<Mended, void> {
    await this.#needChildren();
    const { row: folder, where } = this.#folder;
    const sql = "SELECT * FROM folder_objects WHERE folder = ?";
    const wrong: KnownObject[] = [];
    for (const record of this.#db.rows(sql, folder).map(toKnownObject)) {
      const key = `${record.digest}/${record.depth}`;
      if (this.#needed.get(key)?.size === record.size) this.#needed.delete(key);
      else if (!(await this.#isMeant(record))) wrong.push(record);
    }
    const right = [...this.#needed.values()];
    this.#db.write("full", () => {
      for (const { digest, depth } of wrong) this.#db.run(FORGET, folder, toBlob(digest), depth);
      for (const { digest, depth, size } of right) {
        this.#db.run(RECORD, folder, toBlob(digest), depth, size);
      }
    });
    for (const { digest } of [...right, ...wrong]) {
      yield { where: `${where} object ${digest}`, message: "What is recorded of it was wrong" };
    }
  }

  async #needChildren(): Promise<void> {
    // The map grows while it is walked, by manifests of the level below and by chunks.
    for (const { digest, depth } of this.#needed.values()) {
      if (depth === 0) continue;
      for (const { digest: child, size } of await this.#childrenOf(digest)) {
        const below = depth - 1;
        this.#needed.set(`${child}/${below}`, { digest: child, depth: below, size });
      }
    }
  }

  /** @returns nothing if the manifest cannot be read: devices may give it back first */
  async #childrenOf(digest: Digest): Promise<ReturnType<typeof parseManifestObject>["children"]> {
    try {
      const bytes = await this.#objects.get(digest);
      return bytes === undefined ? [] : parseManifestObject(bytes).children;
    } catch (error) {
      if (error instanceof SyncedError && isDamage(error)) return [];
      throw error;
    }
  }

  /** True of what an upload brought and no event names yet. */
  async #isMeant({ digest, depth, size }: KnownObject): Promise<boolean> {
    if (depth === 0) return (await this.#objects.sizeOf(digest)) === size;
    try {
      const bytes = await this.#objects.get(digest);
      return bytes !== undefined && parseManifestObject(bytes).depth === depth;
    } catch (error) {
      if (error instanceof SyncedError && isDamage(error)) return false;
      throw error;
    }
  }
}

/** As if it was just uploaded. */
const RECORD = `
INSERT OR REPLACE INTO folder_objects (folder, digest, depth, size, touched, turn)
SELECT ?, ?, ?, ?, unixepoch() * 1000, objects_turn FROM server`;
const FORGET = "DELETE FROM folder_objects WHERE folder = ? AND digest = ? AND depth = ?";

function keyOf({ content, ...node }: RemoteNode): string {
  const { id, parent, name, deleted, contentVersion, placeVersion } = node;
  const fields = [id, parent, name, deleted, contentVersion, placeVersion];
  return JSON.stringify([...fields, canonicalContent(content)]);
}

/** @returns undefined if the row is no node: a value is missing, or of another type */
function keyOfRow(row: SqlRow): string | undefined {
  try {
    return keyOf(toNode(row));
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function isDamage({ code }: SyncedError): boolean {
  return code === "chunk_corrupt" || code === "invalid_manifest";
}
