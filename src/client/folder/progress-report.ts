/** ProgressReport: counts one phase's work and tells the observer now and then. */
import type { ClientEvent } from "../../ports/observer.ts";
import type { ClientPorts } from "./ports.ts";

type Phase = Extract<ClientEvent, { event: "progress" }>["phase"];

/** Often enough for the eye, and seldom enough for a log. */
const REPORT_INTERVAL_MS = 200;

export class ProgressReport {
  readonly #ports: Pick<ClientPorts, "observer" | "clock">;
  readonly #phase: Phase;
  readonly #counts = { done: 0, total: 0, bytesDone: 0, bytesTotal: 0 };
  #toldAt: number;
  #told = false;

  constructor(ports: Pick<ClientPorts, "observer" | "clock">, phase: Phase) {
    this.#ports = ports;
    this.#phase = phase;
    this.#toldAt = ports.clock.monotonic();
  }

  expect(bytes: number): void {
    this.#counts.total += 1;
    this.#counts.bytesTotal += bytes;
  }

  add(bytes: number): void {
    this.#counts.bytesDone += bytes;
    this.#tellNowAndThen();
  }

  done(): void {
    this.#counts.done += 1;
    this.#tellNowAndThen();
  }

  /** Reports the last state, if anything was reported before. Quick work is not worth a report. */
  end(): void {
    if (this.#told) this.#tell();
  }

  #tellNowAndThen(): void {
    const now = this.#ports.clock.monotonic();
    if (now - this.#toldAt < REPORT_INTERVAL_MS) return;
    this.#toldAt = now;
    this.#tell();
  }

  #tell(): void {
    this.#told = true;
    this.#ports.observer.emit({ event: "progress", phase: this.#phase, ...this.#counts });
  }
}
