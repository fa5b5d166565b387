/**
 * Work that relies on the objects which a folder knows begins again when some were forgotten
 * meanwhile. Rules: U3, I36.
 */
import { SyncedError } from "../core/error.ts";
import { COMMIT_ATTEMPTS_MAX } from "../core/limits.ts";
import type { SequencerPorts } from "./ports.ts";

/** Thrown inside such work. Nobody else sees it. */
export class ObjectsMoved extends Error {}

/** A sweep takes milliseconds. So does each of these pauses, and all of them two seconds. */
const PAUSE_STEP_MS = 4;

/**
 * Runs `work` with the objects' version, until it neither throws `ObjectsMoved` nor returns
 * undefined because others came first.
 *
 * @throws {SyncedError} `temporarily_unavailable` if that does not happen
 */
export async function withObjectsVersion<Result>(
  { metadata, clock }: SequencerPorts,
  work: (version: number) => Promise<Result | undefined>,
): Promise<Result> {
  for (let attempt = 1; attempt <= COMMIT_ATTEMPTS_MAX; attempt += 1) {
    try {
      const result = await work(await metadata.objectRecords.version());
      if (result !== undefined) return result;
    } catch (error) {
      if (!(error instanceof ObjectsMoved)) throw error;
      await clock.sleep(attempt * PAUSE_STEP_MS);
    }
  }
  const claim = `others came first ${COMMIT_ATTEMPTS_MAX} times`;
  throw new SyncedError("temporarily_unavailable", `Cannot write now: ${claim}`);
}
