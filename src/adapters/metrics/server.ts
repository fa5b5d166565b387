/**
 * The server's metrics in Prometheus' format. Rules: V1-V4. Names begin with `synced_`, units are
 * seconds and bytes, and every label has a bounded number of values.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { ERROR_KINDS } from "../../core/error.ts";
import type { FileAction } from "../../ports/event-sink.ts";
import type { MetricsPage, ServerInstruments, ServerReadings } from "../../ports/instruments.ts";
import { registerProcessMetrics } from "./process.ts";

/** From a cache hit to a time-out. Quantiles are interpolated between these, in seconds. */
export const DURATION_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/**
 * All actions exist from the start, and so do all codes, because a counter that appears with its
 * first event shows no increase.
 */
const ACTIONS: readonly FileAction[] = [
  "upload",
  "update",
  "rename",
  "delete",
  "restore",
  "mkdir",
  "rmdir",
  "symlink",
  "metadata",
];

export interface ServerMetricsOptions {
  readonly version: string;
}

export interface ServerMetrics {
  readonly instruments: ServerInstruments;
  /** @param read returns the readings for each page */
  page(read: () => Promise<ServerReadings>): MetricsPage;
}

/** Two of these share nothing. */
export function createServerMetrics(options: ServerMetricsOptions): ServerMetrics {
  const registry = new Registry();
  registerBuild(registry, options.version);
  registerProcessMetrics(registry);
  const instruments = registerInstruments(registry);
  return {
    instruments,
    page(read) {
      const show = registerReadings(registry);
      return {
        async expose() {
          show(await read());
          return { contentType: registry.contentType, text: await registry.metrics() };
        },
      };
    },
  };
}

export function registerBuild(registry: Registry, version: string): void {
  const build = new Gauge({
    name: "synced_build_info",
    help: "Always 1; the label says which version runs.",
    labelNames: ["version"],
    registers: [registry],
  });
  build.set({ version }, 1);
}

function registerInstruments(registry: Registry): ServerInstruments {
  const registers = [registry];
  const requests = new Histogram({
    name: "synced_http_request_duration_seconds",
    help: "Time to the head of an HTTP answer, by route, method and class of status.",
    labelNames: ["route", "method", "code"],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const problems = new Counter({
    name: "synced_http_problems_total",
    help: "HTTP requests that ended in a problem, by its code.",
    labelNames: ["code"],
    registers,
  });
  const events = new Counter({
    name: "synced_events_total",
    help: "Events that were committed since the start, by action.",
    labelNames: ["action"],
    registers,
  });
  for (const action of ACTIONS) events.inc({ action }, 0);
  const refused = new Counter({
    name: "synced_ops_refused_total",
    help: "Groups of ops that were refused, by the reason's code.",
    labelNames: ["code"],
    registers,
  });
  for (const code of Object.keys(ERROR_KINDS)) {
    problems.inc({ code }, 0);
    refused.inc({ code }, 0);
  }
  const commits = new Histogram({
    name: "synced_commit_duration_seconds",
    help: "Time from a batch's arrival to its durable answer.",
    buckets: DURATION_BUCKETS,
    registers,
  });
  const conflicts = counter(registry, "synced_conflicts_total", "Conflict copies that came in.");
  const streams = new Gauge({
    name: "synced_event_streams",
    help: "Clients that follow a log live.",
    registers,
  });
  return {
    requestAnswered({ route, method, status, seconds }) {
      requests.observe({ route, method, code: `${Math.floor(status / 100)}xx` }, seconds);
    },
    problem: (code) => problems.inc({ code }),
    committed({ action, isConflictCopy }) {
      events.inc({ action });
      if (isConflictCopy) conflicts.inc();
    },
    batchAnswered: (seconds) => commits.observe(seconds),
    opsRefused: (code) => refused.inc({ code }),
    streamOpened: () => streams.inc(),
    streamClosed: () => streams.dec(),
    ...registerObjects(registry),
  };
}

function registerObjects(
  registry: Registry,
): Pick<ServerInstruments, "objectsStored" | "objectsDeleted" | "objectsKnown" | "bytesSent"> {
  const received = counter(
    registry,
    "synced_received_bytes_total",
    "Bytes of chunks and manifests that came in and were stored.",
  );
  const sent = counter(
    registry,
    "synced_sent_bytes_total",
    "Bytes of chunks, manifests and files that were sent.",
  );
  const stored = counter(
    registry,
    "synced_chunks_stored_total",
    "Chunks and manifests that came in and were stored.",
  );
  const deleted = counter(
    registry,
    "synced_chunks_deleted_total",
    "Chunks and manifests that no version needed and that were deleted.",
  );
  const freed = counter(
    registry,
    "synced_freed_bytes_total",
    "Bytes of chunks and manifests that no version needed and that were deleted.",
  );
  const known = counter(
    registry,
    "synced_chunks_deduplicated_total",
    "Chunks and manifests that a client did not have to send, since they were there.",
  );
  return {
    objectsStored({ count, bytes }) {
      stored.inc(count);
      received.inc(bytes);
    },
    objectsDeleted({ count, bytes }) {
      deleted.inc(count);
      freed.inc(bytes);
    },
    objectsKnown: (count) => known.inc(count),
    bytesSent: (bytes) => sent.inc(bytes),
  };
}

/**
 * @returns a function that puts readings into the gauges. Series that are not in them disappear.
 */
function registerReadings(registry: Registry): (readings: ServerReadings) => void {
  const folderCount = gauge(registry, "synced_folders", "Folders on this server.");
  const head = gauge(registry, "synced_folder_head", "Events in a folder's log.", ["folder"]);
  const nodes = gauge(
    registry,
    "synced_folder_nodes",
    "Files, directories and symlinks of a folder, by kind.",
    ["folder", "kind"],
  );
  const bytes = gauge(registry, "synced_folder_bytes", "Size of all files of a folder.", [
    "folder",
  ]);
  const quota = gauge(
    registry,
    "synced_folder_quota_bytes",
    "Size that all files of a folder may have together; absent without a quota.",
    ["folder"],
  );
  const store = gauge(registry, "synced_store_bytes", "Disk space of all chunks.");
  const lagEvents = gauge(
    registry,
    "synced_device_lag_events",
    "Events that a device has not reported as applied.",
    ["folder", "device"],
  );
  const lagSeconds = gauge(
    registry,
    "synced_device_lag_seconds",
    "Age of the first event that a device has not reported as applied.",
    ["folder", "device"],
  );
  const showRoom = registerRoom(registry);
  const showFilesLog = registerFilesLog(registry);
  return (readings) => {
    for (const one of [head, nodes, bytes, quota, lagEvents, lagSeconds]) one.reset();
    folderCount.set(readings.folderCount);
    for (const reading of readings.folders) {
      const folder = reading.name;
      head.set({ folder }, reading.head);
      nodes.set({ folder, kind: "file" }, reading.files);
      nodes.set({ folder, kind: "directory" }, reading.directories);
      nodes.set({ folder, kind: "symlink" }, reading.symlinks);
      bytes.set({ folder }, reading.bytes);
      if (reading.quotaBytes !== undefined) quota.set({ folder }, reading.quotaBytes);
    }
    for (const reading of readings.devices) {
      const { folder, device } = reading;
      lagEvents.set({ folder, device }, reading.lagEvents);
      lagSeconds.set({ folder, device }, reading.lagSeconds);
    }
    store.set(readings.storeBytes);
    showRoom(readings.roomBytes);
    showFilesLog(readings.filesLog);
  };
}

/** Registered with the first reading, so that a bucket has no such metric. */
function registerRoom(registry: Registry): (roomBytes: number | undefined) => void {
  let room: Gauge | undefined;
  return (roomBytes) => {
    if (roomBytes === undefined) return;
    room ??= gauge(registry, "synced_store_room_bytes", "Disk space that uploads may still take.");
    room.set(roomBytes);
  };
}

/**
 * Registered with the first reading, so that a server which writes to no PostgreSQL has no such
 * metrics.
 */
function registerFilesLog(registry: Registry): (reading: ServerReadings["filesLog"]) => void {
  let gauges: { readonly up: Gauge; readonly lag: Gauge } | undefined;
  return (reading) => {
    if (reading === undefined) return;
    gauges ??= {
      up: gauge(
        registry,
        "synced_files_log_up",
        "1 while PostgreSQL takes the events of all folders.",
      ),
      lag: gauge(
        registry,
        "synced_files_log_lag_events",
        "Events that are not in PostgreSQL yet.",
        ["folder"],
      ),
    };
    gauges.up.set(reading.isWell ? 1 : 0);
    gauges.lag.reset();
    for (const [folder, events] of [...reading.lag].slice(0, FILES_LOG_FOLDERS_MAX)) {
      gauges.lag.set({ folder }, events);
    }
  };
}

const FILES_LOG_FOLDERS_MAX = 100;

export function counter(registry: Registry, name: string, help: string): Counter {
  return new Counter({ name, help, registers: [registry] });
}

export function gauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[] = [],
): Gauge {
  return new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
}
