/** The server's address as a person types it. Rules: G5. */
import { hostname, networkInterfaces } from "node:os";
import { SyncedError } from "../core/error.ts";

const LOOPBACK_HOST = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/;

/**
 * @param text one address, or several with commas between them, of servers that share their data
 * @returns the same as origins: scheme, host and port
 * @throws {SyncedError} `usage` unless each is an http or https URL without user, path and query,
 * and certificates are checked.
 */
export function parseServerUrl(text: string): string {
  const urls = text.split(",").map((url) => parseOneUrl(url.trim(), "server"));
  return [...new Set(urls)].join(",");
}

/** @throws {SyncedError} `usage` as `parseServerUrl` */
export function parseOneUrl(text: string, flag: "server" | "url"): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new SyncedError("usage", `Cannot use --${flag} "${text}": expected http://HOST:PORT`);
  }
  const hasMore = url.pathname !== "/" || url.search !== "" || url.hash !== "";
  if (hasMore || url.username !== "" || url.password !== "") {
    throw new SyncedError(
      "usage",
      `Cannot use --${flag} "${url.origin}" with a path, query or password: expected http://HOST:PORT`,
    );
  }
  if (url.protocol === "https:") refuseUncheckedTls(process.env);
  return url.origin;
}

/**
 * A forgotten variable must not turn the check of certificates off for the token and all files.
 *
 * @throws {SyncedError} `usage`
 */
function refuseUncheckedTls(environment: Readonly<Record<string, string | undefined>>): void {
  if (environment["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0") return;
  throw new SyncedError(
    "usage",
    "NODE_TLS_REJECT_UNAUTHORIZED=0 is set: with it anybody could pass for the server; unset it",
  );
}

/** Replaces an address that means "all of mine", because no client can be pointed at it. */
export function reachableUrl(url: string): string {
  return url.replace(/\/\/(?:0\.0\.0\.0|\[::\]):/, `//${outsideAddress()}:`);
}

/** The first address of this machine that others may reach, else its name. */
function outsideAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = addresses.find(({ internal, family }) => !internal && family === "IPv4");
  return found?.address ?? hostname();
}

/** True if others on the way to one of the servers can read and change everything that is sent, the token included. */
export function isExposed(serverUrl: string): boolean {
  return serverUrl.split(",").some((one) => {
    const url = new URL(one);
    return url.protocol === "http:" && !LOOPBACK_HOST.test(url.hostname);
  });
}
