/**
 * The three trees of the client's database: one base table and two sparse overlays. It knows
 * nothing of the disk that the trees describe. Rules: S1, S2, S5, T1.
 */
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
import type { Adoption } from "../../core/transition.ts";
import type { TreeView } from "../../core/tree.ts";
import { NodeRows, type OverlayRow } from "./cache.ts";
import type { StateDatabase } from "./database.ts";
import type { DirtyMarks } from "./dirty.ts";
import {
  agrees,
  asLocal,
  asRemote,
  leastId,
  madeDurable,
  mergeVersions,
  sameRemote,
} from "./nodes.ts";
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

export class StateTrees {
  readonly #db: StateDatabase;
  readonly #dirty: DirtyMarks;
  /** Kept rows are true, because only this process writes. */
  readonly #rows: NodeRows;

  constructor(db: StateDatabase, dirty: DirtyMarks) {
    this.#db = db;
    this.#dirty = dirty;
    this.#rows = new NodeRows(db.isOwner);
    db.onRollback(() => this.#rows.clear());
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

  remoteRow(id: NodeId): RemoteNode | undefined {
    const own = this.#remoteRow(id);
    if (own !== undefined) return own;
    const base = this.#baseRow(id);
    return base === undefined ? undefined : asRemote(base);
  }

  /** The lowest of several ids is found here, because SQLite's sorter costs ten times the rest. */
  localByIdentity(identity: string): LocalNode | undefined {
    let least = leastId(this.#db.all<LocalRow>(READ.localByIdentity, identity));
    const based = leastId(this.#db.all<LocalRow>(READ.baseByIdentity, identity));
    if (least === undefined || (based !== undefined && based.id < least.id)) least = based;
    return least === undefined ? undefined : decodeLocal(least);
  }

  putLocal(node: LocalNode): void {
    this.#db.together(() => {
      const base = this.base.get(node.id);
      if (
        base === undefined ||
        !samePlace(base, node) ||
        !sameContent(base.content, node.content)
      ) {
        this.#writeLocal(node, undefined);
        this.#dirty.mark(node.id);
        return;
      }
      const { id, identity, stamp } = node;
      if (base.identity !== identity || base.stamp !== stamp) {
        this.#db.run(
          "UPDATE base SET identity = ?2, stamp = ?3 WHERE id = ?1",
          id,
          identity,
          stamp,
        );
        this.#rows.base.set(id, { ...base, identity, stamp });
      }
      this.#deleteLocal(id);
      if (this.#differsRemotely(id)) this.#dirty.mark(id);
      else this.#dirty.clear(id);
    });
  }

  agreeLocal(node: LocalNode): void {
    this.#db.together(() => {
      const { id } = node;
      const before = this.local.get(id);
      const remote = this.remote.get(id);
      const base = this.#baseRow(id);
      const isAgreed =
        remote !== undefined &&
        samePlace(node, remote) &&
        sameContent(node.content, remote.content);
      // The store had nothing of it, so all of it is this device's change.
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
    this.#db.together(() => {
      const base = this.base.get(id);
      if (base === undefined) this.#deleteLocal(id);
      else this.#writeLocal(asLocal(base), isSeen || this.wasSeenGoing(id) ? "seen" : "missed");
      this.#dirty.mark(id);
    });
  }

  wasSeenGoing(id: NodeId): boolean {
    return this.#localRow(id)?.gone === "seen";
  }

  putRemote(node: RemoteNode): void {
    this.#db.together(() => {
      const known = this.remoteRow(node.id);
      const merged = known === undefined ? node : mergeVersions(known, node);
      if (merged !== known) this.#putMerged(merged);
    });
  }

  agreeOwn(event: Event): void {
    this.#db.together(() => {
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

  /**
   * The log says that this device deleted the node. An entry that stands there again is a new node.
   */
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
    if (agreed !== base) this.#db.together(() => this.#takeOver(agreed, local, remote));
  }

  /** Sets the base. Both sides stay as they are, and the node is settled if nothing differs. */
  #takeOver(
    base: Omit<BaseNode, "identity" | "stamp">,
    local: LocalNode | undefined,
    remote: RemoteNode,
  ): void {
    const { id } = base;
    // The stamp of the agreed state is not known any more, so only the bytes tell whether it is
    // back.
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
    this.#dirty.mark(id);
  }

  clearRemote(): void {
    this.#db.together(() => {
      this.#dirty.markRemote();
      this.#db.run("DELETE FROM remote");
      this.#rows.clear();
    });
  }

  settle(id: NodeId): void {
    this.#db.together(() => {
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
      this.#dirty.clear(id);
    });
  }

  #settleAs({ id, identity, stamp }: LocalNode, remote: RemoteNode): void {
    const { parent, name, content, contentVersion, placeVersion } = remote;
    const versions = { contentVersion, placeVersion };
    this.#writeBase({ id, parent, name, content, identity, stamp, ...versions });
    this.#deleteLocal(id);
    this.#deleteRemote(id);
    this.#dirty.clear(id);
  }

  putBase(node: BaseNode): void {
    this.#db.together(() => {
      this.#writeBase(node);
      this.#dirty.mark(node.id);
    });
  }

  forget(id: NodeId): void {
    this.#db.together(() => {
      const remote = this.remoteRow(id);
      if (remote !== undefined) this.#writeRemote(remote);
      this.#deleteBase(id);
      this.#deleteLocal(id);
      this.#dirty.clear(id);
    });
  }

  adopt(adoptions: readonly Adoption[]): void {
    const ids = new Map(adoptions.map(({ local, remote }) => [local, remote]));
    this.#db.together(() => {
      for (const adoption of adoptions) this.#adopt(adoption, ids);
    });
  }

  #adopt({ local, remote }: Adoption, ids: ReadonlyMap<NodeId, NodeId>): void {
    const node = this.local.get(local);
    assert(node !== undefined && this.remote.get(local) === undefined, `${local} is only local`);
    assert(this.local.get(remote) === undefined, `${remote} is not yet local`);
    // A node with a base was deleted on the server. It is now gone on both sides, and waits to be
    // settled.
    if (this.base.get(local) !== undefined) this.removeLocal(local);
    else {
      this.#deleteLocal(local);
      this.#dirty.clear(local);
    }
    const { name, content, identity, stamp } = node;
    const parent = ids.get(node.parent) ?? node.parent;
    this.putLocal({ id: remote, parent, name, content, identity, stamp });
    for (const child of content.kind === "directory" ? this.local.children(local) : []) {
      if (!ids.has(child.id)) this.putLocal({ ...child, parent: remote });
    }
    this.#db.run("UPDATE OR REPLACE conflict SET node = ?2 WHERE node = ?1", local, remote);
  }

  clearBase(): void {
    this.#db.together(() => {
      this.#db.run(WRITE.localFromBase);
      this.#db.run(WRITE.remoteFromBase);
      this.#db.run("DELETE FROM local WHERE gone <> 0");
      this.#db.run("DELETE FROM base");
      this.#rows.clear();
      this.#dirty.markAll();
    });
  }

  /** Nothing is looked up at rest, so the rows may go. */
  forgetRows(): void {
    this.#rows.clear();
  }

  overlaid(): readonly NodeId[] {
    return this.#db.all<{ id: NodeId }>(READ.overlaid).map((row) => row.id);
  }

  baseFileCount(): number {
    return this.#count("SELECT sum(nodes) AS count FROM base_count WHERE kind <> 1");
  }

  counts(): { files: number; directories: number; symlinks: number; dirty: number } {
    const counts = [0, 0, 0];
    const rows = this.#db.all<{ kind: number; nodes: number }>(
      `SELECT kind, nodes FROM base_count
        UNION ALL SELECT kind, count(*) FROM local WHERE gone = 0 GROUP BY kind
        UNION ALL SELECT base.kind, -count(*) FROM local JOIN base USING (id) GROUP BY base.kind`,
    );
    for (const { kind, nodes } of rows) counts[kind] = (counts[kind] ?? 0) + nodes;
    const [files = 0, directories = 0, symlinks = 0] = counts;
    return { files, directories, symlinks, dirty: this.#dirty.count() };
  }

  #differsRemotely(id: NodeId): boolean {
    return this.#remoteRow(id) !== undefined;
  }

  #baseRow(id: NodeId): BaseNode | undefined {
    return this.#rows.base.read(id, () => {
      const row = this.#db.one<BaseRow>(READ.base.get, id);
      return row === undefined ? undefined : decodeBase(row);
    });
  }

  #localRow(id: NodeId): OverlayRow | undefined {
    return this.#rows.local.read(id, () => {
      const row = this.#db.one<LocalOverlayRow>(READ.localOverlay, id);
      return row === undefined ? undefined : { node: decodeLocal(row), gone: decodeGone(row) };
    });
  }

  #remoteRow(id: NodeId): RemoteNode | undefined {
    return this.#rows.remote.read(id, () => {
      const row = this.#db.one<RemoteRow>(READ.remoteOverlay, id);
      return row === undefined ? undefined : decodeRemote(row);
    });
  }

  #writeBase(node: BaseNode): void {
    this.#db.run(WRITE.base, ...encodeBase(node));
    this.#rows.base.forget(node.id);
  }

  #deleteBase(id: NodeId): void {
    if (this.#baseRow(id) === undefined) return;
    this.#db.run("DELETE FROM base WHERE id = ?1", id);
    this.#rows.base.set(id, undefined);
  }

  #writeLocal(node: LocalNode, gone: OverlayRow["gone"]): void {
    this.#db.run(WRITE.local, ...encodeLocal(node, gone));
    this.#rows.local.forget(node.id);
  }

  #deleteLocal(id: NodeId): void {
    if (this.#localRow(id) === undefined) return;
    this.#db.run("DELETE FROM local WHERE id = ?1", id);
    this.#rows.local.set(id, undefined);
  }

  #writeRemote(node: RemoteNode): void {
    this.#db.run(WRITE.remote, ...encodeRemote(node));
    this.#rows.remote.forget(node.id);
  }

  #deleteRemote(id: NodeId): void {
    if (this.#remoteRow(id) === undefined) return;
    this.#db.run("DELETE FROM remote WHERE id = ?1", id);
    this.#rows.remote.set(id, undefined);
  }

  #count(sql: string): number {
    return this.#db.one<{ count: number }>(sql)?.count ?? 0;
  }

  #view<Row, Node extends BaseNode | LocalNode | RemoteNode>(
    sql: { readonly child: string; readonly children: string },
    decode: (row: Row) => Node,
    get: (id: NodeId) => Node | undefined,
  ): TreeView<Node> {
    const decodeSome = (row: Row | undefined) => (row === undefined ? undefined : decode(row));
    return {
      get,
      child: (parent, name) => decodeSome(this.#db.one<Row>(sql.child, parent, name)),
      children: (parent) => this.#db.all<Row>(sql.children, parent).map(decode),
    };
  }
}
