/**
 * Invitations: one text with everything that a new device needs, and how it becomes the device's
 * own token. Rules: K12. The secret in it is good once and for minutes, so it may stand on a
 * command line.
 */
import { SyncedError } from "../core/error.ts";
import { type Fingerprint, parseFingerprint } from "../core/fingerprint.ts";
import { type FolderName, parseFolderName } from "../core/identifier.ts";
import type { Clock } from "../ports/clock.ts";
import type { Transport } from "../ports/transport.ts";
import { sendForJson } from "./exchange.ts";
import { parseJson } from "./json.ts";
import { ServerUrls } from "./server-urls.ts";
import { parseToken } from "./token.ts";

export const INVITES_PATH = "/v1/invites/redeem";

export interface Invitation {
  readonly serverUrl: string;
  /** Absent if an authority vouches for the server. */
  readonly fingerprint?: Fingerprint;
  /** Absent if it is not about one folder. */
  readonly folder?: FolderName;
  readonly secret: string;
}

const VERSION = 1;
const SECRET = /^[0-9a-f]{64}$/;
const ANSWER_BYTES_MAX = 64 * 1024;
const IDLE_MS = 30_000;

export function encodeInvitation({ serverUrl, fingerprint, folder, secret }: Invitation): string {
  const fields = [VERSION, serverUrl, fingerprint ?? "", folder ?? "", secret];
  const bytes = new TextEncoder().encode(JSON.stringify(fields));
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws {SyncedError} `usage` */
export function parseInvitation(text: string): Invitation {
  try {
    const bytes = Uint8Array.fromBase64(text.trim(), { alphabet: "base64url" });
    const fields = parseJson(bytes);
    if (!Array.isArray(fields)) throw new Error("no list");
    const [version, serverUrl, fingerprint, folder, secret] = fields.map(String);
    if (version !== String(VERSION) || serverUrl === undefined || !SECRET.test(secret ?? "")) {
      throw new Error("another version, or a part is missing");
    }
    return {
      serverUrl,
      secret: secret ?? "",
      ...(fingerprint === "" ? undefined : { fingerprint: parseFingerprint(fingerprint ?? "") }),
      ...(folder === "" ? undefined : { folder: parseFolderName(folder ?? "") }),
    };
  } catch (cause) {
    throw new SyncedError(
      "usage",
      "Cannot read the invitation: copy all of what synced invite printed",
      { cause },
    );
  }
}

/**
 * Turns the invitation into a token of this device.
 *
 * @throws {SyncedError} `unauthenticated` if it was used, has expired, or was never made; and as
 * `send` does
 */
export async function redeemInvitation(
  { transport, clock }: { readonly transport: Transport; readonly clock: Clock },
  { serverUrl, secret }: Pick<Invitation, "serverUrl" | "secret">,
  { label, signal }: { readonly label: string; readonly signal: AbortSignal },
): Promise<string> {
  const answer = await sendForJson(
    { transport, clock, servers: new ServerUrls(serverUrl) },
    {
      method: "POST",
      path: INVITES_PATH,
      accept: "application/json",
      contentType: "application/json",
      body: JSON.stringify({ secret, label }),
      idleMs: IDLE_MS,
      signal,
    },
    ANSWER_BYTES_MAX,
  ).catch((cause: unknown) => {
    if (!(cause instanceof SyncedError) || cause.code !== "unauthenticated") throw cause;
    throw new SyncedError(
      "unauthenticated",
      `Cannot join ${serverUrl}: the invitation was used or has expired; ask for another one`,
      { cause },
    );
  });
  const token = typeof answer === "object" && answer !== null && "token" in answer;
  return parseToken(token ? String(answer.token) : "", "the server's answer");
}
