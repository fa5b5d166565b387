/**
 * The usual metrics of a process, under the names that Prometheus' clients use. prom-client's own
 * are not used, because they need what Bun does not have, and two of their names break Prometheus'
 * rules.
 */
import { readdirSync, readFileSync } from "node:fs";
import { Counter, Gauge, type Registry } from "prom-client";

const SECONDS_PER_MICROSECOND = 1e-6;

export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time spent in seconds.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) * SECONDS_PER_MICROSECOND);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory size in bytes.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "process_start_time_seconds",
    help: "Start time of the process since unix epoch in seconds.",
    registers,
  }).set(Date.now() / 1000 - process.uptime());
  registerDescriptors(registers);
}

/** Only on Linux, because elsewhere there is no cheap way to know. */
function registerDescriptors(registers: Registry[]): void {
  const max = openFilesMax();
  if (max === undefined) return;
  new Gauge({
    name: "process_max_fds",
    help: "Maximum number of open file descriptors.",
    registers,
  }).set(max);
  new Gauge({
    name: "process_open_fds",
    help: "Number of open file descriptors.",
    registers,
    collect() {
      this.set(readdirSync("/proc/self/fd").length);
    },
  });
}

function openFilesMax(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const found = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}
