/**
 * Answers: takes the server's answer to each posted group into the state. Rules: O1, O2, Y4, I43.
 *
 * A refusal is not an error. Its reason is in the log, and the next plan knows of it. It becomes a
 * problem of its path only if the server refuses again without any news, or for good.
 */
import { SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { type RemoteNode, sameContent, samePlace } from "../../core/node.ts";
import type { Group, GroupResult, Op } from "../../core/op.ts";
import { pathOf } from "../../core/tree.ts";
import type { RemoteLog } from "../connect/remote-log.ts";
import { FINAL_REFUSALS } from "../folder/lasting-trouble.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { DeferredNodes } from "../plan/deferred.ts";

/** After so many refusals without news from the log it is a problem of that path. */
const REFUSALS_MAX = 3;

export interface AnswerParts {
  readonly ports: ClientPorts;
  readonly log: RemoteLog;
  readonly deferred: DeferredNodes;
}

export class Answers {
  readonly #parts: AnswerParts;
  readonly #refusals = new Map<NodeId, { readonly count: number; readonly head: number }>();

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** Call it before the answer is folded, because a deleted node has no path after that. */
  pathsOf(groups: readonly Group[]): ReadonlyMap<NodeId, string | undefined> {
    return new Map(groups.flat().map(({ node }) => [node, this.#lastPathOf(node)]));
  }

  /** @param paths the result of `pathsOf`. */
  take(
    groups: readonly Group[],
    results: readonly GroupResult[],
    paths: ReadonlyMap<NodeId, string | undefined>,
  ): void {
    this.#parts.ports.store.transaction(() => {
      for (const [i, result] of results.entries()) this.#takeResult(groups[i] ?? [], result, paths);
    });
  }

  /**
   * Checks that the log holds what was accepted. Otherwise the op would be posted again and again.
   *
   * @throws {SyncedError} `protocol_violation`
   */
  checkAccepted(groups: readonly Group[], results: readonly GroupResult[]): void {
    for (const [i, result] of results.entries()) {
      if (result.status !== "accepted") continue;
      const { seqs } = result;
      for (const [at, op] of (groups[i] ?? []).entries()) {
        const row = this.#parts.ports.store.remoteRow(op.node);
        // The state forgets a node that is gone on both sides.
        const isHeld = row === undefined ? op.kind === "delete" : holds(row, op, seqs[at] ?? 0);
        if (isHeld) continue;
        const message = "Cannot go on: the server's log does not have what it accepted";
        throw new SyncedError("protocol_violation", message);
      }
    }
  }

  #takeResult(
    group: Group,
    result: GroupResult,
    paths: ReadonlyMap<NodeId, string | undefined>,
  ): void {
    const { ports, log, deferred } = this.#parts;
    if (result.status === "accepted") {
      for (const op of group) {
        this.#refusals.delete(op.node);
        const path = paths.get(op.node);
        ports.observer.emit({ event: "change", direction: "up", kind: op.kind, path: path ?? "" });
        if (path !== undefined) ports.store.setProblem(path, undefined);
      }
      // O14: the user makes room. What others delete is found by the next try.
      if (group.some(({ kind }) => kind === "delete")) deferred.release("quota_exceeded");
      return;
    }
    const op = group[result.op] ?? group[0];
    if (op === undefined) return;
    const { current } = result;
    if (current?.deleted === true && this.#isNewTombstone(current, op)) {
      // A snapshot does not contain deleted nodes. After a re-join this device learns of a
      // tombstone only here. On top of it the node is revived (O2).
      ports.store.putRemote(current);
      return;
    }
    const before = this.#refusals.get(op.node);
    const count = before !== undefined && before.head === log.head ? before.count + 1 : 1;
    this.#refusals.set(op.node, { count, head: log.head });
    const isFinal = FINAL_REFUSALS.has(result.code);
    if (isFinal || count >= REFUSALS_MAX) deferred.tell(op.node, result.code, result.detail);
  }

  /** A tombstone from after the cursor comes by the log. Only that could not be taken back. */
  #isNewTombstone({ id, contentVersion, placeVersion }: RemoteNode, op: Op): boolean {
    const { store } = this.#parts.ports;
    const seq = store.cursor()?.seq ?? 0;
    if (id !== op.node || Math.max(contentVersion, placeVersion) > seq) return false;
    return store.remoteRow(id) === undefined;
  }

  /** The node's path; if both sides have lost it, its last one. */
  #lastPathOf(id: NodeId): string | undefined {
    const { local, remote, base } = this.#parts.ports.store;
    return pathOf(local, id) ?? pathOf(remote, id) ?? pathOf(base, id);
  }
}

/** True if the node is as the op made it with event `seq`, or was changed again later. */
function holds(row: RemoteNode, op: Op, seq: number): boolean {
  const { contentVersion, placeVersion } = row;
  if (Math.max(contentVersion, placeVersion) < seq) return false;
  if (op.kind === "delete") return row.deleted || contentVersion > seq || placeVersion > seq;
  const isPlaced = op.kind === "modify" || placeVersion > seq || samePlace(row, op);
  return (
    isPlaced && (op.kind === "move" || contentVersion > seq || sameContent(row.content, op.content))
  );
}
