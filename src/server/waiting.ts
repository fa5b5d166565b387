/** Waits until devices have done what the log says up to an event. Rules: V8. */
import type { DeviceId, FolderName } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX, WAIT_SEEN_MS_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parseTime } from "../core/time.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeviceInfo, WaitAnswer } from "../protocol/messages.ts";
import type { Sequencer } from "./sequencer.ts";

export interface WaitRequest {
  /** @default the head */
  readonly seq?: Sequence | undefined;
  /** All: those that were seen lately, and are no browsers. */
  readonly device: DeviceId | "all";
  readonly withinMs: number;
}

export interface WaitPorts {
  readonly sequencer: Pick<Sequencer, "folder" | "devices" | "subscribeReports">;
  readonly clock: Clock;
}

/** Answers as soon as it is so, and when the time is over. */
export async function waitForDevices(
  { sequencer, clock }: WaitPorts,
  folder: FolderName,
  { request, signal }: { readonly request: WaitRequest; readonly signal: AbortSignal },
): Promise<WaitAnswer> {
  const endMs = clock.monotonic() + request.withinMs;
  let news = new AbortController();
  const end = () => news.abort();
  const unsubscribe = sequencer.subscribeReports(folder, end);
  signal.addEventListener("abort", end, { once: true });
  try {
    const { epoch, head } = await sequencer.folder(folder);
    const seq = request.seq ?? head;
    for (;;) {
      const devices = await awaitedDevices({ sequencer, clock }, folder, request.device);
      const reached = devices.filter((one) => hasReached(one, { epoch, seq })).length;
      const leftMs = endMs - clock.monotonic();
      const isReached = devices.length > 0 && reached === devices.length;
      if (isReached || leftMs <= 0 || signal.aborted) {
        return { seq, reached: isReached, devices: devices.map(shown) };
      }
      await clock.sleep(leftMs, news.signal);
      if (news.signal.aborted && !signal.aborted) news = new AbortController();
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", end);
  }
}

async function awaitedDevices(
  { sequencer, clock }: WaitPorts,
  folder: FolderName,
  wanted: DeviceId | "all",
): Promise<readonly DeviceInfo[]> {
  const found: DeviceInfo[] = [];
  let after: DeviceId | undefined;
  do {
    const limit = EVENTS_PER_PAGE_MAX;
    const page = await sequencer.devices(
      folder,
      after === undefined ? { limit } : { after, limit },
    );
    for (const one of page) {
      const ageMs = clock.now() - parseTime(one.seenTime);
      const isAwaited = one.kind !== "page" && ageMs <= WAIT_SEEN_MS_MAX;
      if (wanted === "all" ? isAwaited : one.device === wanted) found.push(one);
    }
    after = page.length < limit ? undefined : page.at(-1)?.device;
  } while (after !== undefined);
  return found;
}

/** A device of before, which does not say whether it is settled, has reached nothing. */
function hasReached(
  { applied, settled }: DeviceInfo,
  { epoch, seq }: { readonly epoch: string; readonly seq: Sequence },
): boolean {
  return settled === true && applied.epoch === epoch && applied.seq >= seq;
}

function shown({ device, name, applied, settled, seenTime }: DeviceInfo) {
  return { device, name, applied: applied.seq, settled: settled === true, seenTime };
}
