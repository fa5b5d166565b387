/**
 * Puts the server together: data directory, sequencer, router, listener.
 *
 * `bun server.ts` and `deno serve server.ts` work too. The default export opens nothing until the
 * first request, and reads its configuration from the environment twins of `synced serve`'s flags.
 * Rules: H2, H3.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "./package.json" with { type: "json" };
import type { BucketPlace } from "./src/adapters/bucket/address.ts";
import { holdCollection } from "./src/adapters/data-directory.ts";
import { listenForScraper } from "./src/adapters/metrics/listener.ts";
import { createFetchTransport } from "./src/adapters/network/fetch-transport.ts";
import { type Listener, listen } from "./src/adapters/network/listen.ts";
import { systemClock } from "./src/adapters/runtime/clock.ts";
import { loadPageFiles } from "./src/adapters/runtime/page-files.ts";
import { systemPasswordHashes } from "./src/adapters/runtime/password-hashes.ts";
import { systemRandom, systemSecret } from "./src/adapters/runtime/random.ts";
import { writeServerAddress } from "./src/adapters/server-address.ts";
import { openServerData } from "./src/adapters/server-data.ts";
import {
  ownTlsFiles,
  readTlsFiles,
  type ServerTls,
  type TlsFiles,
  watchTlsFiles,
} from "./src/adapters/tls/files.ts";
import { hmacSha256 } from "./src/core/digest.ts";
import { SyncedError } from "./src/core/error.ts";
import type { Fingerprint } from "./src/core/fingerprint.ts";
import type { FolderName, ServerId } from "./src/core/identifier.ts";
import { DRAIN_MS } from "./src/core/limits.ts";
import type { AdminUse, Refusal } from "./src/http/endpoint.ts";
import { createRouter, type RouterOptions } from "./src/http/router.ts";
import type { EventSink } from "./src/ports/event-sink.ts";
import type { MetricsPage } from "./src/ports/instruments.ts";
import { parseToken, requireUnguessable } from "./src/protocol/token.ts";
import { finishCollection } from "./src/server/collect-garbage.ts";
import { type FilesLogNotice, startFilesLog } from "./src/server/files-log-follower.ts";
import { createHistory } from "./src/server/history.ts";
import { Links } from "./src/server/links.ts";
import { Orders } from "./src/server/orders.ts";
import type { Quota } from "./src/server/ports.ts";
import { Readiness } from "./src/server/readiness.ts";
import { createReadings } from "./src/server/readings.ts";
import type { Retention } from "./src/server/retention.ts";
import { type ScrubOptions, startScrub } from "./src/server/scrub.ts";
import { createSequencer } from "./src/server/sequencer.ts";
import { Tickets } from "./src/server/tickets.ts";
import { Tokens } from "./src/server/tokens.ts";
import { startUpkeep, type UpkeepOptions, type UpkeepPace } from "./src/server/upkeep.ts";
import { startWebhooks, type WebhookNotice } from "./src/server/webhooks.ts";

export interface ServerOptions {
  /** The data directory. It is made if it does not exist. */
  readonly data: string;
  /** `postgres://...`: the metadata are there, and not in the data directory. @default none */
  readonly metadataUrl?: string;
  /** A bucket to keep the objects in, beside metadata in PostgreSQL. */
  readonly bucket?: BucketPlace;
  /** True if other servers use the same PostgreSQL and bucket. @default false */
  readonly isShared?: boolean;
  /** Of that PostgreSQL without a pooler, to hear of others' commits. @default `metadataUrl` */
  readonly metadataListenUrl?: string;
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** @default 0, for any free one */
  readonly port?: number;
  readonly token?: string;
  /**
   * Without this, a server that others can reach makes an admin's token at its first start, if it
   * has none.
   */
  readonly isOpenToAll?: boolean;
  /** @default a key of its own where others can reach it, else none */
  readonly tls?: TlsFiles;
  /** Without this, a server that others can reach speaks https only. */
  readonly isInTheClear?: boolean;
  /** The address of a proxy at which TLS ends. Nobody else is answered then. @default none */
  readonly behindProxy?: string;
  /** The port of a second `/metrics`, open to everybody who reaches it. @default none */
  readonly metricsPort?: number;
  /** @default "127.0.0.1" */
  readonly metricsHost?: string;
  /**
   * `postgres://...`: the server also writes every event to the table `files_log` there. @default
   * none
   */
  readonly databaseUrl?: string;
  /** Called with news of that writing. @default silent */
  readonly onFilesLog?: (notice: FilesLogNotice) => void;
  /** Called with news of webhooks' receivers. @default silent */
  readonly onWebhook?: (notice: WebhookNotice) => void;
  /** When garbage is collected. */
  readonly upkeep?: UpkeepPace;
  /** In so long every object is read once. @default never */
  readonly scrubMs?: number;
  /** Called for each object that is found damaged. @default silent */
  readonly onDamage?: ScrubOptions["onDamage"];
  /** The size of the largest file that is taken. @default any */
  readonly fileBytesMax?: number;
  /** How large the folders' files may be. @default any size */
  readonly quota?: Quota;
  /** @default all versions are kept for ever */
  readonly retention?: Retention;
  /** Called after each collection of garbage. @default silent */
  readonly onCollected?: UpkeepOptions["onCollected"];
  /** Called if one failed. @default silent */
  readonly onUpkeepFailure?: (error: unknown) => void;
  /** Called for wrong tokens, not too often. @default silent */
  readonly onRefusal?: (refusal: Refusal) => void;
  /** Called for each use of an endpoint for admins, not too often. @default silent */
  readonly onAdminUse?: (use: AdminUse) => void;
  /** Called when a new certificate is in use, or cannot be used. @default silent */
  readonly onCertificate?: (news: CertificateNews) => void;
  /** Called for answers with a status of 500 and above. @default silent */
  readonly onError?: (error: unknown, requestId: string) => void;
}

/** `error` is set if the former certificate stays in use because of it. */
export interface CertificateNews {
  readonly fingerprint: Fingerprint;
  readonly error?: SyncedError;
}

export interface Server {
  /** Of its key, as clients pin it. Absent in the clear. */
  readonly fingerprint?: Fingerprint;
  /** True if it wants a token from everybody. */
  readonly wantsToken: boolean;
  /** The file with an admin's token, which was made at this start. */
  readonly newTokenFile?: string;
  readonly url: string;
  readonly port: number;
  readonly metricsUrl: string | undefined;
  readonly serverId: ServerId;
  /** Resolves with the error when storage has failed for good. The process must then stop [I41]. */
  readonly failure: Promise<unknown>;
  /** Lets callers in this process do everything. */
  readonly insideToken: string;
  /**
   * Answers as the listener does, for callers in this process. They have bounds of their own, so
   * that neither they nor others take the last stream or the last memory.
   */
  handle(request: Request): Response | Promise<Response>;
  /** The first thousand names, ascending. */
  folders(): Promise<readonly FolderName[]>;
  /**
   * Ends streams, lets requests under way finish, and closes the stores, within two seconds; five
   * where others take over. Idempotent.
   */
  close(): Promise<void>;
}

interface Backend {
  readonly tokens: Tokens;
  readonly insideToken: string;
  readonly serverId: ServerId;
  readonly failure: Promise<unknown>;
  readonly metrics: MetricsPage;
  /** @param peer the address at the other end of the connection */
  handle(request: Request, peer?: string): Response | Promise<Response>;
  /** See `Server.handle`: for callers in this process. */
  handleInside(request: Request): Response | Promise<Response>;
  folders(): Promise<readonly FolderName[]>;
  /** Sends readers to other servers, if there are any, and waits until they have gone. */
  drain(): Promise<void>;
  /** Ends live streams; other requests are still answered. */
  endStreams(): void;
  close(): Promise<void>;
}

/**
 * Starts a server.
 *
 * @throws {SyncedError} `data_in_use`, `data_not_writable`, `data_newer`, `damage_found`,
 * `port_in_use`; `invalid_token` if others could guess it; `usage` if the files for TLS cannot be
 * used; what keeps it from the metadata
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const host = options.host ?? DEFAULT_HOST;
  // Whoever comes by way of a proxy may come from anywhere.
  const isExposed = !isLoopback(host) || options.behindProxy !== undefined;
  if (isExposed && options.token !== undefined) requireUnguessable(options.token);
  const backend = await openBackend(options, !isExposed);
  const listeners: Listener[] = [];
  let endWatch: () => void = () => undefined;
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= (async () => {
      endWatch();
      await backend.drain();
      backend.endStreams();
      await Promise.all(listeners.map((listener) => listener.stop()));
      await backend.close();
    })();
    return closed;
  };
  try {
    if (isExposed) requireSharedToken(options);
    const newToken = isExposed ? await makeFirstToken(options, backend.tokens) : undefined;
    const files = tlsFilesOf(options, isExposed);
    const tls = files === undefined ? undefined : readTlsFiles(files);
    const { handle, metrics } = backend;
    const secured = tls === undefined ? undefined : { tls };
    const main = await listen({ host, port: options.port ?? 0, handle, ...secured });
    listeners.push(main);
    if (files !== undefined && tls !== undefined)
      endWatch = renewing(options, main, { files, tls });
    const { metricsPort, metricsHost = DEFAULT_HOST } = options;
    const scraped =
      metricsPort === undefined
        ? undefined
        : await listenForScraper({ host: metricsHost, port: metricsPort, page: metrics });
    if (scraped !== undefined) listeners.push(scraped);
    // Counts now, so that the first scrape need not. If this fails, the scrape reports the error.
    metrics.expose().catch(() => undefined);
    const { serverId, failure, insideToken, handleInside, folders } = backend;
    const isOwnKey = options.tls === undefined && tls !== undefined;
    const pin = isOwnKey ? { fingerprint: tls.fingerprint } : undefined;
    writeServerAddress(options.data, { url: main.url, ...pin });
    return {
      url: main.url,
      port: main.port,
      ...(tls === undefined ? undefined : { fingerprint: tls.fingerprint }),
      wantsToken: options.token !== undefined || !backend.tokens.isEmpty,
      ...(newToken === undefined ? undefined : { newTokenFile: newToken }),
      metricsUrl: scraped === undefined ? undefined : `${scraped.url}/metrics`,
      serverId,
      failure,
      insideToken,
      handle: handleInside,
      folders,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function tlsFilesOf(
  { data, tls, isInTheClear, behindProxy }: ServerOptions,
  isExposed: boolean,
): TlsFiles | undefined {
  if (tls !== undefined || !isExposed) return tls;
  if (isInTheClear === true || behindProxy !== undefined) return undefined;
  return ownTlsFiles(data);
}

/** @throws {SyncedError} `usage` if this server would make a token that the others do not know */
function requireSharedToken({ isShared, token, isOpenToAll }: ServerOptions): void {
  if (isShared !== true || token !== undefined || isOpenToAll === true) return;
  const advice = "give all of them the same --token-file";
  throw new SyncedError("usage", `Cannot start one of several servers without a token: ${advice}`);
}

/** @returns the file with the token; undefined if one is wanted already, or none shall be */
async function makeFirstToken(
  { data, token, isOpenToAll }: ServerOptions,
  tokens: Tokens,
): Promise<string | undefined> {
  if (token !== undefined || isOpenToAll === true || !tokens.isEmpty) return undefined;
  const { text } = await tokens.make({ label: "first start", access: "admin", folders: "all" });
  const file = join(data, "admin.token");
  writeFileSync(file, `${text}\n`, { mode: 0o600, flush: true });
  return file;
}

/** Takes a renewed certificate into use. @returns a function that ends it */
function renewing(
  { onCertificate = () => undefined }: ServerOptions,
  listener: Listener,
  { files, tls }: { readonly files: TlsFiles; readonly tls: ServerTls },
): () => void {
  let { fingerprint } = tls;
  return watchTlsFiles(files, tls, {
    onChange(renewed) {
      listener.renew(renewed);
      ({ fingerprint } = renewed);
      onCertificate({ fingerprint });
    },
    onTrouble: (error) => onCertificate({ fingerprint, error }),
  });
}

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = "8080";
const DEFAULT_DATA = "./storage";
const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)$/i;

function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

async function openBackend(options: ServerOptions, loopbackOnly: boolean): Promise<Backend> {
  const eventSink = await createEventSink(options);
  const directory = await openServerData(options.data, options);
  const { metadata, objects, history: spans, shared, probe } = directory;
  // Loaded here, so that commands that serve nothing do not wait for it.
  const { createServerMetrics } = await import("./src/adapters/metrics/server.ts");
  const { instruments, page } = createServerMetrics({ version: packageJson.version });
  const { fileBytesMax, quota } = options;
  const around = { clock: systemClock, random: systemRandom, instruments, fileBytesMax, quota };
  const news = shared === undefined ? undefined : { news: shared.news };
  const ports = { metadata, objects, ...around, ...news };
  // Until this is done, nobody could upload what a killed run was about to delete.
  await finishCollection(ports);
  const sequencer = createSequencer(ports);
  const upkeep = startUpkeep({
    ports,
    pace: options.upkeep ?? {},
    hold: () => holdCollection(options.data),
    retention: options.retention ?? { keepMs: undefined, byFolder: new Map() },
    onCollected: options.onCollected ?? (() => undefined),
    onFailure: options.onUpkeepFailure ?? (() => undefined),
  });
  const scrub =
    options.scrubMs === undefined
      ? undefined
      : startScrub({
          ports,
          periodMs: options.scrubMs,
          onDamage: options.onDamage ?? (() => undefined),
          onFailure: options.onUpkeepFailure ?? (() => undefined),
        });
  const onError = options.onError ?? (() => undefined);
  const history = createHistory({
    sequencer,
    metadata,
    history: spans,
    clock: systemClock,
    onError: (error) => onError(error, "of the history"),
  });
  const filesLog =
    eventSink === undefined
      ? undefined
      : startFilesLog({
          sequencer,
          metadata,
          sink: eventSink,
          clock: systemClock,
          random: systemRandom,
          onNotice: options.onFilesLog ?? (() => undefined),
        });
  const webhooks = startWebhooks({
    store: directory.tokens,
    metadata,
    sequencer,
    transport: createFetchTransport(),
    clock: systemClock,
    random: systemRandom,
    onNotice: options.onWebhook ?? (() => undefined),
  });
  const sources = { sequencer, objects, clock: systemClock };
  const metrics = page(createReadings(filesLog === undefined ? sources : { ...sources, filesLog }));
  const stopping = new AbortController();
  const tokens = new Tokens({ store: directory.tokens, clock: systemClock, secret: systemSecret });
  const insideToken = systemSecret();
  const readiness = new Readiness({ clock: systemClock, probe });
  const links = new Links({
    store: directory.tokens,
    tokens,
    passwords: systemPasswordHashes,
    clock: systemClock,
    secret: systemSecret,
  });
  const ticketKey =
    shared === undefined ? systemSecret() : hmacSha256(shared.key, options.token ?? "");
  const routing = {
    formerNames: metadata.formerNames,
    insideToken,
    sequencer,
    history,
    clock: systemClock,
    random: systemRandom,
    loopbackOnly,
    signal: stopping.signal,
    onError,
    instruments,
    metrics,
    page: (await loadPageFiles()) ?? "not built",
    tickets: new Tickets(systemClock, ticketKey),
    readiness,
    tokens,
    links,
    orders: new Orders({ store: directory.orders, clock: systemClock }),
    ...(options.behindProxy === undefined ? undefined : { behindProxy: options.behindProxy }),
    ...(options.onAdminUse === undefined ? undefined : { onAdminUse: options.onAdminUse }),
    ...(options.onRefusal === undefined ? undefined : { onRefusal: options.onRefusal }),
    ...(options.token === undefined ? undefined : { token: options.token }),
  } satisfies RouterOptions;
  const router = createRouter(routing);
  const inside = createRouter({ ...routing, streamsMax: Number.POSITIVE_INFINITY });
  return {
    serverId: sequencer.serverId,
    failure: sequencer.failure,
    tokens,
    insideToken,
    metrics,
    handle: (request, peer) => router.fetch(request, { peer }),
    handleInside: (request) => inside.fetch(request),
    folders: async () => (await sequencer.folders({ limit: 1000 })).map(({ name }) => name),
    async drain() {
      readiness.drain();
      if (shared !== undefined) await systemClock.sleep(DRAIN_MS);
    },
    endStreams: () => stopping.abort(),
    async close() {
      stopping.abort();
      await Promise.all([
        filesLog?.stop(),
        webhooks.stop(),
        history.stop(),
        upkeep.stop(),
        scrub?.stop(),
        sequencer.close(),
      ]);
      await directory.close();
    },
  };
}

/** Connects to nothing yet. @throws {SyncedError} `usage` if the URL is not valid. */
async function createEventSink({ databaseUrl }: ServerOptions): Promise<EventSink | undefined> {
  if (databaseUrl === undefined) return undefined;
  const { createPostgresEventSink } = await import("./src/adapters/postgres/event-sink.ts");
  return createPostgresEventSink({ url: databaseUrl });
}

/** Opened by the first request, so that importing this module opens nothing. */
let lazyBackend: Promise<Backend> | undefined;

function openLazily(): Promise<Backend> {
  lazyBackend ??= openFromEnvironment();
  return lazyBackend;
}

async function openFromEnvironment(): Promise<Backend> {
  const token = tokenFromEnvironment();
  const databaseUrl = fromEnvironment("SYNCED_DATABASE_URL");
  const metadataUrl = fromEnvironment("SYNCED_METADATA_URL");
  const bucketUrl = fromEnvironment("SYNCED_BUCKET_URL");
  const bucket = { url: bucketUrl ?? "", key: fromEnvironment("SYNCED_BUCKET_KEY") ?? "" };
  return await openBackend(
    {
      data: fromEnvironment("SYNCED_DATA") ?? DEFAULT_DATA,
      onError: writeError,
      onFilesLog: ({ message }) => process.stderr.write(`${message}\n`),
      ...(databaseUrl === undefined ? undefined : { databaseUrl }),
      ...(metadataUrl === undefined ? undefined : { metadataUrl }),
      ...(bucketUrl === undefined ? undefined : { bucket }),
      isShared: ["1", "true"].includes(fromEnvironment("SYNCED_SHARED") ?? ""),
      ...(token === undefined ? undefined : { token }),
    },
    true,
  );
}

/** @returns undefined for a variable that is empty, as compose makes those without a value */
function fromEnvironment(name: string): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
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

interface Connected {
  readonly requestIP?: (request: Request) => { readonly address: string } | null;
  readonly remoteAddr?: { readonly hostname?: string };
}

/** The export that `bun server.ts` and `deno serve server.ts` look for. */
export default {
  hostname: DEFAULT_HOST,
  /** Not checked here, because importing must not fail. The runtime refuses an illegal port. */
  port: Number(process.env["SYNCED_PORT"] ?? DEFAULT_PORT),
  idleTimeout: 60,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  development: false,
  reusePort: false,
  /** @param from Bun's server, or Deno's word on the connection */
  async fetch(request: Request, from?: Connected): Promise<Response> {
    const backend = await openLazily();
    // A runtime may listen on all addresses although `hostname` says another.
    const peer = from?.requestIP?.(request)?.address ?? from?.remoteAddr?.hostname ?? "unknown";
    return await backend.handle(request, peer);
  },
};
