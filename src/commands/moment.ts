/** From a person's words to an event, and back: what was understood is always said. Rules: E6. */
import { SyncedError } from "../core/error.ts";
import type { Sequence } from "../core/node.ts";
import { formatTime } from "../core/time.ts";
import type { PastApi } from "../protocol/past-api.ts";
import type { Output } from "./output.ts";
import { parseTimeExpression, shownMoment } from "./time-expression.ts";

export interface Moment {
  readonly seq: Sequence;
  /** `event 1,179 (Fri 2026-11-27 18:00:00 +01:00)`. */
  readonly shown: string;
}

interface Asked {
  readonly api: PastApi;
  readonly output: Output;
}

/**
 * The folder as of a moment: the last event by then.
 *
 * @throws {SyncedError} `usage`; `not_found` if the log has no event by then
 */
export async function momentAt({ api, output }: Asked, text: string): Promise<Moment> {
  const moment = await resolveMoment(api, parseNow(text, "end"));
  if (moment === undefined) throw await noEventBy(api, text);
  output.say(`As of ${moment.shown}`);
  return moment;
}

/** The last event before a moment: what came after it happened since then. */
export async function momentBefore({ api, output }: Asked, text: string): Promise<Moment> {
  const expression = parseNow(text, "beginning");
  if (expression.kind === "seq") {
    const moment = await resolveMoment(api, expression);
    const { seq, shown } = moment ?? { seq: 0, shown: "the beginning" };
    output.say(`Since ${shown}`);
    return { seq, shown };
  }
  const { seq } = await api.moment({ time: formatTime(expression.timeMs - 1) });
  const shown = shownMoment(expression.timeMs);
  output.say(`Since ${shown}, after event ${seq.toLocaleString("en")}`);
  return { seq, shown };
}

function parseNow(text: string, edge: "beginning" | "end") {
  return parseTimeExpression(text, { nowMs: Date.now(), edge });
}

async function resolveMoment(
  api: PastApi,
  expression: ReturnType<typeof parseTimeExpression>,
): Promise<Moment | undefined> {
  if (expression.kind === "seq") {
    const head = await api.head();
    if (expression.seq > head) {
      const claim = `the last one is ${head.toLocaleString("en")}`;
      throw new SyncedError("not_found", `There is no event ${expression.seq} yet: ${claim}`);
    }
  }
  const answer = await api.moment(
    expression.kind === "seq" ? { seq: expression.seq } : { time: formatTime(expression.timeMs) },
  );
  if (answer.seq === 0 || answer.time === undefined) return undefined;
  const time = expression.kind === "seq" ? answer.time : expression.timeMs;
  const shown = `event ${answer.seq.toLocaleString("en")} (${shownMoment(time)})`;
  return { seq: answer.seq, shown };
}

async function noEventBy(api: PastApi, text: string): Promise<SyncedError> {
  const first = (await api.head()) === 0 ? undefined : await api.moment({ seq: 1 });
  const claim =
    first?.time === undefined
      ? "nothing ever happened in this folder"
      : `its first event is of ${shownMoment(first.time)}`;
  return new SyncedError("not_found", `This folder was not there yet at "${text}": ${claim}`);
}
