/**
 * Decoded rows of the client's database that were read lately. One reconcile reads the same node,
 * and the directories above it, dozens of times. Rules: T1, S1.
 */
import type { NodeId } from "../../core/identifier.ts";
import type { BaseNode, LocalNode, RemoteNode } from "../../core/node.ts";

/** A row of the local overlay. */
export interface OverlayRow {
  readonly node: LocalNode;
  /** Set if it hides its base row, because the node's going was seen or it was missed later. */
  readonly gone: "seen" | "missed" | undefined;
}

/**
 * Rows of one table, about 700 bytes each. So many nodes may wait that each piece of news plans all
 * of them again, and reading them from the tables costs four times as much.
 */
const ROWS_MAX = 16_384;

/** One table's rows, and ids that are known not to be in it. */
class TableRows<Row> {
  readonly #rows = new Map<NodeId, Row | undefined>();
  readonly #isKept: boolean;

  constructor(isKept: boolean) {
    this.#isKept = isKept;
  }

  read(id: NodeId, load: () => Row | undefined): Row | undefined {
    const known = this.#rows.get(id);
    if (known !== undefined || this.#rows.has(id)) return known;
    const row = load();
    this.set(id, row);
    return row;
  }

  set(id: NodeId, row: Row | undefined): void {
    if (!this.#isKept) return;
    if (this.#rows.size >= ROWS_MAX) this.#rows.clear();
    this.#rows.set(id, row);
  }

  forget(id: NodeId): void {
    this.#rows.delete(id);
  }

  clear(): void {
    // Every turn calls this, also at rest.
    if (this.#rows.size > 0) this.#rows.clear();
  }
}

/** @param isKept false if another process writes. */
export class NodeRows {
  readonly base: TableRows<BaseNode>;
  readonly local: TableRows<OverlayRow>;
  readonly remote: TableRows<RemoteNode>;

  constructor(isKept: boolean) {
    this.base = new TableRows(isKept);
    this.local = new TableRows(isKept);
    this.remote = new TableRows(isKept);
  }

  clear(): void {
    this.base.clear();
    this.local.clear();
    this.remote.clear();
  }
}
