/**
 * Ctrl-C and SIGTERM. The first one asks the work to end. A second one, or a time-out, ends the
 * process. It may end at any point, because the next start recovers as from a crash. Rules: D7,
 * H25.
 */
import { EXIT } from "../core/exit-code.ts";

/**
 * Open requests and transactions end long before. Anything slower is not waited for, so that the
 * process is gone within 2 s also on a busy machine.
 */
const FORCED_EXIT_AFTER_MS = 1_200;

const CODES = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

export interface Interruption {
  readonly signal: AbortSignal;
  /** 130 or 143 after an interruption, else undefined. */
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
