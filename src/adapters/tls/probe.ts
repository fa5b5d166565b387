/**
 * Looks at a server's certificate over a connection of its own, on which nothing is sent. Rules:
 * K9.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect } from "node:tls";
import type { Fingerprint } from "../../core/fingerprint.ts";
import { fingerprintOf } from "./fingerprint.ts";

export interface SeenCertificate {
  readonly fingerprint: Fingerprint;
  /** Of the server's own certificate. */
  readonly pem: string;
  /** True if an authority that this machine trusts vouches for it, and for this host. */
  readonly isTrusted: boolean;
}

const PATIENCE_MS = 10_000;

/** @throws the network's or TLS's error */
export function probeCertificate(url: URL, signal: AbortSignal): Promise<SeenCertificate> {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? 443 : Number(url.port);
  return new Promise((resolve, reject) => {
    // Nothing but the handshake happens here, so it is safe to go on with anybody.
    const name = isIP(host) === 0 ? { servername: host } : undefined;
    const socket = connect({ host, port, ...name, rejectUnauthorized: false });
    const abort = () => socket.destroy(new Error("The request was given up"));
    signal.addEventListener("abort", abort, { once: true });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("connection timed out")));
    socket.once("close", () => signal.removeEventListener("abort", abort));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      try {
        const certificate = new X509Certificate(socket.getPeerCertificate(true).raw);
        resolve({
          fingerprint: fingerprintOf(certificate),
          pem: certificate.toString(),
          isTrusted: socket.authorized,
        });
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      } finally {
        socket.destroy();
      }
    });
  });
}
