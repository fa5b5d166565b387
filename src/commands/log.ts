/** `synced log`: who did what in a folder. Rules: E5. */
import { setTimeout as sleep } from "node:timers/promises";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import type { DeviceId } from "../core/identifier.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { printableName } from "../core/printable.ts";
import { formatTime } from "../core/time.ts";
import { FILE_ACTIONS } from "../ports/event-sink.ts";
import type { PastApi, Query } from "../protocol/past-api.ts";
import type { LogRow } from "../protocol/time-answers.ts";
import { commonFlags, parseNumberFlag, switchFlag, textFlag } from "./flags.ts";
import { momentBefore } from "./moment.ts";
import { createOutput, isRead, type Output } from "./output.ts";
import { logLine } from "./shown-past.ts";
import { deviceNamed, openTarget, targetFlags } from "./target.ts";
import { parseTimeExpression } from "./time-expression.ts";

/** Enough for a screen or two; what is older is told of. */
const ROWS_DEFAULT = 100;
const FOLLOW_INTERVAL_MS = 1_000;

export const command = defineCommand({
  meta: { name: "log", description: "Say who did what in a folder, newest first" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: false },
    since: textFlag("since", "MOMENT", "Only what happened since then: 2h, yesterday, an event"),
    until: textFlag("until", "MOMENT", "Only what happened up to then"),
    device: textFlag("device", "NAME", "Only what this device did"),
    action: textFlag("action", "ACTION", `Only one of ${FILE_ACTIONS.join(", ")}`),
    limit: textFlag("limit", "N", `At most so many rows; default ${ROWS_DEFAULT} without --since`),
    follow: switchFlag("follow", "Oldest first, and go on with what happens"),
    csv: switchFlag("csv", "Comma-separated values"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { api, path } = await openTarget(args, args.path ?? "");
    const device = args.device === undefined ? undefined : await deviceNamed(api, args.device);
    const query = { path: path === "" ? undefined : path, device, action: actionOf(args.action) };
    const since =
      args.since === undefined ? undefined : await momentBefore({ api, output }, args.since);
    const limit = limitOf(args.limit, args.since !== undefined || args.follow);
    const print = args.csv ? printCsv() : (row: LogRow) => output.result(row, logLine(row));
    if (args.follow) {
      const after = since?.seq ?? (await api.head());
      return await follow(api, { query, after, print });
    }
    const before = args.until === undefined ? undefined : await beforeOf(api, args.until);
    const request = { query, since: since?.seq ?? 0, before, limit };
    const { rows, isWhole } = await readNewest(api, request, print);
    if (rows === 0) output.say("Nothing happened there");
    else if (!isWhole) sayMore(output, rows);
    return EXIT.done;
  },
});

function sayMore(output: Output, rows: number): void {
  output.say(`These are the latest ${rows}. More: --limit ${rows * 10}, or --since`);
}

function actionOf(text: string | undefined): string | undefined {
  const action = FILE_ACTIONS.find((one) => one === text);
  if (text === undefined || action !== undefined) return action;
  const claim = `expected one of ${FILE_ACTIONS.join(", ")}`;
  throw new SyncedError("usage", `Cannot use --action "${text}": ${claim}`);
}

function limitOf(text: string | undefined, isBounded: boolean): number {
  if (text === undefined) return isBounded ? Number.MAX_SAFE_INTEGER : ROWS_DEFAULT;
  return parseNumberFlag("limit", text, { min: 1, max: 1_000_000_000 });
}

/** The seq after the last event of that time; undefined if it is beyond the head. */
async function beforeOf(api: PastApi, text: string): Promise<Sequence> {
  const expression = parseTimeExpression(text, { nowMs: Date.now(), edge: "end" });
  if (expression.kind === "seq") return expression.seq + 1;
  return (await api.moment({ time: formatTime(expression.timeMs) })).seq + 1;
}

interface Filter {
  readonly query: Query & { readonly device: DeviceId | undefined };
}

async function readNewest(
  api: PastApi,
  request: Filter & {
    readonly since: Sequence;
    readonly before: Sequence | undefined;
    readonly limit: number;
  },
  print: (row: LogRow) => void,
): Promise<{ readonly rows: number; readonly isWhole: boolean }> {
  const { query, since, limit } = request;
  let { before } = request;
  let rows = 0;
  for (;;) {
    // One more than is wanted tells whether there are more.
    const wanted = Math.min(limit - rows + 1, HISTORY_ROWS_PER_PAGE_MAX);
    const page = await api.log({ ...query, before, limit: wanted });
    for (const row of page.rows) {
      if (row.lastSeq <= since) return { rows, isWhole: true };
      if (rows === limit) return { rows, isWhole: false };
      print(row);
      rows += 1;
    }
    const isOver = page.next === undefined || page.next <= since + 1;
    if (isOver || !(await isRead())) return { rows, isWhole: true };
    before = page.next;
  }
}

async function follow(
  api: PastApi,
  request: Filter & { readonly after: Sequence; readonly print: (row: LogRow) => void },
): Promise<number> {
  let { after } = request;
  const { query, print } = request;
  for (;;) {
    const page = await askAgain(() =>
      api.log({ ...query, after, limit: HISTORY_ROWS_PER_PAGE_MAX }),
    );
    for (const row of page.rows) print(row);
    if (!(await isRead())) return EXIT.done;
    if (page.next === undefined) {
      after = Math.max(after, page.seq);
      await sleep(FOLLOW_INTERVAL_MS);
    } else after = page.next;
  }
}

/** A server that is away for a while is no end. */
async function askAgain<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof SyncedError) || !error.kind.retriable) throw error;
      await sleep(FOLLOW_INTERVAL_MS);
    }
  }
}

const CSV_FIELDS = [
  "seq",
  "lastSeq",
  "time",
  "device",
  "deviceName",
  "action",
  "path",
  "from",
  "kind",
  "size",
  "count",
] as const;

/** RFC 4180, with a header. Spreadsheets run what begins with = + - @, so these get a quote. */
function printCsv(): (row: LogRow) => void {
  process.stdout.write(`${CSV_FIELDS.join(",")}\r\n`);
  return (row) => {
    const fields = CSV_FIELDS.map((field) => csvField(row[field]));
    process.stdout.write(`${fields.join(",")}\r\n`);
  };
}

/** A spreadsheet must not take a name for a formula, nor a terminal for a command. */
function csvField(value: string | number | undefined): string {
  const text = typeof value === "string" ? printableName(value) : `${value ?? ""}`;
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
  const shown = isFormula ? `'${text}` : text;
  return /[",]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}
