/**
 * Listens on TCP and hands requests to a handler, with Bun.serve, or with Node's server elsewhere
 * (Deno), in the clear or under TLS 1.3.
 * Rules: H2, H6, H20, K10. It knows nothing of routes.
 */
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer, Server as TlsServer } from "node:https";
import { getRequestListener } from "@hono/node-server";
import { SyncedError } from "../../core/error.ts";
import { errorCode } from "../disk/calls.ts";
import { watchOpenFiles } from "../disk/open-files.ts";
import { reasonOf } from "../disk/system-error.ts";
import { idleMemory } from "../runtime/idle-memory.ts";
import { LongTurn } from "./long-turn.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** @param peer the address at the other end of the connection */
  readonly handle: (request: Request, peer: string | undefined) => Response | Promise<Response>;
  /** @default in the clear */
  readonly tls?: KeyAndCertificate;
}

/** As PEM. */
export interface KeyAndCertificate {
  readonly key: string;
  readonly cert: string;
}

export interface Listener {
  readonly url: string;
  readonly port: number;
  /** New connections get this certificate. Those that are there go on. */
  renew(tls: KeyAndCertificate): void;
  /**
   * Accepts no more connections, gives requests under way a moment, and closes the rest. Resolves
   * within two seconds; idempotent. The caller first ends its live streams.
   */
  stop(): Promise<void>;
}

/** So long may requests under way still run. */
const GRACE_MS = 500;
/**
 * Closes an idle connection, or a body that stands still. Streams are exempt. Bun allows at most
 * 255.
 */
const IDLE_SECONDS = 60;
/** RFC 9852: new protocols use TLS 1.3 at least (B82). Bun takes the number, and no text. */
const TLS_VERSION = { minVersion: 0x0304 };
/** Bun answers ENOENT for a name that does not resolve. */
const NO_SUCH_ADDRESS: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "ENOTFOUND", "ENOENT"]);
const EVENT_STREAM_TYPE = "text/event-stream";

/** @throws {SyncedError} `port_in_use`; `usage` if the host cannot be bound */
export async function listen(options: ListenOptions): Promise<Listener> {
  return typeof Bun === "undefined" ? await listenWithNode(options) : listenWithBun(options);
}

function listenWithBun(first: ListenOptions): Listener {
  const { port } = first;
  let options = first;
  const turn = new LongTurn();
  let isOpen = true;
  const heard = ({ headers }: Request) => {
    idleMemory.touch();
    const isStream = headers.get("accept") === EVENT_STREAM_TYPE;
    if (turn.hear(isStream) && isOpen) openAnew();
  };
  let server = serveWithBun(options, port, heard);
  const boundPort = server.port ?? port;
  const former = new Set<typeof server>();
  /** Takes no more connections; those that are there go on. */
  const leave = () => {
    const left = server;
    former.add(left);
    void left.stop(false).then(() => former.delete(left));
  };
  /** Both steps are one to whoever connects meanwhile, but those whose turn has not come. */
  const openAnew = () => {
    leave();
    server = serveWithBun(options, boundPort, heard);
  };
  // Without this, trying to accept connections without a free descriptor takes a whole core.
  const files = watchOpenFiles({
    scarce() {
      isOpen = false;
      leave();
    },
    plenty() {
      isOpen = true;
      server = serveWithBun(options, boundPort, heard);
    },
  });
  let stopped: Promise<void> | undefined;
  return {
    url: urlOf(options, boundPort),
    port: boundPort,
    renew(tls) {
      options = { ...options, tls };
      // Bun's reload() takes no certificate.
      openAnew();
    },
    stop() {
      isOpen = false;
      files.close();
      const all = [...former, server];
      const stopAll = async (force: boolean) => {
        await Promise.all(all.map((one) => one.stop(force)));
      };
      stopped ??= stopWithin(stopAll(false), () => stopAll(true));
      return stopped;
    },
  };
}

function serveWithBun(
  { host, handle, tls }: ListenOptions,
  port: number,
  heard: (request: Request) => void,
): ReturnType<typeof Bun.serve> {
  try {
    return Bun.serve({
      hostname: host,
      port,
      idleTimeout: IDLE_SECONDS,
      // Routes bound their own bodies. A file has no bound, but Bun would cut it at 128 MiB.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Bun's page for a thrown error would show the source.
      development: false,
      // Without it `development: false` lets a second server share the port (measured, Bun 1.4.5 on
      // Linux).
      reusePort: false,
      ...(tls === undefined ? undefined : { tls: { ...TLS_VERSION, ...tls } }),
      async fetch(request, self) {
        heard(request);
        const response = await handle(request, self.requestIP(request)?.address);
        // A stream is idle between two heartbeats, and Bun would take it for dead (after 12 s by
        // default).
        if (response.headers.get("content-type") === EVENT_STREAM_TYPE) self.timeout(request, 0);
        return response;
      },
      error: () => new Response(null, { status: 500 }),
    });
  } catch (cause) {
    throw listenFailure({ host, port }, cause);
  }
}

async function listenWithNode(options: ListenOptions): Promise<Listener> {
  const { host, port, handle, tls } = options;
  const answer = getRequestListener(
    (request, { incoming }) => handle(request, incoming.socket?.remoteAddress),
    { overrideGlobalObjects: false },
  );
  const server =
    tls === undefined
      ? createServer(answer)
      : createTlsServer({ ...tls, minVersion: "TLSv1.3" }, answer);
  server.keepAliveTimeout = IDLE_SECONDS * 1000;
  // Otherwise it would bound a whole request, however steadily a large file comes.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(listenFailure({ host, port }, cause)));
    server.listen({ host, port }, resolve);
  });
  const boundPort = portOf(server, port);
  let stopped: Promise<void> | undefined;
  return {
    url: urlOf(options, boundPort),
    port: boundPort,
    renew(renewed) {
      if (server instanceof TlsServer) server.setSecureContext(renewed);
    },
    stop() {
      stopped ??= stopWithin(closeServer(server), () => server.closeAllConnections());
      return stopped;
    },
  };
}

function closeServer(server: Server | TlsServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

function portOf(server: Server | TlsServer, port: number): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

/** Waits a moment for a gentle stop, then forces it. */
async function stopWithin(gentle: Promise<void>, force: () => unknown): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, GRACE_MS);
  });
  await Promise.race([gentle, late]);
  clearTimeout(timer);
  await Promise.race([
    Promise.resolve(force()),
    new Promise((resolve) => setTimeout(resolve, 200)),
  ]);
}

function urlOf({ host, tls }: ListenOptions, port: number): string {
  const scheme = tls === undefined ? "http" : "https";
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function listenFailure(
  { host, port }: { readonly host: string; readonly port: number },
  cause: unknown,
): SyncedError {
  const code = errorCode(cause);
  const isInUse = code === "EADDRINUSE";
  const reason = isInUse
    ? "the port is in use; choose another one, or stop the program that listens there"
    : NO_SUCH_ADDRESS.has(code)
      ? "this machine has no such address"
      : reasonOf(cause);
  const message = `Cannot listen on ${host}:${port}: ${reason}`;
  return new SyncedError(isInUse ? "port_in_use" : "usage", message, { cause });
}
