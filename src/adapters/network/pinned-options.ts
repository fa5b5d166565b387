/**
 * The fetch options for a server that is known by its key. Rules: K9.
 *
 * The key is looked at over a connection of its own, and again on each connection of the session,
 * before a request is sent there. A certificate that no authority vouches for is its own authority
 * then; its dates and its names do not matter.
 */
import { X509Certificate } from "node:crypto";
import { SyncedError } from "../../core/error.ts";
import type { Fingerprint } from "../../core/fingerprint.ts";
import { fingerprintOf } from "../tls/fingerprint.ts";
import { probeCertificate } from "../tls/probe.ts";
import type { HttpProxy } from "./proxy-environment.ts";

export interface PinnedOptions {
  /** @throws {SyncedError} `server_changed` if another key is there; else the network's error */
  for(request: Request, proxy: HttpProxy | undefined): Promise<object>;
  /** The next request looks at the key anew. */
  forget(): void;
}

/** The part of `Deno` that is used. */
interface DenoClients {
  createHttpClient(options: { readonly caCerts: readonly string[] }): unknown;
}

export function createPinnedOptions(pinned: Fingerprint): PinnedOptions {
  let known: Promise<object> | undefined;
  return {
    async for(request, proxy) {
      const url = new URL(request.url);
      if (proxy !== undefined) {
        throw new SyncedError(
          "usage",
          `Cannot look at the key of ${url.origin} through a proxy: name ${url.hostname} in no_proxy`,
        );
      }
      known ??= open(url, pinned, request.signal);
      try {
        return await known;
      } catch (error) {
        known = undefined;
        throw error;
      }
    },
    forget() {
      known = undefined;
    },
  };
}

async function open(url: URL, pinned: Fingerprint, signal: AbortSignal): Promise<object> {
  const { fingerprint, pem, isTrusted } = await probeCertificate(url, signal);
  if (fingerprint !== pinned) throw anotherKey(url, fingerprint, pinned);
  const deno = (globalThis as { Deno?: DenoClients }).Deno;
  if (deno !== undefined) return { client: deno.createHttpClient({ caCerts: [pem] }) };
  const session = new Bun.FetchSession({
    tls: {
      rejectUnauthorized: true,
      ...(isTrusted ? undefined : { ca: pem }),
      checkServerIdentity(_host, { raw }) {
        const seen = fingerprintOf(new X509Certificate(raw));
        return seen === pinned ? undefined : anotherKey(url, seen, pinned);
      },
    },
  });
  return { session };
}

function anotherKey(url: URL, seen: Fingerprint, pinned: Fingerprint): SyncedError {
  return new SyncedError(
    "server_changed",
    `Cannot trust ${url.origin}: its key is ${seen}, and this folder knows the server by ` +
      `${pinned}. Nothing was sent. If the server has a new key, compare it with what the server ` +
      "prints when it starts, and run synced sync once with --fingerprint and the new one; " +
      "otherwise somebody stands between",
  );
}
