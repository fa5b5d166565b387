/** Approvals that came with others' events. Rules: G4. */
import { expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { OthersApprovals } from "../../src/client/connect/others-approvals.ts";
import { type NodeId, parseId } from "../../src/core/identifier.ts";
import { override } from "../sim/sim-override.ts";

function ids(from: number, count: number): NodeId[] {
  return Array.from({ length: count }, (_, index) => {
    return parseId<NodeId>((from + index).toString(16).padStart(32, "0"));
  });
}

test("approvals of many pages outlive a restart, and are written once each, until they are done [G4]", () => {
  const store = openStateStore(":memory:");
  let written = 0;
  const counted = override(store, {
    setValue: (key: string, value: unknown) => {
      written += Array.isArray(value) ? value.length : 0;
      store.setValue(key, value);
    },
  });
  const approvals = new OthersApprovals(counted);
  for (let page = 0; page < 50; page += 1) approvals.add(ids(100 * page, 110));
  expect(written).toBe(5_010);

  const reopened = new OthersApprovals(store);
  expect(ids(0, 5_010).every((id) => reopened.has(id))).toBe(true);
  expect(reopened.has(parseId<NodeId>("f".repeat(32)))).toBe(false);
  reopened.clear();
  expect(ids(0, 1).some((id) => reopened.has(id))).toBe(false);
  expect(ids(0, 5_010).some((id) => new OthersApprovals(store).has(id))).toBe(false);
  store.close();
});
