/** What processes use, as Linux counts it. */
import { readFileSync, writeFileSync } from "node:fs";

/** Name with its unit, such as `wall s`; one number each. */
export type Figures = Readonly<Record<string, number>>;

const TICKS_PER_SECOND = 100;

interface Usage {
  /** Of all threads. */
  readonly cpuSeconds: number;
  readonly faults: number;
}

function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [minor = 0, , major = 0, , user = 0, system = 0] = fields.slice(7);
  return { cpuSeconds: (user + system) / TICKS_PER_SECOND, faults: minor + major };
}

/** Resident memory in MB: now, and at most since the meter was made. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const megabytes = (field: string) =>
    (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1024) / 1e6;
  return { now: megabytes("VmRSS"), peak: megabytes("VmHWM") };
}

/** Bytes over loopback: all of the machine's, or of the namespace that `bun run bench` made. */
export function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync("/proc/net/dev", "utf8"));
  return Number(line?.[1] ?? 0);
}

/** From now on, or from the start of those that start later. */
export class Meter {
  readonly #pids: () => ReadonlyMap<string, number>;
  readonly #before = new Map<number, Usage>();
  readonly #startMs = performance.now();
  readonly #bytes = loopbackBytes();

  constructor(pids: () => ReadonlyMap<string, number>) {
    this.#pids = pids;
    for (const pid of pids().values()) {
      this.#before.set(pid, usageOf(pid));
      // Peaks begin anew.
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    }
  }

  /** @param endMs on `performance`'s clock, where it was over before now */
  read(endMs = performance.now()): Figures {
    const wireMegabytes = (loopbackBytes() - this.#bytes) / 1e6;
    const figures: Record<string, number> = {
      "wall s": (endMs - this.#startMs) / 1000,
      "CPU s": 0,
    };
    for (const [name, pid] of this.#pids()) {
      const { cpuSeconds, faults } = usageOf(pid);
      const before = this.#before.get(pid);
      const used = cpuSeconds - (before?.cpuSeconds ?? 0);
      figures["CPU s"] = (figures["CPU s"] ?? 0) + used;
      figures[`CPU s, ${name}`] = used;
      figures[`faults, ${name}`] = faults - (before?.faults ?? 0);
      figures[`peak MB, ${name}`] = memoryOf(pid).peak;
    }
    return { ...figures, "wire MB": wireMegabytes };
  }
}
