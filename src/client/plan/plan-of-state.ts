/** Makes a plan from the three trees in the state. Rules: Y1, A21, R1-R20. */
import type { NodeId } from "../../core/identifier.ts";
import { parentPath } from "../../core/path.ts";
import { reconcile } from "../../core/reconcile.ts";
import type { Plan } from "../../core/transition.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { Scanner } from "../scan/scanner.ts";
import type { EarlierVersions } from "./earlier-versions.ts";

/** A plan for everything dirty or for a part of it. */
export interface PlannedPart {
  readonly plan: Plan;
  readonly isWhole: boolean;
}

export function planOfState(
  store: StateStore,
  dirty: readonly NodeId[],
  parts: { readonly scanner: Scanner; readonly device: string; readonly earlier: EarlierVersions },
): Plan {
  const { scanner, device, earlier } = parts;
  let withheld: ReadonlySet<string> | undefined;
  return reconcile({
    base: store.base,
    local: store.local,
    remote: store.remote,
    remoteRow: (id) => store.remoteRow(id),
    dirty,
    ignores: (path, isDirectory) => scanner.ignoreRules.ignores(path, isDirectory),
    withholds(path) {
      withheld ??= withheldIn(store);
      for (let at = path; at !== ""; at = parentPath(at)) if (withheld.has(at)) return true;
      return false;
    },
    device,
    isEarlier: (id, content) => earlier.has(id, content),
  });
}

function withheldIn(store: StateStore): ReadonlySet<string> {
  const withheld = store.problems().filter(({ code }) => code === "formerly_ignored");
  return new Set(withheld.map(({ path }) => path));
}
