/**
 * SimWatcher: hints from a SimDisk, delivered late, sometimes lost, sometimes lost with a word
 * (overflow). Rules: F66-F69.
 */
import type { Watch, Watcher, WatchHandler } from "../../src/ports/watcher.ts";
import type { Scheduler } from "./sim-clock.ts";
import type { SimDisk } from "./sim-disk.ts";

export interface SimWatcherOptions {
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly delayMs: () => number;
  /** What becomes of the hints that are queued now. */
  readonly fate: () => "deliver" | "overflow" | "lose";
  /** Nobody will tell of this change. */
  readonly lost: (path: string) => void;
}

export class SimWatcher implements Watcher {
  readonly #options: SimWatcherOptions;
  #handler: WatchHandler | undefined;
  #queue: string[] = [];
  #flushing = false;

  constructor(options: SimWatcherOptions) {
    this.#options = options;
  }

  async watch(handler: WatchHandler): Promise<Watch> {
    this.#handler = handler;
    this.#options.disk.onChange = (path) => this.#changed(path);
    return { close: () => this.kill() };
  }

  kill(): void {
    this.#handler = undefined;
    this.#queue = [];
  }

  #changed(path: string): void {
    if (this.#handler === undefined) return;
    this.#queue.push(path);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.scheduler.at(this.#options.delayMs(), () => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const queue = this.#queue;
    this.#queue = [];
    const handler = this.#handler;
    if (handler === undefined) return;
    const fate = this.#options.fate();
    if (fate === "overflow") handler.overflow();
    if (fate === "lose") for (const path of queue) this.#options.lost(path);
    if (fate === "deliver") for (const path of queue) handler.changed(path);
  }
}
