/**
 * Where the server of a data directory was last reached, for `synced invite`. Rules: K12. Written
 * at each start; a stale one costs a person a flag.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SyncedError } from "../core/error.ts";
import { type Fingerprint, parseFingerprint } from "../core/fingerprint.ts";

export interface ServerAddress {
  readonly url: string;
  /** Of a key of its own. Absent in the clear, and where an authority vouches for it. */
  readonly fingerprint?: Fingerprint;
}

const FILE = "address.json";

export function writeServerAddress(data: string, address: ServerAddress): void {
  try {
    writeFileSync(join(data, FILE), `${JSON.stringify(address)}\n`, { mode: 0o600 });
  } catch (error) {
    // A full disk must not keep the server from starting.
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

/** @returns undefined if there is none that can be read */
export function readServerAddress(data: string): ServerAddress | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(data, FILE), "utf8"));
    if (typeof value !== "object" || value === null || !("url" in value)) return undefined;
    const fingerprint = "fingerprint" in value ? String(value.fingerprint) : undefined;
    const pin = fingerprint === undefined ? undefined : parseFingerprint(fingerprint);
    return { url: String(value.url), ...(pin === undefined ? undefined : { fingerprint: pin }) };
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error;
    if (isMissing || error instanceof SyntaxError || error instanceof SyncedError) return undefined;
    throw error;
  }
}
