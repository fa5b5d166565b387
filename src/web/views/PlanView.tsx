/** A plan before it is done: what would change, whose work that is, and what is left alone. */
import { useState } from "preact/hooks";
import type { PlanAnswer, PlanOverlap, PlanStep } from "../../protocol/plan-messages.ts";
import { deviceName } from "../model/devices.ts";
import { carryOut, showMore, shownPlan } from "../model/plans.ts";
import { clearSelection } from "../model/selection.ts";
import { countText, numberText, sizeText, timeText } from "../model/words.ts";
import { Dialog } from "../parts/Dialog.tsx";
import { Path } from "../parts/Name.tsx";

const OVERLAPS_DRAWN = 200;

const SIGNS: Readonly<Record<PlanStep["what"], readonly [string, string]>> = {
  create: ["+", "added"],
  revive: ["+", "added"],
  write: ["~", "modified"],
  move: ["→", "moved"],
  delete: ["−", "removed"],
};

const REASONS: Readonly<Record<PlanOverlap["why"], string>> = {
  built_upon: "others built on it",
  changed_later: "the same device changed it later",
  holds_others: "it holds work of others",
  name_taken: "its name is taken",
  deleted_by_others: "others had deleted it",
  version_gone: "the server keeps its bytes no more",
  inside_itself: "it would be inside itself",
  changed_since: "it changed since",
};

export function PlanView({ onClose }: { readonly onClose: () => void }) {
  const [isBusy, setBusy] = useState(false);
  const { value: shown } = shownPlan;
  if (shown === undefined) return null;
  const { wish, title, plan, trouble } = shown;
  const go = async () => {
    if (plan === undefined) return;
    setBusy(true);
    if (await carryOut(wish, plan, title)) clearSelection();
    setBusy(false);
  };
  return (
    <Dialog title={title} onClose={onClose} isWide>
      {trouble === undefined ? null : (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      {plan === undefined && trouble === undefined ? <p class="faint">Looking…</p> : null}
      {plan === undefined ? null : (
        <Shown plan={plan} onMore={() => void showMore(wish, plan, title)} />
      )}
      <div class="dialog-buttons">
        <button type="button" onClick={onClose}>
          {plan?.total === 0 ? "Close" : "Cancel"}
        </button>
        {plan === undefined || plan.total === 0 ? null : (
          <button
            type="button"
            class={wish.kind === "delete" ? "danger" : "primary"}
            disabled={isBusy}
            onClick={() => void go()}
          >
            Do exactly this
          </button>
        )}
      </div>
    </Dialog>
  );
}

function Shown({ plan, onMore }: { readonly plan: PlanAnswer; readonly onMore: () => void }) {
  const { others, overlaps, steps, total } = plan;
  return (
    <div class="plan">
      <p>{sentence(plan)}</p>
      {others.length === 0 ? null : (
        <p class="warning">
          This also takes back later work of others:{" "}
          {others
            .map(
              (each) =>
                `${countText(each.changes, "change")} by ${deviceName(each.device, each.deviceName)}`,
            )
            .join(", ")}
          .
        </p>
      )}
      {overlaps.length === 0 ? null : (
        <section>
          <h3>Not simply as it was ({numberText(overlaps.length)})</h3>
          <ul class="steps">
            {overlaps.slice(0, OVERLAPS_DRAWN).map((overlap) => (
              <li key={overlap.node}>
                <Path path={overlap.path} />
                <span class="faint">{reasonOf(overlap)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {steps.length === 0 ? null : (
        <ul class="steps">
          {steps.map((step, index) => (
            <Step key={`${step.node}/${index}`} step={step} />
          ))}
          {total > steps.length ? (
            <li>
              <button type="button" class="small" onClick={onMore}>
                Show more of the other {numberText(total - steps.length)}
              </button>
            </li>
          ) : null}
        </ul>
      )}
    </div>
  );
}

function reasonOf({ why, by }: PlanOverlap): string {
  if (by === undefined) return REASONS[why];
  return `${REASONS[why]} (${deviceName(by.device, by.deviceName)}, ${timeText(by.time)})`;
}

function Step({ step }: { readonly step: PlanStep }) {
  const [sign, name] = SIGNS[step.what];
  return (
    <li>
      <span>
        <span class={`sign ${name}`}>{sign}</span>{" "}
        {step.from === undefined || step.from === step.path ? null : (
          <>
            <Path path={step.from} /> →{" "}
          </>
        )}
        <Path path={step.kind === "directory" ? `${step.path}/` : step.path} />
      </span>
      <span class="faint">{step.size === undefined ? "" : sizeText(step.size)}</span>
    </li>
  );
}

/** "As of event 1,240: 54 come back, 2 get their bytes back, 1 is deleted." */
function sentence({ head, summary, total }: PlanAnswer): string {
  const { created, revived, written, moved, deleted, bytes } = summary;
  const parts = [
    [revived, "come back"],
    [created, "are made anew"],
    [written, "get their bytes back"],
    [moved, "go back to their place"],
    [deleted, "are deleted"],
  ] as const;
  const said = parts
    .filter(([count]) => count > 0)
    .map(([count, verb]) => `${numberText(count)} ${count === 1 ? singular(verb) : verb}`);
  if (total === 0) return `As of event ${numberText(head)} nothing is to be done.`;
  const size = bytes > 0 ? ` (${sizeText(bytes)})` : "";
  return `As of event ${numberText(head)}: ${said.join(", ")}${size}. The history keeps all of it.`;
}

function singular(verb: string): string {
  const words: Readonly<Record<string, string>> = {
    "come back": "comes back",
    "are made anew": "is made anew",
    "get their bytes back": "gets its bytes back",
    "go back to their place": "goes back to its place",
    "are deleted": "is deleted",
  };
  return words[verb] ?? verb;
}
