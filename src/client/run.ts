/**
 * Runs a client on a folder: opens its state, recovers from the earlier run, meets the server, and
 * runs the loop. After trouble with this device's own files it begins again. Rules: D7, S4, Y3.
 */

import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN } from "../core/limits.ts";
import { FileSystemError } from "../ports/filesystem.ts";
import { recoverJournal } from "./apply/recover.ts";
import { recoverUnrecorded } from "./apply/recover-unrecorded.ts";
import { openState } from "./connect/join.ts";
import { isAbort } from "./connect/remote-log.ts";
import { Session } from "./connect/session.ts";
import { codeOfTrouble } from "./folder/disk-trouble.ts";
import { KEPT, readKept, writeKept } from "./folder/kept-values.ts";
import type { ClientOptions, ClientWorld, RunOutcome } from "./folder/options.ts";
import { StatusRecord, tellStatus } from "./folder/status-record.ts";
import { Loop, type LoopParts } from "./loop.ts";
import { Waking } from "./waking.ts";

/** With `once` the disk gets three tries. */
const ONCE_DISK_DELAY_MS_MAX = 2_000;

/**
 * Keeps the folder in sync until the signal aborts; with `once` until it is in sync.
 *
 * @throws {SyncedError} an error that a person must mend first: `server_changed`,
 * `unauthenticated`, `not_a_synced_server`, `folder_bound_elsewhere`, `folder_unusable`,
 * `data_newer`
 */
export async function runClient(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const { clock, observer } = world;
  let delayMs = RETRY_DELAY_MS_MIN;
  let told: string | undefined;
  let end: RunOutcome["end"] | "failed" = "failed";
  try {
    for (;;) {
      const startMs = clock.monotonic();
      try {
        const outcome = await runOnce(world, options, signal);
        end = outcome.end;
        return outcome;
      } catch (cause) {
        // Trouble with our own files (full, EIO, EMFILE). The client begins again as after a crash,
        // because recovery puts things right.
        if (!(cause instanceof FileSystemError)) throw cause;
        const error = new SyncedError(codeOfTrouble(cause), cause.message, { cause });
        if (options.once && delayMs > ONCE_DISK_DELAY_MS_MAX) throw error;
        if (clock.monotonic() - startMs > RETRY_DELAY_MS_MAX) {
          // It worked meanwhile, so the next trouble is news.
          told = undefined;
          delayMs = RETRY_DELAY_MS_MIN;
        }
        const { code, message } = error;
        if (!signal.aborted) tellStatus(world, message);
        if (told !== message) observer.emit({ event: "error", code, message });
        told = message;
        await clock.sleep(delayMs, signal);
        if (signal.aborted) return { end: "stopped", conflicts: 0, problems: 0, left: 0 };
        delayMs = Math.min(2 * delayMs, RETRY_DELAY_MS_MAX);
      }
    }
  } finally {
    observer.emit({
      event: "stopped",
      reason: signal.aborted ? "asked to" : end.replace("_", " "),
    });
  }
}

async function runOnce(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<RunOutcome> {
  const opened = openState(world, options);
  const waking = new Waking(world.clock);
  const session = new Session(world, options, { opened, wake: () => waking.wake() });
  const status = new StatusRecord(session.ports);
  const wake = (): void => waking.wake();
  signal.addEventListener("abort", wake);
  try {
    return await runJoined({ world, options, session, status, waking }, signal);
  } catch (cause) {
    if (!signal.aborted || !isAbort(cause)) throw cause;
    const problems = session.ports.store.problems().length;
    return { end: "stopped", conflicts: 0, problems, left: 0 };
  } finally {
    signal.removeEventListener("abort", wake);
    session.connection.close();
    endStatus(status, session);
    opened.store.close();
  }
}

/**
 * A failure here must not hide the error that ended the run. The folder's lock shows that no client
 * runs.
 */
function endStatus(status: StatusRecord, session: Session): void {
  try {
    status.set({ state: "stopped", head: session.log.head });
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
}

async function runJoined(parts: LoopParts, signal: AbortSignal): Promise<RunOutcome> {
  const { session, options } = parts;
  const { store } = session.ports;
  const { deviceName } = options;
  const isStateLost = readKept(store, KEPT.recovered) !== true;
  if (!isStateLost) {
    // Recovers before the log goes on, because the steps under way must be judged by what was
    // wanted then.
    await recoverJournal(session.ports, { deviceName });
    await recoverUnrecorded(session.ports, { deviceName });
  }
  if (!(await session.firstContact(signal))) {
    const end = signal.aborted ? "stopped" : "unreachable";
    return { end, conflicts: 0, problems: store.problems().length, left: 0 };
  }
  // After the state was lost, only the server can tell whose the bytes in staging are. Otherwise
  // this removes what the first contact itself has left there.
  const isInHistory = (digest: Digest) => session.isInHistory(digest, signal);
  await recoverJournal(session.ports, { deviceName, isStateLost, isInHistory });
  if (isStateLost) writeKept(store, KEPT.recovered, true);
  const loop = new Loop(parts);
  try {
    return await loop.run(signal);
  } finally {
    loop.close();
  }
}
