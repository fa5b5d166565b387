/**
 * `synced undo`: takes back what one device did, and keeps what others did. `--last` takes back the
 * latest plan of this device, a restoration or another undo. Rules: E10, X4.
 */
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import type { DeviceId } from "../core/identifier.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { printableName } from "../core/printable.ts";
import type { PastApi } from "../protocol/past-api.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { momentBefore } from "./moment.ts";
import { createOutput } from "./output.ts";
import { carryOut, planFlags } from "./planned.ts";
import { deviceNamed, openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "undo", description: "Take back what one device did, and keep what others did" },
  args: {
    path: { type: "positional", description: "Only at or below this path", required: false },
    device: textFlag("device", "NAME", "Whose changes"),
    since: textFlag("since", "MOMENT", "Since when: 2h, yesterday, an event"),
    last: switchFlag("last", "What this device's latest restore or undo did"),
    ...planFlags,
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const isLast = args.last && args.device === undefined && args.since === undefined;
    if (!isLast && (args.last || args.device === undefined || args.since === undefined)) {
      throw new SyncedError("usage", "Use either --device NAME with --since MOMENT, or --last");
    }
    const { api, path, device } = await openTarget(args, args.path ?? "");
    const overlaps = args["keep-both"] ? ({ overlaps: "keep-both" } as const) : {};
    const scope = path === "" ? {} : { path };
    if (isLast) {
      const { first, last } = await latestPlan(api, device);
      const request = { kind: "revert", first, last, of: "action", ...overlaps } as const;
      const purpose = `this takes back events ${first} to ${last}`;
      return await carryOut({ api, output, device, request, purpose }, args);
    }
    const whose = await deviceNamed(api, args.device ?? "");
    const { seq: since, shown } = await momentBefore({ api, output }, args.since ?? "");
    const where = path === "" ? "" : ` in ${printableName(path)}`;
    const request = { kind: "undo", device: whose, since, ...scope, ...overlaps } as const;
    const purpose = `this takes back what ${printableName(args.device ?? "")} did${where} since ${shown}`;
    return await carryOut({ api, output, device, request, purpose }, args);
  },
});

/** The events of the plan that a device did last. */
async function latestPlan(
  api: PastApi,
  device: DeviceId,
): Promise<{ readonly first: Sequence; readonly last: Sequence }> {
  let plan: { readonly approval: string; first: Sequence; last: Sequence } | undefined;
  let before: Sequence | undefined;
  do {
    const page = await api.log({ device, before, limit: HISTORY_ROWS_PER_PAGE_MAX });
    for (const { seq, lastSeq, approval } of page.rows) {
      if (plan === undefined) {
        if (approval !== undefined) plan = { approval, first: seq, last: lastSeq };
      } else if (plan.approval === approval) {
        // One row may begin within another: a changed file among files that were brought back.
        plan.first = Math.min(plan.first, seq);
        plan.last = Math.max(plan.last, lastSeq);
      } else return plan;
    }
    before = page.next;
  } while (before !== undefined);
  if (plan !== undefined) return plan;
  throw new SyncedError("not_found", "This device has done no restore or undo yet");
}
