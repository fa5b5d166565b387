/**
 * Transport over the runtime's fetch: no redirects, no inflating, kept-alive connections, proxies
 * from the environment, and servers that are known by their key. Rules: H10, K9, B63, B64.
 */
import { SyncedError } from "../../core/error.ts";
import type { Fingerprint } from "../../core/fingerprint.ts";
import type { Transport } from "../../ports/transport.ts";
import { probeCertificate, type SeenCertificate } from "../tls/probe.ts";
import { createPinnedOptions } from "./pinned-options.ts";
import {
  type HttpProxy,
  type ProxySettings,
  proxyFor,
  takeProxySettings,
} from "./proxy-environment.ts";

/**
 * The options that this client gives to a fetch. Bun takes a proxy as `proxy`, Deno as `client`.
 */
interface ExchangeOptions extends RequestInit {
  readonly decompress: boolean;
  readonly proxy?: string;
  readonly client?: unknown;
  readonly session?: unknown;
  readonly tls?: { readonly rejectUnauthorized: boolean };
}

/** By what a client knows that an https server is the right one. */
export type Trust =
  /** By the word of the authorities that this machine trusts. */
  | { readonly kind: "authorities" }
  /** By its key alone, whoever vouches for it. */
  | { readonly kind: "key"; readonly fingerprint: Fingerprint }
  /** Anybody's answer will do. Nothing secret may be sent then. */
  | { readonly kind: "anybody" };

/** Bun would inflate 300 KB to 300 MB unasked. Other runtimes do not know the option. */
const EXCHANGE_OPTIONS: ExchangeOptions = {
  // Not followed, so that the caller can tell a person where the redirect leads.
  redirect: "manual",
  decompress: false,
};

/** The parts of `Deno` that are used. */
interface DenoClients {
  createHttpClient(options: {
    readonly proxy: {
      readonly url: string;
      readonly basicAuth?: { readonly username: string; readonly password: string };
    };
  }): unknown;
}

/** Kept for the whole process, because the variables are removed from the environment once read. */
let settings: ProxySettings | undefined;

/**
 * The runtimes' words, and the words for a person. They are searched in the error's code and
 * message.
 */
const REASONS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [
    /tunnel: 407|proxy authentication required/i,
    "the proxy wants a user and a password, as in http://USER:PASSWORD@HOST:PORT",
  ],
  [/ERR_PROXY_TUNNEL|unsuccessful tunnel/i, "the proxy does not let it through"],
  [/ECONNREFUSED|ConnectionRefused|Connection refused/i, "nothing listens there"],
  [/ENOTFOUND|EAI_|DNS|FailedToOpenSocket|getaddrinfo|lookup/i, "its name or address is not found"],
  [/ECONNRESET|ConnectionClosed|EPIPE|connection.*(closed|reset)/i, "the connection broke"],
  [/ETIMEDOUT|Timeout|timed out/i, "the connection timed out"],
  [/ENETUNREACH|EHOSTUNREACH|unreachable/i, "there is no way to it from this network"],
];

/** Certificates that no authority vouches for, or not for that host or time. */
const UNTRUSTED: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/EXPIRED|has expired/i, "its certificate has expired"],
  [
    /NOT_YET_VALID|not yet valid/i,
    "its certificate is not valid yet, or this machine's clock is wrong",
  ],
  [
    /ALTNAME|HOSTNAME_MISMATCH|not valid for (?:name|the)|NotValidForName/i,
    "its certificate is for another host",
  ],
  [
    /SELF_SIGNED|self.signed|UnknownIssuer|unable to (?:get|verify)/i,
    "its certificate is self-signed, or by an authority that this machine does not know",
  ],
  [/CERT|certificate/i, "its certificate is not accepted"],
];

/** Errors that mean that something answers there, but does not speak the URL's protocol. */
const STRANGERS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [
    /EPROTO|handshake failed|corrupt message|WRONG_VERSION/i,
    "it does not speak https there, or an outdated TLS",
  ],
  [/Malformed_HTTP|invalid HTTP|InvalidHTTP/i, "it does not speak http there"],
];

/**
 * Sends requests over the network.
 *
 * @returns a transport that rejects with `server_unreachable` for network trouble, and with
 * `not_a_synced_server` if something other than HTTP answers. An abort passes through.
 */
export function createFetchTransport(trust: Trust = { kind: "authorities" }): Transport {
  settings ??= takeProxySettings(process.env);
  // Runtimes would obey it without a word, and trust anybody.
  delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  const proxies = settings;
  const optionsFor = createProxyOptions();
  const pinned = trust.kind === "key" ? createPinnedOptions(trust.fingerprint) : undefined;
  const describe = (url: string): string => placeOf(url, proxyFor(proxies, new URL(url)));
  const exchange = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const proxy = proxyFor(proxies, url);
    const options = proxy === undefined ? EXCHANGE_OPTIONS : optionsFor(proxy);
    const place = placeOf(request.url, proxy);
    let response: Response;
    try {
      if (url.protocol !== "https:") response = await fetch(request, options);
      else if (trust.kind === "anybody")
        response = await fetch(request, { ...options, ...ANYBODY });
      else if (pinned === undefined) response = await fetch(request, options);
      else response = await fetch(request, { ...options, ...(await pinned.for(request, proxy)) });
    } catch (cause) {
      if (request.signal.aborted || cause instanceof SyncedError) throw cause;
      pinned?.forget();
      if (isUntrusted(cause)) throw await untrusted(place, url, { cause, proxy });
      throw failure(place, cause);
    }
    if (proxy === undefined || response.status !== PROXY_WANTS_CREDENTIALS) return response;
    throw failure(place, "proxy authentication required");
  };
  return Object.assign(exchange, { describe });
}

const ANYBODY = { tls: { rejectUnauthorized: false } };

/** RFC 9110, section 15.5.8. */
const PROXY_WANTS_CREDENTIALS = 407;

/** Names the URL and its proxy, without the proxy's credentials. */
function placeOf(url: string, proxy: HttpProxy | undefined): string {
  const { origin } = new URL(url);
  if (proxy === undefined) return origin;
  return `${origin} through the proxy ${proxy.url.origin} (${proxy.variable})`;
}

/** @returns a function that makes the fetch options for a proxy. */
function createProxyOptions(): (proxy: HttpProxy) => ExchangeOptions {
  const deno = (globalThis as { Deno?: DenoClients }).Deno;
  if (deno === undefined) return ({ url }) => ({ ...EXCHANGE_OPTIONS, proxy: url.href });
  // A client keeps its connections, so there is one client for each proxy.
  const clients = new Map<string, unknown>();
  return ({ url }) => {
    const client = clients.get(url.href) ?? deno.createHttpClient({ proxy: denoProxy(url) });
    clients.set(url.href, client);
    return { ...EXCHANGE_OPTIONS, client };
  };
}

function denoProxy({ origin, username, password }: URL) {
  if (username === "") return { url: origin };
  const basicAuth = {
    username: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
  return { url: origin, basicAuth };
}

function isUntrusted(cause: unknown): boolean {
  const text = describe(cause);
  return UNTRUSTED.some(([pattern]) => pattern.test(text));
}

/** Says why, and what a person can do: compare the key, and name it. */
async function untrusted(
  place: string,
  url: URL,
  { cause, proxy }: { readonly cause: unknown; readonly proxy: HttpProxy | undefined },
): Promise<SyncedError> {
  const text = describe(cause);
  const reason = UNTRUSTED.find(([pattern]) => pattern.test(text))?.[1] ?? text;
  const seen = proxy === undefined ? await look(url) : undefined;
  const advice =
    seen === undefined
      ? ""
      : `. Its key has the fingerprint ${seen.fingerprint}: if that is what the server printed ` +
        "when it started, add --fingerprint with it";
  const message = `Cannot trust ${place}: ${reason}${advice}`;
  return new SyncedError("untrusted_server", message, { cause });
}

async function look(url: URL): Promise<SeenCertificate | undefined> {
  try {
    return await probeCertificate(url, new AbortController().signal);
  } catch {
    // It was there a moment ago. The reason says enough.
    return undefined;
  }
}

function failure(place: string, cause: unknown): SyncedError {
  const text = describe(cause);
  const strange = STRANGERS.find(([pattern]) => pattern.test(text))?.[1];
  if (strange !== undefined) {
    const message = `Cannot use ${place}: ${strange}; check the address`;
    return new SyncedError("not_a_synced_server", message, { cause });
  }
  const reason = REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? text;
  return new SyncedError("server_unreachable", `Cannot reach ${place}: ${reason}`, { cause });
}

/**
 * Code and message of the error and of its causes, because Node and Deno keep the reason in
 * `cause`.
 */
function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause && typeof cause.code === "string" ? `${cause.code} ` : "";
  const inner = cause.cause === undefined ? "" : ` ${describe(cause.cause)}`;
  return `${code}${cause.message}${inner}`;
}
