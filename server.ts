/**
 * The server's composition root: data directory, sequencer, router, listener.
 *
 * `bun server.ts` and `deno serve server.ts` work too: the default export opens nothing until the
 * first request,
 * and is configured by the environment twins of `synced serve`'s flags. Rules: H2, H3, X1.
 */
import { readFileSync } from "node:fs";
import { openDataDirectory } from "./src/adapters/data-directory.ts";
import { type Listener, listen } from "./src/adapters/listen.ts";
import { systemClock } from "./src/adapters/system-clock.ts";
import { systemRandom } from "./src/adapters/system-random.ts";
import { SyncedError } from "./src/core/error.ts";
import type { ServerId } from "./src/core/identifier.ts";
import { createRouter } from "./src/http/router.ts";
import { parseToken } from "./src/protocol/token.ts";
import { createSequencer } from "./src/server/sequencer.ts";

export interface ServerOptions {
  /** The data directory; made where it is not there. */
  readonly data: string;
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** @default 0: any free one */
  readonly port?: number;
  readonly token?: string;
  /** Without it, an address that others can reach is not bound without a token. */
  readonly isOpenToAll?: boolean;
  /** Told of answers with a status of 500 and above. @default silent */
  readonly onError?: (error: unknown, requestId: string) => void;
}

export interface Server {
  readonly url: string;
  readonly port: number;
  readonly serverId: ServerId;
  /** Resolves with the error when storage failed for good: the process must then stop [I41]. */
  readonly failure: Promise<unknown>;
  /**
   * Ends streams, lets requests under way finish, closes the stores; within two seconds.
   * Idempotent.
   */
  close(): Promise<void>;
}

interface Backend {
  readonly serverId: ServerId;
  readonly failure: Promise<unknown>;
  handle(request: Request): Response | Promise<Response>;
  /** Live streams end; what is asked meanwhile is still answered. */
  endStreams(): void;
  close(): Promise<void>;
}

/**
 * Starts a server.
 *
 * @throws {SyncedError} `data_in_use`, `data_not_writable`, `data_newer`, `damage_found`,
 * `port_in_use`,
 * `token_required`
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const host = options.host ?? DEFAULT_HOST;
  requireToken(options, host);
  const backend = await openBackend(options, isLoopback(host));
  let listener: Listener;
  try {
    listener = await listen({ host, port: options.port ?? 0, handle: backend.handle });
  } catch (error) {
    await backend.close();
    throw error;
  }
  let closed: Promise<void> | undefined;
  return {
    url: listener.url,
    port: listener.port,
    serverId: backend.serverId,
    failure: backend.failure,
    close() {
      closed ??= (async () => {
        backend.endStreams();
        await listener.stop();
        await backend.close();
      })();
      return closed;
    },
  };
}

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = "8080";
const DEFAULT_DATA = "./storage";
const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)$/i;

function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

function requireToken({ token, isOpenToAll }: ServerOptions, host: string): void {
  if (token !== undefined || isOpenToAll === true || isLoopback(host)) return;
  throw new SyncedError(
    "token_required",
    `Cannot listen on ${host} without a token: everybody who reaches it could read and change all ` +
      "files. Use --token-file, or --insecure-no-auth where that is what you want",
  );
}

async function openBackend(options: ServerOptions, loopbackOnly: boolean): Promise<Backend> {
  const directory = openDataDirectory(options.data);
  const { metadata, objects } = directory;
  const sequencer = createSequencer({
    metadata,
    objects,
    clock: systemClock,
    random: systemRandom,
  });
  const stopping = new AbortController();
  const router = createRouter({
    sequencer,
    clock: systemClock,
    random: systemRandom,
    loopbackOnly,
    signal: stopping.signal,
    onError: options.onError ?? (() => undefined),
    ...(options.token === undefined ? undefined : { token: options.token }),
  });
  return {
    serverId: sequencer.serverId,
    failure: sequencer.failure,
    handle: (request) => router.fetch(request),
    endStreams: () => stopping.abort(),
    async close() {
      stopping.abort();
      await sequencer.close();
      await directory.close();
    },
  };
}

/** Opened by the first request, so that importing this module touches nothing. */
let lazyBackend: Promise<Backend> | undefined;

function openLazily(): Promise<Backend> {
  lazyBackend ??= openFromEnvironment();
  return lazyBackend;
}

async function openFromEnvironment(): Promise<Backend> {
  const token = tokenFromEnvironment();
  return await openBackend(
    {
      data: process.env["SYNCED_DATA"] ?? DEFAULT_DATA,
      onError: writeError,
      ...(token === undefined ? undefined : { token }),
    },
    true,
  );
}

function writeError(error: unknown, requestId: string): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`Request ${requestId} failed: ${text}\n`);
}

function tokenFromEnvironment(): string | undefined {
  const file = process.env["SYNCED_TOKEN_FILE"];
  if (file !== undefined && file !== "") return parseToken(readFileSync(file, "utf8"), `"${file}"`);
  const token = process.env["SYNCED_TOKEN"];
  return token === undefined ? undefined : parseToken(token, "SYNCED_TOKEN");
}

export default {
  hostname: DEFAULT_HOST,
  /**
   * Read without a check: an illegal one is refused by the runtime, and importing must not fail.
   */
  port: Number(process.env["SYNCED_PORT"] ?? DEFAULT_PORT),
  idleTimeout: 60,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  development: false,
  reusePort: false,
  async fetch(request: Request): Promise<Response> {
    const backend = await openLazily();
    return await backend.handle(request);
  },
};
