/**
 * Instruments: server and client report here what they did, so that it can be counted.
 * Rules: V1-V5. Calls never throw, never block, and take about a microsecond. They count a bounded
 * number of kinds, so no count is kept for a path, a digest or a request.
 */
import type { ErrorCode } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { RefusalCode } from "../core/op.ts";
import type { FileAction } from "./event-sink.ts";
import type { FolderUsage } from "./metadata-store.ts";

export interface ServerInstruments {
  /** The server answered a request; of a stream, it sent the head. */
  requestAnswered(request: AnsweredRequest): void;
  /** A request ended in a problem. */
  problem(code: ErrorCode): void;
  /** The server made events durable. */
  committed(event: { readonly action: FileAction; readonly isConflictCopy: boolean }): void;
  /** The server answered a batch so many seconds after it arrived, waiting included. */
  batchAnswered(seconds: number): void;
  opsRefused(code: RefusalCode): void;
  /** The server received objects and made them durable. */
  objectsStored(objects: { readonly count: number; readonly bytes: number }): void;
  /** Objects that no version needed are deleted. */
  objectsDeleted(objects: { readonly count: number; readonly bytes: number }): void;
  /** A device asked for so many objects that it need not send, because the folder has them. */
  objectsKnown(count: number): void;
  /** The server sent so many bytes of objects or files. */
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

/** Values that are looked up when somebody asks, instead of counted as they change. */
export interface ServerReadings {
  /** The first folders by name: at most so many that their names can be labels. */
  readonly folders: readonly FolderReading[];
  readonly folderCount: number;
  readonly devices: readonly DeviceReading[];
  /** The disk space of all objects, in bytes. */
  readonly storeBytes: number;
  /** The bytes that uploads may still take of the disk; undefined if nobody can say. */
  readonly roomBytes: number | undefined;
  /** undefined if the server writes to no PostgreSQL. */
  readonly filesLog: FilesLogReading | undefined;
}

export interface FolderReading extends FolderUsage {
  readonly name: FolderName;
  /** The bytes that its live files may have; undefined for any number. */
  readonly quotaBytes: number | undefined;
  readonly head: Sequence;
}

export interface DeviceReading {
  readonly folder: FolderName;
  /** The device's name. If several devices have it, this is the one that is furthest behind. */
  readonly device: string;
  readonly lagEvents: number;
  /** The age of the first event that the device does not have. */
  readonly lagSeconds: number;
}

export interface FilesLogReading {
  /** True if it takes the events of every folder. */
  readonly isWell: boolean;
  readonly lag: ReadonlyMap<FolderName, number>;
}

export interface ClientInstruments {
  /** A cycle that had work to do has ended: scan, reconcile, send, receive, apply. */
  cycleEnded(seconds: number): void;
  /** The client sent or received so many bytes of bodies, counted as they are on the wire. */
  bytesMoved(direction: "up" | "down", bytes: number): void;
}

/** The state of a client's folder, looked up when somebody asks. */
export interface ClientReadings {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Nodes that wait to be sent or received, for a person, or for a later try. */
  readonly pending: number;
  /** Conflict copies that exist. */
  readonly conflicts: number;
  readonly problems: number;
  readonly state: string;
  /** Events of the log that are not applied here, as far as the client knows. */
  readonly lagEvents: number;
  /** The time since it was last in sync; 0 while it is in sync and before it first was. */
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
