/**
 * A route has one declarative endpoint for each method, whose handler gets a call.
 * Rules: H2, H4, H8, K1. A handler parses, calls the sequencer, and encodes. All common work is
 * done before it, in router.ts.
 */
import type { Access, Grant } from "../core/access.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Clock } from "../ports/clock.ts";
import type { MetricsPage, ServerInstruments } from "../ports/instruments.ts";
import type { PageFiles } from "../ports/page-files.ts";
import type { Random } from "../ports/random.ts";
import type { TokenId } from "../ports/token-store.ts";
import type { History } from "../server/history.ts";
import type { Links } from "../server/links.ts";
import type { Orders } from "../server/orders.ts";
import type { Readiness } from "../server/readiness.ts";
import type { Sequencer } from "../server/sequencer.ts";
import type { Tickets } from "../server/tickets.ts";
import type { Tokens } from "../server/tokens.ts";
import type { CallMemory } from "./memory-budget.ts";

/** Everything that the router needs. */
export interface RouterOptions {
  readonly sequencer: Sequencer;
  /** @default there are no routes about the past but `history` */
  readonly history?: History;
  readonly clock: Clock;
  /** The source of request ids. */
  readonly random: Random;
  /** If set, whatever does not need "nothing" wants it, on loopback too [H2]. It allows all. */
  readonly token?: string;
  /** Allows all, and is known to callers in this process only. @default there are none */
  readonly insideToken?: string;
  /** Once one of them was made, a token is wanted, too. @default there are none */
  readonly tokens?: Tokens;
  /** @default there is no route to get one */
  readonly tickets?: Tickets;
  /** @default there are no links */
  readonly links?: Links;
  /** @default devices take no orders */
  readonly orders?: Orders;
  /** True if the server listens on loopback; then Host must be a loopback name [H3]. */
  readonly loopbackOnly: boolean;
  /** How many event streams may be open at once. @default 1,000 */
  readonly streamsMax?: number;
  /** By the names that folders once had, the present ones. @default none were renamed */
  readonly formerNames?: ReadonlyMap<string, FolderName | undefined>;
  /**
   * The address of a proxy, where TLS ends there. Then nobody else is answered, except programs on
   * this machine, and `X-Forwarded-For` is believed.
   *
   * @default there is none
   */
  readonly behindProxy?: string;
  /** Told of refused tokens, not too often. It must not throw. @default nobody */
  readonly onRefusal?: (refusal: Refusal) => void;
  /** Told of each use of an endpoint for admins, not too often. It must not throw. @default nobody */
  readonly onAdminUse?: (use: AdminUse) => void;
  /** @default the server is ready as soon as it answers */
  readonly readiness?: Readiness;
  /** Aborts when the server stops. Open event streams then end. */
  readonly signal: AbortSignal;
  /**
   * Called for every answer with a status of 500 or above, except "temporarily unavailable". It
   * must not throw.
   */
  readonly onError: (error: unknown, requestId: string) => void;
  /** @default nothing is counted */
  readonly instruments?: ServerInstruments;
  /** @default there is no `/metrics` */
  readonly metrics?: MetricsPage;
  /** @default there is no `/` */
  readonly page?: PageFiles | "not built";
}

/** Wrong, revoked or expired tokens from one address. */
export interface Refusal {
  readonly address: string;
  /** How many since this was told last. */
  readonly count: number;
}

/** A request for an endpoint that needs an admin, also one that was refused. */
export interface AdminUse {
  readonly method: string;
  /** As it was asked for; anybody may have chosen it. */
  readonly path: string;
  readonly status: number;
  /** Absent for the server's own token, and where none is wanted. */
  readonly token: TokenId | undefined;
  readonly address: string | undefined;
  /** How many uses before this one were not told of. */
  readonly untold: number;
}

/** One request that has passed the checks which its endpoint declares. */
export interface Call {
  readonly request: Request;
  readonly requestId: string;
  /**
   * The path's raw segments, not percent-decoded; [0] is "". Where a folder's former name stood,
   * the present one stands.
   */
  readonly segments: readonly string[];
  /** The former name by which the requester calls the folder. */
  readonly formerName?: FolderName;
  /** Decoded query parameters. Each occurs at most once, and all are declared. */
  readonly query: ReadonlyMap<string, string>;
  /** Its grant is at least what the endpoint needs. */
  readonly caller: Caller;
  /**
   * Throws `token_revoked` or `token_expired` if that has come to be. Whoever has waited for the
   * requester, or sends for long, asks before it goes on.
   */
  confirm(): void;
  readonly memory: CallMemory;
  /** Aborts when the server stops. What has not come by then is not waited for. */
  readonly stopping: AbortSignal;
}

/** Whoever sends a request, as admission found it. */
export interface Caller {
  readonly grant: Grant;
  /** Present if the grant is that of a token which may be revoked. */
  readonly token?: TokenId;
  /** Where it comes from, as far as one can tell. Callers in this process come from nowhere. */
  readonly address?: string | undefined;
}

/**
 * The grant that a requester needs: an access to the folder that the route's pattern names, or to
 * all folders where it names none. "token" is any grant, and the handler shows no more than it
 * reaches. "link" is a share link, which the handler checks. "nothing" is open to everybody; then
 * all the route's endpoints need nothing, and its pattern is a plain path.
 */
export type Need = "nothing" | "link" | "token" | Access;

export interface Endpoint {
  readonly needs: Need;
  /** Names of query parameters; a request with any other is refused. */
  readonly parameters?: readonly string[];
  /** @default "nothing" */
  readonly takes?: "nothing" | "json" | "pack" | "bytes";
  /** @default "json" */
  readonly answers?: "json" | "pack" | "events" | "bytes";
  /** True if HEAD is answered too. */
  readonly head?: boolean;
  readonly handle: (call: Call) => Promise<Response> | Response;
}

export interface Route {
  /** Hono's pattern. */
  readonly pattern: string;
  /** True if a link on another site may open it; it holds no data then [H30]. @default false */
  readonly isDocument?: boolean;
  readonly methods: Readonly<Partial<Record<Method, Endpoint>>>;
}

export type Method = "GET" | "PUT" | "POST" | "DELETE";

/** Stands for the folder in the pattern of every route that is about one. */
export const FOLDER_SEGMENT = ":folder";

export const EVENT_STREAM_TYPE = "text/event-stream";

/** @throws {SyncedError} `invalid_parameter` */
export function requiredParameter(call: Call, name: string): string {
  const value = call.query.get(name);
  if (value === undefined) {
    throw new SyncedError("invalid_parameter", `Cannot answer: the parameter "${name}" is missing`);
  }
  return value;
}

/** The raw segment at `index`. The route's pattern guarantees that it exists. */
export function segment(call: Call, index: number): string {
  return call.segments[index] ?? "";
}

/**
 * Called when a wait is over: nobody works for a requester who has gone.
 *
 * @throws {SyncedError} `request_timeout`
 */
export function requireReader({ request }: Call): void {
  if (request.signal.aborted) throw new SyncedError("request_timeout", "The requester has left");
}

/** As the bodies that outlast their handler want it. */
export function sendingOf({ clock, onError }: RouterOptions, { memory, requestId }: Call) {
  return { clock, memory, onError: (error: unknown) => onError(error, requestId) };
}
