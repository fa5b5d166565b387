/**
 * Ctrl-C and SIGTERM: the first one asks the work to end, the second one ends the process, and so
 * does waiting. Ending at once is always safe: a crash at any point is recovered from. Rules: D7.
 */
import { EXIT } from "../core/exit-code.ts";

/** Open requests and transactions end long before; what does not is not waited for. */
const FORCED_EXIT_AFTER_MS = 2_000;

const CODES = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

export interface Interruption {
  readonly signal: AbortSignal;
  /** 130 or 143 once interrupted. */
  exitCode(): number | undefined;
}

export function onInterruption(say: (text: string) => void): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  for (const [name, code] of Object.entries(CODES)) {
    process.on(name, () => {
      if (exitCode !== undefined) process.exit(exitCode);
      exitCode = code;
      say("Stopping");
      controller.abort();
      setTimeout(() => process.exit(code), FORCED_EXIT_AFTER_MS).unref();
    });
  }
  return { signal: controller.signal, exitCode: () => exitCode };
}
