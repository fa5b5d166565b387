/**
 * A server's key and certificate in files: made once, read, read again when they change, and copied
 * with their data directory. Rules: K9, K10, U9.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { SyncedError } from "../../core/error.ts";
import type { Fingerprint } from "../../core/fingerprint.ts";
import { reasonOf } from "../disk/system-error.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type KeyAndCertificate, makeSelfSigned } from "./self-signed.ts";

/** Renewals are hours or months apart, and a person who tries one looks for so long. */
const LOOK_INTERVAL_MS = 5_000;

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ServerTls extends KeyAndCertificate {
  readonly fingerprint: Fingerprint;
}

/** The files of the data directory's own key; made when the key is. Only its owner may read it. */
export function ownTlsFiles(data: string): TlsFiles {
  const files = ownFilesIn(data);
  if (existsSync(files.certFile)) return files;
  const { key, cert } = makeSelfSigned(["localhost", "127.0.0.1", "::1", hostname()]);
  // The certificate is written last: without it, a later start makes both anew.
  writeFileSync(files.keyFile, key, { mode: 0o600, flush: true });
  writeFileSync(files.certFile, cert, { mode: 0o600, flush: true });
  return files;
}

function ownFilesIn(data: string): TlsFiles {
  return { certFile: join(data, "tls-cert.pem"), keyFile: join(data, "tls-key.pem") };
}

/**
 * Copies a data directory's own key, by which clients know its server, if it has one. Durable once
 * the names in `target` are.
 *
 * @throws {SyncedError} `usage` if it cannot be read
 */
export function copyOwnTlsFiles(source: string, target: string): void {
  const [from, to] = [ownFilesIn(source), ownFilesIn(target)];
  if (!existsSync(from.certFile)) return;
  const [key, cert] = [read(from.keyFile), read(from.certFile)];
  writeFileSync(`${to.keyFile}.new`, key, { mode: 0o600, flush: true });
  writeFileSync(`${to.certFile}.new`, cert, { mode: 0o600, flush: true });
  // Between these two a server refuses to start; the next copy mends that.
  renameSync(`${to.keyFile}.new`, to.keyFile);
  renameSync(`${to.certFile}.new`, to.certFile);
}

/** @throws {SyncedError} `usage` if they cannot be read, or do not belong to each other */
export function readTlsFiles({ certFile, keyFile }: TlsFiles): ServerTls {
  const cert = read(certFile);
  const key = read(keyFile);
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) {
      throw new Error("the key is not the certificate's");
    }
    createSecureContext({ cert, key, minVersion: "TLSv1.3" });
    return { cert, key, fingerprint: fingerprintOf(certificate) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot use "${certFile}" with "${keyFile}" for TLS: ${reason}`;
    throw new SyncedError("usage", message, { cause });
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const message = `Cannot read "${path}" for TLS: ${reasonOf(cause)}`;
    throw new SyncedError("usage", message, { cause });
  }
}

export interface TlsNews {
  readonly onChange: (tls: ServerTls) => void;
  /** The files have changed and cannot be used; the former ones stay in use. Said once. */
  readonly onTrouble: (error: SyncedError) => void;
}

/** @returns a function that ends the watch */
export function watchTlsFiles(files: TlsFiles, current: ServerTls, news: TlsNews): () => void {
  let seen = `${current.cert}${current.key}`;
  let told: string | undefined;
  // Polled, because renewals replace links to directories, of which a watch hears nothing.
  const timer = setInterval(() => {
    try {
      const text = `${read(files.certFile)}${read(files.keyFile)}`;
      if (text === seen) return;
      const found = readTlsFiles(files);
      seen = text;
      told = undefined;
      news.onChange(found);
    } catch (error) {
      if (!(error instanceof SyncedError)) throw error;
      if (told !== error.message) news.onTrouble(error);
      told = error.message;
    }
  }, LOOK_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
