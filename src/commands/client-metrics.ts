/**
 * `synced sync --metrics-port`: counts the client's news, and reads the folder's state when it is
 * scraped. Rules: V5.
 */
import packageJson from "../../package.json" with { type: "json" };
import { listenForScraper } from "../adapters/metrics/listener.ts";
import type { ClientInstruments, ClientReadings } from "../ports/instruments.ts";
import type { Observer } from "../ports/observer.ts";
import { openFolderState } from "./folder-state.ts";
import { readStatus } from "./status.ts";

export interface RunningClientMetrics {
  readonly url: string;
  readonly instruments: ClientInstruments;
  /** Counts each event and passes it on to the given observer. */
  readonly observer: Observer;
  stop(): Promise<void>;
}

export interface ClientMetricsStart {
  readonly folderPath: string;
  readonly host: string;
  readonly port: number;
  readonly observer: Observer;
}

/** @throws {SyncedError} `port_in_use`; `usage` if the host cannot be bound */
export async function startClientMetrics(
  options: ClientMetricsStart,
): Promise<RunningClientMetrics> {
  // Loaded only if asked for.
  const { createClientMetrics } = await import("../adapters/metrics/client.ts");
  const metrics = createClientMetrics({
    version: packageJson.version,
    read: () => readFolder(options.folderPath),
  });
  const { host, port } = options;
  const listener = await listenForScraper({ host, port, page: metrics });
  return {
    url: `${listener.url}/metrics`,
    instruments: metrics.instruments,
    observer: {
      emit(event) {
        metrics.observer.emit(event);
        options.observer.emit(event);
      },
    },
    stop: () => listener.stop(),
  };
}

/** @returns undefined if the folder has not joined yet. */
function readFolder(folderPath: string): ClientReadings | undefined {
  const store = openFolderState(folderPath);
  if (store === undefined) return undefined;
  try {
    const { dirty, ...nodes } = store.counts();
    // The running client itself counts here.
    const status = readStatus(store, true);
    const seq = status.cursor?.seq ?? 0;
    const isInSync = status.state === "in_sync";
    const { lastSyncTime } = status;
    return {
      ...nodes,
      pending: dirty,
      conflicts: status.conflicts.length,
      problems: status.problems.length,
      state: status.state,
      lagEvents: Math.max(0, (status.head ?? seq) - seq),
      lagSeconds:
        isInSync || lastSyncTime === null ? 0 : (Date.now() - Date.parse(lastSyncTime)) / 1_000,
    };
  } finally {
    store.close();
  }
}
