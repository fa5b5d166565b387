/**
 * `synced serve`: runs the server until it is interrupted or its storage fails. Rules: H2, H3,
 * K8-K11, I41.
 */

import { isIP } from "node:net";
import { basename, resolve } from "node:path";
import { defineCommand } from "citty";
import { createServer, type Server, type ServerOptions } from "../../server.ts";
import { requireOpenFiles } from "../adapters/disk/open-files.ts";
import { widenThreadPool } from "../adapters/runtime/native-calls.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import {
  commonFlags,
  parseDurationFlag,
  parseKeepFlag,
  parsePortFlag,
  parseQuotaFlag,
  parseSizeFlag,
  readToken,
  switchFlag,
  textFlag,
  tokenFlag,
} from "./flags.ts";
import { type Interruption, onInterruption } from "./interruption.ts";
import { startMirror } from "./mirror.ts";
import { createOutput, type Output } from "./output.ts";
import { readBucket, readUrl } from "./places.ts";
import { count, quoted } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";
import { reachableUrl } from "./server-url.ts";

const args = {
  data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
  host: { ...textFlag("host", "ADDRESS", "Address to listen on"), default: "127.0.0.1" },
  port: { ...textFlag("port", "N", "Port to listen on, 0 for any free one"), default: "8080" },
  ...tokenFlag,
  "insecure-no-auth": switchFlag(
    "insecure-no-auth",
    "Listen on an address that others can reach without a token",
  ),
  "tls-cert": textFlag("tls-cert", "FILE", "Certificate chain (PEM); read again when it changes"),
  "tls-key": textFlag("tls-key", "FILE", "Its key (PEM)"),
  "insecure-http": switchFlag("insecure-http", "Speak http where others can reach it"),
  "behind-proxy": textFlag(
    "behind-proxy",
    "ADDRESS",
    "Speak http to the proxy at that address, where TLS ends, and to nobody else",
  ),
  "metrics-port": textFlag(
    "metrics-port",
    "N",
    "Port for /metrics alone, without a token; it is on the main port too",
  ),
  scrub: textFlag("scrub", "TIME", "Read all bytes once in so long, such as 30d; never if absent"),
  keep: {
    ...textFlag("keep", "TIME", "How long to keep old versions: 90d, or 90d,FOLDER=30d"),
    default: "forever",
  },
  "file-size-max": textFlag(
    "file-size-max",
    "SIZE",
    "The largest file that is taken, such as 500MiB or 10GiB; any if absent",
  ),
  quota: textFlag(
    "quota",
    "SIZE",
    "How large a folder's files may be: 100GiB, or 100GiB,FOLDER=1TiB; any if absent",
  ),
  "metrics-host": {
    ...textFlag("metrics-host", "ADDRESS", "Address for that port to listen on"),
    default: "127.0.0.1",
  },
  mirror: textFlag("mirror", "DIR", "Keep a plain copy of each folder as DIR/FOLDER"),
  "metadata-url": textFlag(
    "metadata-url",
    "URL",
    "PostgreSQL to keep the metadata in, postgres://USER:PASSWORD@HOST/DATABASE; --data keeps " +
      "the objects",
  ),
  "metadata-url-file": textFlag("metadata-url-file", "FILE", "File that holds that URL"),
  "bucket-url": textFlag(
    "bucket-url",
    "URL",
    "Bucket to keep the objects in, s3://HOST/BUCKET/PREFIX; goes with --metadata-url",
  ),
  "bucket-key-file": textFlag(
    "bucket-key-file",
    "FILE",
    "File that holds the bucket's key, ID:SECRET; or set SYNCED_BUCKET_KEY",
  ),
  shared: switchFlag(
    "shared",
    "Other servers use the same PostgreSQL and bucket; --data is this server's alone",
  ),
  "metadata-listen-url": textFlag(
    "metadata-listen-url",
    "URL",
    "That PostgreSQL without a pooler, for --shared",
  ),
  "metadata-listen-url-file": textFlag(
    "metadata-listen-url-file",
    "FILE",
    "File that holds that URL",
  ),
  "database-url": textFlag(
    "database-url",
    "URL",
    "PostgreSQL to write every event to, postgres://USER:PASSWORD@HOST/DATABASE",
  ),
  "database-url-file": textFlag("database-url-file", "FILE", "File that holds that URL"),
  ...commonFlags,
} as const;

export const command = defineCommand({
  meta: { name: "serve", description: "Run the server" },
  args,
  async run({ args: flags }) {
    widenThreadPool();
    requireOpenFiles();
    const output = createOutput(flags);
    const token = readToken(flags["token-file"], process.env);
    const tls = tlsOptions(flags);
    const port = parsePortFlag("port", flags.port);
    const metricsPort = flags["metrics-port"];
    const databaseUrl = readUrl("database-url", {
      url: flags["database-url"],
      file: flags["database-url-file"],
    });
    const metadataUrl = readUrl("metadata-url", {
      url: flags["metadata-url"],
      file: flags["metadata-url-file"],
    });
    const metadataListenUrl = readUrl("metadata-listen-url", {
      url: flags["metadata-listen-url"],
      file: flags["metadata-listen-url-file"],
    });
    const bucket = readBucket(flags, process.env);
    const interruption = onInterruption(output.say);
    const server = await createServer({
      data: resolve(flags.data),
      host: flags.host,
      port,
      isOpenToAll: flags["insecure-no-auth"],
      isInTheClear: flags["insecure-http"],
      ...tls,
      metricsHost: flags["metrics-host"],
      onRefusal: ({ address, count: number }) => {
        output.event("refused", { address, count: number });
        output.warn(`Refused ${count(number, "wrong token")} from ${address}`);
      },
      onAdminUse: (use) => tellAdminUse(output, use),
      onCertificate: ({ fingerprint, error }) => {
        output.event("certificate", { fingerprint, message: error?.message });
        if (error === undefined) output.say(`A new certificate is in use, key ${fingerprint}`);
        else output.error(`${error.message}; the former one stays in use`);
      },
      onError: (error, requestId) => output.error(`Request ${requestId} failed: ${textOf(error)}`),
      ...(token === undefined ? undefined : { token }),
      ...(metricsPort === undefined
        ? undefined
        : { metricsPort: parsePortFlag("metrics-port", metricsPort) }),
      ...(databaseUrl === undefined ? undefined : { databaseUrl }),
      ...(metadataUrl === undefined ? undefined : { metadataUrl }),
      ...(bucket === undefined ? undefined : { bucket }),
      isShared: flags.shared,
      ...(metadataListenUrl === undefined ? undefined : { metadataListenUrl }),
      ...(flags.scrub === undefined
        ? undefined
        : { scrubMs: parseDurationFlag("scrub", flags.scrub) }),
      onDamage: ({ folder, digest }) => {
        output.event("damage_found", { folder, digest });
        output.warn(
          `Object ${digest} of folder "${folder}" is damaged; its devices are asked for it`,
        );
      },
      retention: parseKeepFlag(flags.keep),
      ...(flags["file-size-max"] === undefined
        ? undefined
        : { fileBytesMax: parseSizeFlag("file-size-max", flags["file-size-max"]) }),
      ...(flags.quota === undefined ? undefined : { quota: parseQuotaFlag(flags.quota) }),
      onCollected: ({ versions, objects, bytes, skipped }) => {
        output.event("collected", { versions, objects, bytes, skipped });
        for (const message of skipped) output.warn(message);
        output.detail(`Deleted ${objects} objects that no version needs, ${formatBytes(bytes)}`);
      },
      onUpkeepFailure: (error) => output.error(`Collecting garbage failed: ${textOf(error)}`),
      onWebhook: ({ code, id, message }) => {
        output.event(code, { id, message });
        if (code === "webhook_delivered") output.say(message);
        else output.warn(message);
      },
      onFilesLog: ({ code, message }) => {
        output.event(code, { message });
        if (code === "files_log_connected") output.say(message);
        else output.warn(message);
      },
    });
    announce(output, server, flags);
    const mirror =
      flags.mirror === undefined
        ? undefined
        : startMirror({ server, directory: resolve(flags.mirror), output });
    try {
      await untilEnd(server, interruption);
    } finally {
      await mirror?.stop();
      await server.close();
    }
    output.event("stopped", { reason: "interrupted" });
    return interruption.exitCode() ?? EXIT.done;
  },
});

type AdminUse = Parameters<NonNullable<ServerOptions["onAdminUse"]>>[0];

/** Who did what, with which outcome; never a token's text. */
function tellAdminUse(output: Output, use: AdminUse): void {
  const { method, path, status, token, address, untold } = use;
  output.event("admin_use", { method, path, status, token, address, untold });
  const who = token === undefined ? "the server's own token" : `token ${token}`;
  const from = address === undefined ? "" : ` from ${address}`;
  const more = untold === 0 ? "" : `, after ${count(untold, "use")} that are not listed`;
  output.warn(`${method} ${quoted(path)} by ${who}${from}: answered ${status}${more}`);
}

interface TlsFlags {
  readonly "tls-cert"?: string | undefined;
  readonly "tls-key"?: string | undefined;
  readonly "insecure-http": boolean;
  readonly "behind-proxy"?: string | undefined;
}

/** @throws {SyncedError} `usage` for flags that contradict each other */
function tlsOptions(flags: TlsFlags) {
  const { "tls-cert": certFile, "tls-key": keyFile, "behind-proxy": behindProxy } = flags;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new SyncedError("usage", "Cannot use one of --tls-cert and --tls-key: name both");
  }
  if (flags["insecure-http"] && (certFile !== undefined || behindProxy !== undefined)) {
    throw new SyncedError("usage", "Cannot use --insecure-http with --tls-cert or --behind-proxy");
  }
  if (behindProxy !== undefined && isIP(behindProxy) === 0) {
    throw new SyncedError(
      "usage",
      `Cannot use --behind-proxy "${behindProxy}": expected the address that the proxy comes from`,
    );
  }
  return {
    ...(certFile === undefined || keyFile === undefined
      ? undefined
      : { tls: { certFile, keyFile } }),
    ...(behindProxy === undefined ? undefined : { behindProxy }),
  };
}

function announce(
  output: Output,
  server: Server,
  flags: { readonly data: string; readonly "token-file"?: string | undefined },
): void {
  const { url, serverId, metricsUrl, fingerprint, newTokenFile, wantsToken } = server;
  output.event("listening", { url, serverId, metricsUrl, fingerprint, tokenFile: newTokenFile });
  output.say(`Listening on ${url}, data in "${flags.data}"`);
  if (metricsUrl !== undefined) output.say(`Metrics on ${metricsUrl}`);
  if (fingerprint !== undefined) output.say(`The key's fingerprint is ${fingerprint}`);
  if (newTokenFile !== undefined) {
    output.say(
      `Made an admin's token: it is in "${newTokenFile}", and nowhere else. Copy it to the first ` +
        "client, and make one for each other device with synced token create",
    );
  }
  if (!wantsToken && !url.includes("//127.")) {
    output.warn("No token is wanted: all who reach this server can read and change all files");
  }
  const pin = fingerprint === undefined ? "" : ` --fingerprint ${fingerprint}`;
  const token = wantsToken
    ? ` --token-file ${newTokenFile === undefined ? "FILE" : basename(newTokenFile)}`
    : "";
  output.say(`Try next: synced sync FOLDER --server ${reachableUrl(url)}${pin}${token}`);
}

/** Resolves when it is interrupted. @throws the error with which storage failed */
async function untilEnd(server: Server, interruption: Interruption): Promise<void> {
  const { signal } = interruption;
  const interrupted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const failure = await Promise.race([interrupted, server.failure.then((error) => ({ error }))]);
  if (failure !== undefined) {
    const { error } = failure;
    // No data can be promised durable any more. Only a new process can read what the disk really
    // has.
    throw error instanceof SyncedError
      ? error
      : new SyncedError("internal", `Storage failed: ${textOf(error)}`, { cause: error });
  }
}

function textOf(error: unknown): string {
  if (error instanceof SyncedError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
