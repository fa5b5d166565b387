/** `synced diff`: what differs between two moments of a folder. Rules: E4. */
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import type { DiffAnswer } from "../protocol/time-answers.ts";
import { commonFlags, switchFlag } from "./flags.ts";
import { momentAt } from "./moment.ts";
import { createOutput, isRead } from "./output.ts";
import { diffLine } from "./shown-past.ts";
import { openTarget, targetFlags } from "./target.ts";
import { textDiff } from "./text-diff.ts";
import { readTimeExpression } from "./time-expression.ts";

/** A screen or two, which come before the rest is read. */
const ROWS_FIRST = 100;

export const command = defineCommand({
  meta: { name: "diff", description: "Say what differs between two moments" },
  args: {
    from: { type: "positional", description: "The earlier moment", required: true },
    to: { type: "positional", description: "The later moment; default: now", required: false },
    path: { type: "positional", description: "A path in the folder", required: false },
    stat: switchFlag("stat", "Only how much"),
    text: switchFlag("text", "With the lines of text files that differ"),
    "exit-code": switchFlag("exit-code", "Exit 3 if anything differs"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    if (args.text && (args.json || args.stat)) {
      throw new SyncedError("usage", "Cannot use --text together with --json or --stat");
    }
    const output = createOutput(args);
    const { later, place } = sort(args.to, args.path);
    const { api, path } = await openTarget(args, place ?? "");
    const from = await momentAt({ api, output }, args.from);
    const to = later === undefined ? undefined : await momentAt({ api, output }, later);
    const query = { from: from.seq, path: path === "" ? undefined : path };
    const first = args.stat ? 1 : ROWS_FIRST;
    let page = await api.diff({ ...query, to: to?.seq, limit: first });
    const { summary } = page;
    const moments = { from: page.from, to: page.to };
    const isSame = page.entries.length === 0;
    if (args.stat) {
      output.result({ ...moments, ...summary }, `${summaryLine(page)}`);
      return args["exit-code"] && !isSame ? EXIT.problems : EXIT.done;
    }
    for (;;) {
      for (const entry of page.entries) {
        const text = args.text ? await textDiff(api, entry) : undefined;
        if (text === undefined) output.result(entry, diffLine(entry));
        else if (!(await isRead(new TextEncoder().encode(text)))) return EXIT.done;
      }
      if (page.next === undefined || !(await isRead())) break;
      const rest = { offset: page.next, limit: HISTORY_ROWS_PER_PAGE_MAX };
      page = await api.diff({ ...query, to: moments.to, ...rest });
    }
    output.say(isSame ? "Nothing differs" : summaryLine({ ...page, summary }));
    return args["exit-code"] && !isSame ? EXIT.problems : EXIT.done;
  },
});

/** One argument after the first is a moment if it reads as one; `./friday` is a path. */
function sort(
  to: string | undefined,
  path: string | undefined,
): { readonly later?: string | undefined; readonly place?: string | undefined } {
  if (to === undefined || path !== undefined) return { later: to, place: path };
  const expression = readTimeExpression(to, { nowMs: Date.now(), edge: "end" });
  return expression === undefined ? { place: to } : { later: to };
}

function summaryLine({ from, to, summary }: DiffAnswer): string {
  const { added, modified, moved, removed } = summary;
  const counts = { added, modified, moved, removed };
  const parts = Object.entries(counts).map(
    ([what, count]) => `${count.toLocaleString("en")} ${what}`,
  );
  const [one, other] = [from, to].map((seq) => seq.toLocaleString("en"));
  return `From event ${one} to ${other}: ${parts.join(", ")}`;
}
