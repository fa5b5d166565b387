/**
 * StateStore on SQLite: the three trees as one base table and two sparse overlays, and the dirty
 * marks. Rules: S1, S2, S4, S5, T1. Knows nothing of the disk that the trees describe.
 */
import type { DatabaseSync } from "node:sqlite";
import { baseAfterAgreement, baseAfterOwn } from "../../core/base.ts";
import { assert } from "../../core/error.ts";
import type { Event } from "../../core/event.ts";
import { foldEvent } from "../../core/fold.ts";
import type { NodeId } from "../../core/identifier.ts";
import {
  type BaseNode,
  type LocalNode,
  type RemoteNode,
  sameContent,
  samePlace,
} from "../../core/node.ts";
import type { TreeView } from "../../core/tree.ts";
import type { Barrier, StateStore } from "../../ports/state-store.ts";
import { NodeRows, type OverlayRow } from "./cache.ts";
import {
  agrees,
  asLocal,
  asRemote,
  leastId,
  madeDurable,
  mergeVersions,
  sameRemote,
} from "./nodes.ts";
import { StateRecords } from "./records.ts";
import {
  type BaseRow,
  decodeBase,
  decodeGone,
  decodeLocal,
  decodeRemote,
  encodeBase,
  encodeLocal,
  encodeRemote,
  type LocalOverlayRow,
  type LocalRow,
  READ,
  type RemoteRow,
  WRITE,
} from "./rows.ts";
import { closeDatabase, copyToMemory, openDatabase, openDatabaseReadOnly } from "./schema.ts";

/**
 * Opens the store of one device and folder, creating it where there is none.
 *
 * @param path of the database, or ":memory:".
 * @throws {SyncedError} `damage_found`, `data_newer`
 */
export function openStateStore(path: string): StateStore {
  return stateStoreIn(openDatabase(path));
}

/** @param database that `openDatabase` opened, and nobody else uses. */
export function stateStoreIn(database: DatabaseSync): StateStore {
  return new SqliteStateStore(database, false);
}

/**
 * Opens the store beside the process that owns it; every `put*` throws.
 *
 * @throws {SyncedError} `damage_found`, `data_newer`
 */
export function openStateStoreReadOnly(path: string): StateStore {
  return new SqliteStateStore(openDatabaseReadOnly(path), true);
}

/** What the one at `path` holds, in memory; the file is not written. */
export function openStateStoreCopy(path: string): StateStore {
  return new SqliteStateStore(copyToMemory(path), false);
}

class SqliteStateStore extends StateRecords implements StateStore {
  readonly #database: DatabaseSync;
  readonly #readOnly: boolean;
  /** Only this process writes, so that what was read or written last is what the tables hold. */
  readonly #rows: NodeRows;

  constructor(database: DatabaseSync, readOnly: boolean) {
    super(database, !readOnly);
    this.#database = database;
    this.#readOnly = readOnly;
    this.#rows = new NodeRows(!readOnly);
  }

  readonly base = this.#view<BaseRow, BaseNode>(READ.base, decodeBase, (id) => this.#baseRow(id));
  readonly local = this.#view<LocalRow, LocalNode>(READ.local, decodeLocal, (id) => {
    const own = this.#localRow(id);
    if (own !== undefined) return own.gone === undefined ? own.node : undefined;
    const base = this.#baseRow(id);
    return base === undefined ? undefined : asLocal(base);
  });
  readonly remote = this.#view<RemoteRow, RemoteNode>(READ.remote, decodeRemote, (id) => {
    const row = this.remoteRow(id);
    return row?.deleted === false ? row : undefined;
  });

  override transaction<Result>(work: () => Result, barrier?: Barrier): Result {
    try {
      return super.transaction(work, barrier);
    } catch (error) {
      this.#rows.clear();
      throw error;
    }
  }

  remoteRow(id: NodeId): RemoteNode | undefined {
    const own = this.#remoteRow(id);
    if (own !== undefined) return own;
    const base = this.#baseRow(id);
    return base === undefined ? undefined : asRemote(base);
  }

  /** The least id of those that have it, found here: SQLite's sorter costs ten times the rest. */
  localByIdentity(identity: string): LocalNode | undefined {
    let least = leastId(this.all<LocalRow>(READ.localByIdentity, identity));
    const based = leastId(this.all<LocalRow>(READ.baseByIdentity, identity));
    if (least === undefined || (based !== undefined && based.id < least.id)) least = based;
    return least === undefined ? undefined : decodeLocal(least);
  }

  putLocal(node: LocalNode): void {
    this.together(() => {
      const base = this.base.get(node.id);
      if (
        base === undefined ||
        !samePlace(base, node) ||
        !sameContent(base.content, node.content)
      ) {
        this.#writeLocal(node, undefined);
        this.markDirty(node.id);
        return;
      }
      const { id, identity, stamp } = node;
      if (base.identity !== identity || base.stamp !== stamp) {
        this.run("UPDATE base SET identity = ?2, stamp = ?3 WHERE id = ?1", id, identity, stamp);
        this.#rows.base.set(id, { ...base, identity, stamp });
      }
      this.#deleteLocal(id);
      if (this.#differsRemotely(id)) this.markDirty(id);
      else this.clearDirty(id);
    });
  }

  agreeLocal(node: LocalNode): void {
    this.together(() => {
      const { id } = node;
      const before = this.local.get(id);
      const remote = this.remote.get(id);
      const base = this.#baseRow(id);
      const isAgreed =
        remote !== undefined &&
        samePlace(node, remote) &&
        sameContent(node.content, remote.content);
      // Nothing of it was here before: all of it is what was done now.
      if (isAgreed && before === undefined) {
        this.#settleAs(node, remote);
        return;
      }
      this.putLocal(node);
      if (remote === undefined || base === undefined || before === undefined) return;
      const agreed = baseAfterAgreement(base, madeDurable(base, before, node), remote);
      if (agreed !== base) this.#takeOver(agreed, node, remote);
    });
  }

  removeLocal(id: NodeId, isSeen = false): void {
    this.together(() => {
      const base = this.base.get(id);
      if (base === undefined) this.#deleteLocal(id);
      else this.#writeLocal(asLocal(base), isSeen || this.wasSeenGoing(id) ? "seen" : "missed");
      this.markDirty(id);
    });
  }

  wasSeenGoing(id: NodeId): boolean {
    return this.#localRow(id)?.gone === "seen";
  }

  putRemote(node: RemoteNode): void {
    this.together(() => {
      const known = this.remoteRow(node.id);
      const merged = known === undefined ? node : mergeVersions(known, node);
      if (merged !== known) this.#putMerged(merged);
    });
  }

  agreeOwn(event: Event): void {
    this.together(() => {
      const node = foldEvent(event);
      const { id } = node;
      const known = this.remoteRow(id);
      const merged = known === undefined ? node : mergeVersions(known, node);
      const local = this.local.get(id);
      const base = this.#baseRow(id);
      const held = baseAfterOwn(base, event);
      if (held !== undefined) {
        this.#takeOver(held, local, merged);
        return;
      }
      if (merged !== known) this.#putMerged(merged);
      if (merged.deleted) this.#bury(id, local);
    });
  }

  /** The log says what this device did: the node is gone. What stands there again is new. */
  #bury(id: NodeId, local: LocalNode | undefined): void {
    if (local === undefined) this.settle(id);
    else if (this.#baseRow(id) !== undefined) {
      this.forget(id);
      this.putLocal(local);
    }
  }

  agree(id: NodeId): void {
    const local = this.local.get(id);
    const remote = this.remote.get(id);
    const base = this.#baseRow(id);
    if (base === undefined || local === undefined || remote === undefined) return;
    const agreed = baseAfterAgreement(base, local, remote);
    if (agreed !== base) this.together(() => this.#takeOver(agreed, local, remote));
  }

  /** Sets the base; both sides stay what they are, and are settled where nothing differs. */
  #takeOver(
    base: Omit<BaseNode, "identity" | "stamp">,
    local: LocalNode | undefined,
    remote: RemoteNode,
  ): void {
    const { id } = base;
    // The stamp of what was agreed on is not known any more: only bytes tell whether it is back.
    const row = { ...base, identity: local?.identity ?? "", stamp: "" };
    const isLocal =
      local !== undefined && samePlace(base, local) && sameContent(base.content, local.content);
    if (isLocal && sameRemote(asRemote(row), remote)) {
      this.#settleAs(local, remote);
      return;
    }
    this.#writeBase(row);
    if (local === undefined) this.removeLocal(id);
    else this.putLocal(local);
    this.#putMerged(remote);
  }

  #putMerged(merged: RemoteNode): void {
    const { id } = merged;
    const base = this.#baseRow(id);
    if (base !== undefined && sameRemote(asRemote(base), merged)) this.#deleteRemote(id);
    else this.#writeRemote(merged);
    this.markDirty(id);
  }

  clearRemote(): void {
    this.together(() => {
      this.dirtyChanges += 1;
      this.run("INSERT OR IGNORE INTO dirty SELECT id FROM remote");
      this.run("DELETE FROM remote");
      this.#rows.clear();
    });
  }

  settle(id: NodeId): void {
    this.together(() => {
      const local = this.local.get(id);
      const remote = this.remote.get(id);
      assert((local === undefined) === (remote === undefined), `${id} is settled on both sides`);
      if (local === undefined || remote === undefined) {
        this.#deleteBase(id);
      } else {
        assert(samePlace(local, remote), `${id} is settled in one place`);
        assert(agrees(local.content, remote.content), `${id} is settled with one content`);
        this.#settleAs(local, remote);
        return;
      }
      this.#deleteLocal(id);
      this.#deleteRemote(id);
      this.clearDirty(id);
    });
  }

  #settleAs({ id, identity, stamp }: LocalNode, remote: RemoteNode): void {
    const { parent, name, content, contentVersion, placeVersion } = remote;
    const versions = { contentVersion, placeVersion };
    this.#writeBase({ id, parent, name, content, identity, stamp, ...versions });
    this.#deleteLocal(id);
    this.#deleteRemote(id);
    this.clearDirty(id);
  }

  putBase(node: BaseNode): void {
    this.together(() => {
      this.#writeBase(node);
      this.markDirty(node.id);
    });
  }

  forget(id: NodeId): void {
    this.together(() => {
      const remote = this.remoteRow(id);
      if (remote !== undefined) this.#writeRemote(remote);
      this.#deleteBase(id);
      this.#deleteLocal(id);
      this.clearDirty(id);
    });
  }

  adopt(local: NodeId, remote: NodeId): void {
    this.together(() => {
      const node = this.local.get(local);
      assert(node !== undefined && this.remote.get(local) === undefined, `${local} is only local`);
      assert(this.local.get(remote) === undefined, `${remote} is not yet local`);
      // One with a base was deleted on the server: it is now gone on both sides, and waits to be
      // settled.
      if (this.base.get(local) !== undefined) this.removeLocal(local);
      else {
        this.#deleteLocal(local);
        this.clearDirty(local);
      }
      const { parent, name, content, identity, stamp } = node;
      this.putLocal({ id: remote, parent, name, content, identity, stamp });
      for (const child of this.local.children(local)) {
        this.putLocal({ ...child, parent: remote });
      }
      this.run("UPDATE OR REPLACE conflict SET node = ?2 WHERE node = ?1", local, remote);
    });
  }

  clearBase(): void {
    this.together(() => {
      this.run(WRITE.localFromBase);
      this.run(WRITE.remoteFromBase);
      this.run("DELETE FROM local WHERE gone <> 0");
      this.run("DELETE FROM base");
      this.#rows.clear();
      this.markAllDirty();
    });
  }

  dirty(): readonly NodeId[] {
    const rows = this.all<{ id: NodeId }>("SELECT id FROM dirty ORDER BY id");
    // At rest nothing is looked up.
    if (rows.length === 0) this.#rows.clear();
    return rows.map((row) => row.id);
  }

  dirtyCount(): number {
    return this.#count("SELECT count(*) AS count FROM dirty");
  }

  dirtySome(newMax: number): readonly NodeId[] {
    return this.all<{ id: NodeId }>(READ.dirtySome, newMax).map((row) => row.id);
  }

  overlaid(): readonly NodeId[] {
    return this.all<{ id: NodeId }>(READ.overlaid).map((row) => row.id);
  }

  markAllDirty(): void {
    this.dirtyChanges += this.run(`INSERT OR IGNORE INTO dirty
      SELECT id FROM base UNION SELECT id FROM local UNION SELECT id FROM remote`);
  }

  markUnmaterialisedDirty(directories?: readonly NodeId[]): void {
    this.together(() => {
      if (directories === undefined) this.dirtyChanges += this.run(WRITE.unmaterialisedDirty);
      for (const id of directories ?? []) {
        this.dirtyChanges += this.run(WRITE.unmaterialisedDirtyBelow, id);
      }
    });
  }

  baseFileCount(): number {
    return this.#count("SELECT sum(nodes) AS count FROM base_count WHERE kind <> 1");
  }

  counts(): { files: number; directories: number; symlinks: number; dirty: number } {
    const counts = [0, 0, 0];
    const rows = this.all<{ kind: number; nodes: number }>(
      `SELECT kind, nodes FROM base_count
        UNION ALL SELECT kind, count(*) FROM local WHERE gone = 0 GROUP BY kind
        UNION ALL SELECT base.kind, -count(*) FROM local JOIN base USING (id) GROUP BY base.kind`,
    );
    for (const { kind, nodes } of rows) counts[kind] = (counts[kind] ?? 0) + nodes;
    const [files = 0, directories = 0, symlinks = 0] = counts;
    return { files, directories, symlinks, dirty: this.dirtyCount() };
  }

  checkpoint(): void {
    this.endReading();
    this.guarded(() => this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  close(): void {
    this.endReading();
    closeDatabase(this.#database, this.#readOnly || this.hasFailed);
  }

  #differsRemotely(id: NodeId): boolean {
    return this.#remoteRow(id) !== undefined;
  }

  #baseRow(id: NodeId): BaseNode | undefined {
    return this.#rows.base.read(id, () => {
      const row = this.one<BaseRow>(READ.base.get, id);
      return row === undefined ? undefined : decodeBase(row);
    });
  }

  #localRow(id: NodeId): OverlayRow | undefined {
    return this.#rows.local.read(id, () => {
      const row = this.one<LocalOverlayRow>(READ.localOverlay, id);
      return row === undefined ? undefined : { node: decodeLocal(row), gone: decodeGone(row) };
    });
  }

  #remoteRow(id: NodeId): RemoteNode | undefined {
    return this.#rows.remote.read(id, () => {
      const row = this.one<RemoteRow>(READ.remoteOverlay, id);
      return row === undefined ? undefined : decodeRemote(row);
    });
  }

  #writeBase(node: BaseNode): void {
    this.run(WRITE.base, ...encodeBase(node));
    this.#rows.base.forget(node.id);
  }

  #deleteBase(id: NodeId): void {
    if (this.#baseRow(id) === undefined) return;
    this.run("DELETE FROM base WHERE id = ?1", id);
    this.#rows.base.set(id, undefined);
  }

  #writeLocal(node: LocalNode, gone: OverlayRow["gone"]): void {
    this.run(WRITE.local, ...encodeLocal(node, gone));
    this.#rows.local.forget(node.id);
  }

  #deleteLocal(id: NodeId): void {
    if (this.#localRow(id) === undefined) return;
    this.run("DELETE FROM local WHERE id = ?1", id);
    this.#rows.local.set(id, undefined);
  }

  #writeRemote(node: RemoteNode): void {
    this.run(WRITE.remote, ...encodeRemote(node));
    this.#rows.remote.forget(node.id);
  }

  #deleteRemote(id: NodeId): void {
    if (this.#remoteRow(id) === undefined) return;
    this.run("DELETE FROM remote WHERE id = ?1", id);
    this.#rows.remote.set(id, undefined);
  }

  #count(sql: string): number {
    return this.one<{ count: number }>(sql)?.count ?? 0;
  }

  #view<Row, Node extends BaseNode | LocalNode | RemoteNode>(
    sql: { readonly child: string; readonly children: string },
    decode: (row: Row) => Node,
    get: (id: NodeId) => Node | undefined,
  ): TreeView<Node> {
    const decodeSome = (row: Row | undefined) => (row === undefined ? undefined : decode(row));
    return {
      get,
      child: (parent, name) => decodeSome(this.one<Row>(sql.child, parent, name)),
      children: (parent) => this.all<Row>(sql.children, parent).map(decode),
    };
  }
}
