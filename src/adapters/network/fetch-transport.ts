/**
 * Transport over the runtime's fetch: no redirects, no inflating, kept-alive connections, and
 * proxies from the environment. Rules: H10, B63, B64.
 */
import { SyncedError } from "../../core/error.ts";
import type { Transport } from "../../ports/transport.ts";
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
}

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
  [/CERT|certificate|SELF_SIGNED/i, "its certificate is not accepted"],
];

/** Errors that mean that something answers there, but does not speak the URL's protocol. */
const STRANGERS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/EPROTO|handshake failed|corrupt message|WRONG_VERSION/i, "it does not speak https there"],
  [/Malformed_HTTP|invalid HTTP|InvalidHTTP/i, "it does not speak http there"],
];

/**
 * Sends requests over the network.
 *
 * @returns a transport that rejects with `server_unreachable` for network trouble, and with
 * `not_a_synced_server` if something other than HTTP answers. An abort passes through.
 */
export function createFetchTransport(): Transport {
  settings ??= takeProxySettings(process.env);
  const proxies = settings;
  const optionsFor = createProxyOptions();
  const describe = (url: string): string => placeOf(url, proxyFor(proxies, new URL(url)));
  const exchange = async (request: Request): Promise<Response> => {
    const proxy = proxyFor(proxies, new URL(request.url));
    const options = proxy === undefined ? EXCHANGE_OPTIONS : optionsFor(proxy);
    let response: Response;
    try {
      response = await fetch(request, options);
    } catch (cause) {
      if (request.signal.aborted) throw cause;
      throw failure(placeOf(request.url, proxy), cause);
    }
    if (proxy === undefined || response.status !== PROXY_WANTS_CREDENTIALS) return response;
    throw failure(placeOf(request.url, proxy), "proxy authentication required");
  };
  return Object.assign(exchange, { describe });
}

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
