/**
 * Instruments: where the server and the client tell what they did, so that it can be counted.
 * Rules: V1-V5. Calls never throw, never block and cost about a microsecond; what they count is of
 * a bounded number of kinds, never of a path, a digest or a request.
 */
import type { ErrorCode } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { RefusalCode } from "../core/op.ts";
import type { FileAction } from "./event-sink.ts";
import type { FolderUsage } from "./metadata-store.ts";

export interface ServerInstruments {
  /** A request was answered; of a stream, its head was. */
  requestAnswered(request: AnsweredRequest): void;
  /** A request ended in a problem. */
  problem(code: ErrorCode): void;
  /** Events are durable. */
  committed(event: { readonly action: FileAction; readonly isConflictCopy: boolean }): void;
  /** A batch was answered so long after it came, waiting included. */
  batchAnswered(seconds: number): void;
  opsRefused(code: RefusalCode): void;
  /** Objects came in and are durable. */
  objectsStored(objects: { readonly count: number; readonly bytes: number }): void;
  /** Objects that a device did not have to send, since the folder had them. */
  objectsKnown(count: number): void;
  /** Bytes of objects or files were handed out. */
  bytesSent(bytes: number): void;
  streamOpened(): void;
  streamClosed(): void;
}

export interface AnsweredRequest {
  /** The route's pattern, never the path. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly seconds: number;
}

/** What is looked at when somebody asks, instead of being counted as it happens. */
export interface ServerReadings {
  /** The first ones by name, at most so many that they can be labels. */
  readonly folders: readonly FolderReading[];
  readonly folderCount: number;
  readonly devices: readonly DeviceReading[];
  /** What the chunks take on the disk. */
  readonly storeBytes: number;
  /** Undefined where no PostgreSQL is written to. */
  readonly filesLog: FilesLogReading | undefined;
}

export interface FolderReading extends FolderUsage {
  readonly name: FolderName;
  readonly head: Sequence;
}

export interface DeviceReading {
  readonly folder: FolderName;
  /** Its name; of several devices of one name, the one that is furthest behind. */
  readonly device: string;
  readonly lagEvents: number;
  /** Since the first event that it does not have. */
  readonly lagSeconds: number;
}

export interface FilesLogReading {
  /** It takes the events of every folder. */
  readonly isWell: boolean;
  readonly lag: ReadonlyMap<FolderName, number>;
}

export interface ClientInstruments {
  /** A cycle that had work to do: scan, reconcile, send, receive, apply. */
  cycleEnded(seconds: number): void;
  /** Bodies of requests and answers, as they are on the wire. */
  bytesMoved(direction: "up" | "down", bytes: number): void;
}

/** How a client's folder is doing, looked at when somebody asks. */
export interface ClientReadings {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Nodes that wait to be sent or received, for a person or for a later try. */
  readonly pending: number;
  /** Conflict copies that are there. */
  readonly conflicts: number;
  readonly problems: number;
  readonly state: string;
  /** Events of the log that are not applied here, as far as is known. */
  readonly lagEvents: number;
  /** Since it was last in sync; 0 while it is and before the first time. */
  readonly lagSeconds: number;
}

/** A page for a scraper. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export interface MetricsPage {
  expose(): Promise<Exposition>;
}
