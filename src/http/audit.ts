/**
 * Tells a person of each use of an endpoint for admins, tried ones too. Rules: K14. A flood of uses
 * must not fill a disk with its own lines: what is left out is counted.
 */
import { AUDIT_LINES_MAX, AUDIT_WINDOW_MS } from "../core/limits.ts";
import type { AdminUse, RouterOptions } from "./endpoint.ts";

const AUDIT_PATH_LENGTH_MAX = 200;

export class Audit {
  readonly #options: Pick<RouterOptions, "clock" | "onAdminUse">;
  #sinceMs = 0;
  #told = 0;
  #untold = 0;

  constructor(options: Pick<RouterOptions, "clock" | "onAdminUse">) {
    this.#options = options;
  }

  note(use: Omit<AdminUse, "untold">): void {
    const { clock, onAdminUse } = this.#options;
    const nowMs = clock.monotonic();
    if (nowMs - this.#sinceMs >= AUDIT_WINDOW_MS) {
      this.#sinceMs = nowMs;
      this.#told = 0;
    }
    if (this.#told >= AUDIT_LINES_MAX) {
      this.#untold += 1;
      return;
    }
    this.#told += 1;
    const path = use.path.slice(0, AUDIT_PATH_LENGTH_MAX);
    onAdminUse?.({ ...use, path, untold: this.#untold });
    this.#untold = 0;
  }
}
