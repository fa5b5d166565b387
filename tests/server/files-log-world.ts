/** A sequencer whose log is followed, with time that runs a hundred times as fast. */
import type { Cursor } from "../../src/core/event.ts";
import type { Content } from "../../src/core/node.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { EventSink, FilesLogRow } from "../../src/ports/event-sink.ts";
import {
  type FilesLog,
  type FilesLogNotice,
  startFilesLog,
} from "../../src/server/files-log-follower.ts";
import { chunkOf, countingRandom, type ServerWorld } from "./server-world.ts";

const SPEED = 100;

export const fastClock: Clock = {
  now: () => performance.now() * SPEED,
  monotonic: () => performance.now() * SPEED,
  sleep(delayMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const timer = setTimeout(resolve, delayMs / SPEED);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  },
  yield: () => new Promise((resolve) => setImmediate(resolve)),
};

export interface Followed {
  readonly filesLog: FilesLog;
  readonly notices: FilesLogNotice[];
  /** How often it began to look at the heads. */
  looks(): number;
}

export function follow(
  { sequencer, metadata }: ServerWorld,
  sink: EventSink,
  clock = fastClock,
): Followed {
  const notices: FilesLogNotice[] = [];
  let looks = 0;
  const filesLog = startFilesLog({
    sequencer: {
      ...sequencer,
      folders: (page) => {
        looks += 1;
        return sequencer.folders(page);
      },
    },
    metadata,
    sink,
    clock,
    random: countingRandom(),
    onNotice: (notice) => notices.push(notice),
  });
  return { filesLog, notices, looks: () => looks };
}

/** Looks often, for at most a minute. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** All events that there are now are written. */
export async function caughtUp({ filesLog, looks }: Followed): Promise<void> {
  const begin = looks();
  await until("nothing is behind", () => {
    // The look before the last one began after now and is done.
    if (looks() < begin + 2) return false;
    const { connected, lag } = filesLog.status();
    return connected && lag.size > 0 && [...lag.values()].every((events) => events === 0);
  });
}

export function fileOf(text: string, more: { executable?: boolean; mtimeNs?: string } = {}) {
  const { digest, bytes } = chunkOf(text);
  return {
    kind: "file",
    manifest: digest,
    depth: 0,
    sha256: digest,
    size: bytes.length,
    executable: false,
    mtimeNs: "0",
    ...more,
  } as const satisfies Content;
}

/** What a gap, a double or a swap would show. */
export function seqsOf(rows: readonly FilesLogRow[]): number[] {
  return rows.map(({ seq }) => seq);
}

export function oneTo(cursor: Cursor): number[] {
  return Array.from({ length: cursor.seq }, (_, index) => index + 1);
}
