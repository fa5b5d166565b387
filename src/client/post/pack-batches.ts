/** Packs groups of ops into the batches that are posted. Rules: O1, O5, G4, H4. */
import { SyncedError } from "../../core/error.ts";
import type { BatchId, DeviceId, NodeId, OpId } from "../../core/identifier.ts";
import { OPS_PER_BATCH_MAX } from "../../core/limits.ts";
import type { Batch, Op } from "../../core/op.ts";
import type { OpDraft } from "../../core/transition.ts";
import type { ClientPorts } from "../folder/ports.ts";

interface PackContext {
  readonly ports: Pick<ClientPorts, "random" | "store">;
  readonly device: DeviceId;
  readonly approvalOf: (id: NodeId) => string | undefined;
}

/**
 * Keeps the order. Each batch carries at most one approval, and the cursor of the moment when it is
 * taken.
 */
export function* packBatches(
  { ports, device, approvalOf }: PackContext,
  groups: readonly (readonly OpDraft[])[],
): Generator<Batch> {
  const { random, store } = ports;
  const batchId = random.id<BatchId>();
  let current: Op[][] = [];
  let size = 0;
  let approval: string | undefined;
  const close = (): Batch => {
    const cursor = store.cursor();
    if (cursor === undefined) throw new SyncedError("internal", "Cannot post without a cursor");
    const batch = { device, batch: batchId, cursor, groups: current };
    return approval === undefined ? batch : { ...batch, approval };
  };
  for (const group of groups) {
    const groupApproval = approvalOfGroup(approvalOf, group);
    const isFull = size + group.length > OPS_PER_BATCH_MAX || groupApproval !== approval;
    if (current.length > 0 && isFull) {
      yield close();
      current = [];
      size = 0;
    }
    approval = groupApproval;
    current.push(group.map((draft) => ({ ...draft, opId: random.id<OpId>() })));
    size += group.length;
  }
  if (current.length > 0) yield close();
}

function approvalOfGroup(
  approvalOf: PackContext["approvalOf"],
  group: readonly OpDraft[],
): string | undefined {
  for (const { node } of group) {
    const approval = approvalOf(node);
    if (approval !== undefined) return approval;
  }
  return undefined;
}
