/**
 * What a route is made of: a declarative endpoint a method, and the call that its handler is given.
 * Rules: H4, H8. Handlers parse, call the sequencer, encode; everything common is done before them,
 * in router.ts.
 */
import { SyncedError } from "../core/error.ts";
import type { Clock } from "../ports/clock.ts";
import type { MetricsPage, ServerInstruments } from "../ports/instruments.ts";
import type { Random } from "../ports/random.ts";
import type { Sequencer } from "../server/sequencer.ts";

/** What the router is made over. */
export interface RouterOptions {
  readonly sequencer: Sequencer;
  readonly clock: Clock;
  /** Makes request ids. */
  readonly random: Random;
  /** Where set, every route but `/healthz` and `/v1/hello` wants it, on loopback too [H2]. */
  readonly token?: string;
  /** Bound to loopback: Host must be a loopback name [H3]. */
  readonly loopbackOnly: boolean;
  /** Aborts when the server stops: open event streams then end. */
  readonly signal: AbortSignal;
  /** Told of every answer with a status of 500 or above; must not throw. */
  readonly onError: (error: unknown, requestId: string) => void;
  /** @default nothing is counted */
  readonly instruments?: ServerInstruments;
  /** @default there is no `/metrics` */
  readonly metrics?: MetricsPage;
}

/** One request, checked as far as its endpoint declares. */
export interface Call {
  readonly request: Request;
  readonly requestId: string;
  /** The path's raw segments, not percent-decoded; [0] is "". */
  readonly segments: readonly string[];
  /** Decoded query parameters, each at most once, all declared. */
  readonly query: ReadonlyMap<string, string>;
}

export interface Endpoint {
  /** Names of query parameters; any other is refused. */
  readonly parameters?: readonly string[];
  /** @default "nothing" */
  readonly takes?: "nothing" | "json" | "pack" | "bytes";
  /** @default "json" */
  readonly answers?: "json" | "pack" | "events" | "bytes";
  /** HEAD is answered too. */
  readonly head?: boolean;
  readonly handle: (call: Call) => Promise<Response> | Response;
}

export interface Route {
  /** Hono's pattern. */
  readonly pattern: string;
  /** Answered without a token; then the pattern is a plain path [H2]. @default false */
  readonly isOpen?: boolean;
  readonly methods: Readonly<Partial<Record<Method, Endpoint>>>;
}

export type Method = "GET" | "PUT" | "POST" | "DELETE";

export const EVENT_STREAM_TYPE = "text/event-stream";

/** @throws {SyncedError} `invalid_parameter` */
export function requiredParameter(call: Call, name: string): string {
  const value = call.query.get(name);
  if (value === undefined) {
    throw new SyncedError("invalid_parameter", `Cannot answer: the parameter "${name}" is missing`);
  }
  return value;
}

/** The raw segment at `index`, which the route's pattern guarantees. */
export function segment(call: Call, index: number): string {
  return call.segments[index] ?? "";
}
