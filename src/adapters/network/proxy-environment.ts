/**
 * Finds the proxy for a request from `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, by
 * curl's rules, except that loopback is always reached directly. Rules: H10, H17.
 */
import { BlockList, isIP } from "node:net";
import { SyncedError } from "../../core/error.ts";

type Environment = Record<string, string | undefined>;

export interface HttpProxy {
  /** With user and password if the variable has them, so it must never be shown. */
  readonly url: URL;
  /** The variable that names the proxy, for messages. */
  readonly variable: string;
}

/** The parts of the requested URL. */
export type Target = Pick<URL, "protocol" | "hostname" | "port">;

interface Setting {
  readonly variable: string;
  readonly value: string;
}

export interface ProxySettings {
  readonly http: Setting | undefined;
  readonly https: Setting | undefined;
  readonly all: Setting | undefined;
  /** Hosts that are reached directly. */
  readonly none: string;
}

const LOOPBACK_HOST =
  /^(localhost|.+\.localhost|127(\.[0-9]{1,3}){3}|\[::1\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\])$/;

/**
 * Removes the settings from the environment and returns them. Runtimes read the same variables, but
 * by other rules and for loopback too. If they find none, the choice stays with us.
 */
export function takeProxySettings(environment: Environment): ProxySettings {
  const take = (name: string): Setting | undefined => {
    // Of both spellings the lower-case one wins. An empty value counts as not set.
    const found = [name, name.toUpperCase()].flatMap((variable) => {
      const value = environment[variable];
      delete environment[variable];
      return value === undefined || value === "" ? [] : [{ variable, value }];
    });
    return found[0];
  };
  return {
    http: take("http_proxy"),
    https: take("https_proxy"),
    all: take("all_proxy"),
    none: take("no_proxy")?.value ?? "",
  };
}

/**
 * @returns undefined if the URL is reached directly.
 * @throws {SyncedError} `usage` if the proxy's address cannot be used.
 */
export function proxyFor(settings: ProxySettings, target: Target): HttpProxy | undefined {
  const setting = (target.protocol === "https:" ? settings.https : settings.http) ?? settings.all;
  if (setting === undefined || isLoopback(target.hostname)) return undefined;
  if (settings.none.split(/[\s,]+/).some((entry) => covers(entry, target))) return undefined;
  const { variable, value } = setting;
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) {
    return { variable, url };
  }
  // The value is not shown, because it may hold a password.
  throw new SyncedError(
    "usage",
    `Cannot use the proxy that ${variable} names: expected http://HOST:PORT; ` +
      `to reach ${target.hostname} without it, name it in no_proxy`,
  );
}

/** True for names and addresses that never leave this machine. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK_HOST.test(hostname);
}

/**
 * Matches one entry of `no_proxy`: `*`, a name with all below it, an address or a subnet, each with
 * or without a port.
 */
function covers(entry: string, target: Target): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const [, host = "", port] = /^(\[.*\]|[^:]*|.*:.*:.*?)(?::([0-9]+))?$/.exec(entry) ?? [];
  const targetPort =
    target.port === "" ? (target.protocol === "https:" ? "443" : "80") : target.port;
  if (port !== undefined && port !== targetPort) return false;
  const address = withoutBrackets(target.hostname);
  if (isIP(address) !== 0) return coversAddress(withoutBrackets(host), address);
  const name = host
    .toLowerCase()
    .replace(/^\*?\./, "")
    .replace(/\.$/, "");
  const wanted = target.hostname.replace(/\.$/, "");
  return name !== "" && (wanted === name || wanted.endsWith(`.${name}`));
}

function coversAddress(entry: string, address: string): boolean {
  const [network = "", prefix, ...rest] = entry.split("/");
  if (isIP(network) !== isIP(address) || rest.length > 0) return false;
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  const bitsMax = family === "ipv4" ? 32 : 128;
  const bits = prefix === undefined ? bitsMax : Number(prefix);
  if (prefix === "" || !Number.isInteger(bits) || bits < 0 || bits > bitsMax) return false;
  const covered = new BlockList();
  covered.addSubnet(network, bits, family);
  return covered.check(address, family);
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
