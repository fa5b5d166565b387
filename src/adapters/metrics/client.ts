/** The client's metrics in Prometheus' format. Rules: V1, V2, V5. */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { EVENT_KINDS } from "../../core/event.ts";
import type { ClientInstruments, ClientReadings, MetricsPage } from "../../ports/instruments.ts";
import type { ClientEvent, Observer } from "../../ports/observer.ts";
import { registerProcessMetrics } from "./process.ts";
import { counter, DURATION_BUCKETS, gauge, registerBuild } from "./server.ts";

export interface ClientMetrics extends MetricsPage {
  readonly instruments: ClientInstruments;
  /** Counts the news that the client gives it. */
  readonly observer: Observer;
}

export interface ClientMetricsOptions {
  readonly version: string;
  /** Returns undefined as long as the folder has not joined. */
  readonly read: () => ClientReadings | undefined;
}

const STATES = ["in_sync", "syncing", "held", "paused", "offline", "stopped"];

export function createClientMetrics(options: ClientMetricsOptions): ClientMetrics {
  const registry = new Registry();
  registerBuild(registry, options.version);
  registerProcessMetrics(registry);
  const show = registerReadings(registry);
  return {
    instruments: registerInstruments(registry),
    observer: registerEvents(registry),
    async expose() {
      show(options.read());
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

function registerInstruments(registry: Registry): ClientInstruments {
  const cycles = new Histogram({
    name: "synced_client_cycle_duration_seconds",
    help: "Time that a cycle with work to do took: scan, compare, send, receive, apply.",
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const sent = counter(
    registry,
    "synced_client_sent_bytes_total",
    "Bytes that went to the server in bodies of requests.",
  );
  const received = counter(
    registry,
    "synced_client_received_bytes_total",
    "Bytes that came from the server in bodies of answers.",
  );
  return {
    cycleEnded: (seconds) => cycles.observe(seconds),
    bytesMoved: (direction, bytes) => (direction === "up" ? sent : received).inc(bytes),
  };
}

function registerEvents(registry: Registry): Observer {
  const changes = new Counter({
    name: "synced_client_changes_total",
    help: "Changes that were sent (up) or made here (down), by kind.",
    labelNames: ["direction", "kind"],
    registers: [registry],
  });
  for (const direction of ["up", "down"]) {
    for (const kind of EVENT_KINDS) changes.inc({ direction, kind }, 0);
  }
  const conflicts = counter(
    registry,
    "synced_client_conflicts_total",
    "Conflict copies that this client made.",
  );
  const breaks = counter(
    registry,
    "synced_client_offline_total",
    "Times that the server could not be reached any more.",
  );
  const errors = counter(
    registry,
    "synced_client_errors_total",
    "Times that the client began again after trouble with its own files.",
  );
  return {
    emit(event: ClientEvent) {
      if (event.event === "change") {
        changes.inc({ direction: event.direction, kind: event.kind });
      } else if (event.event === "conflict") conflicts.inc();
      else if (event.event === "offline") breaks.inc();
      else if (event.event === "error") errors.inc();
    },
  };
}

function registerReadings(registry: Registry): (readings: ClientReadings | undefined) => void {
  const nodes = new Gauge({
    name: "synced_client_nodes",
    help: "Files, directories and symlinks of the folder, by kind.",
    labelNames: ["kind"],
    registers: [registry],
  });
  const state = gauge(registry, "synced_client_state", "1 for the state that the folder is in.", [
    "state",
  ]);
  const inSync = gauge(registry, "synced_client_in_sync", "1 while everything is in sync.");
  const pending = gauge(
    registry,
    "synced_client_pending",
    "Files and directories that wait to be sent or received.",
  );
  const conflicts = gauge(registry, "synced_client_conflict_copies", "Conflict copies that exist.");
  const problems = gauge(registry, "synced_client_problems", "Paths that are left alone.");
  const lagEvents = gauge(
    registry,
    "synced_client_lag_events",
    "Events of the server that are not applied here, as far as is known.",
  );
  const lagSeconds = gauge(
    registry,
    "synced_client_lag_seconds",
    "Time since everything was last in sync; 0 while it is.",
  );
  return (readings) => {
    for (const name of STATES) state.set({ state: name }, readings?.state === name ? 1 : 0);
    nodes.set({ kind: "file" }, readings?.files ?? 0);
    nodes.set({ kind: "directory" }, readings?.directories ?? 0);
    nodes.set({ kind: "symlink" }, readings?.symlinks ?? 0);
    inSync.set(readings?.state === "in_sync" ? 1 : 0);
    pending.set(readings?.pending ?? 0);
    conflicts.set(readings?.conflicts ?? 0);
    problems.set(readings?.problems ?? 0);
    lagEvents.set(readings?.lagEvents ?? 0);
    lagSeconds.set(readings?.lagSeconds ?? 0);
  };
}
