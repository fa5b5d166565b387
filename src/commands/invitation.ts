/** How `synced sync --invite CODE` joins. Rules: K12. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { ClientWorld } from "../client/folder/options.ts";
import { SyncedError } from "../core/error.ts";
import { TOKEN_FILE } from "../core/state-directory.ts";
import { type Invitation, parseInvitation, redeemInvitation } from "../protocol/invite.ts";

interface InvitedFlags {
  readonly invite?: string | undefined;
  readonly server?: string | undefined;
  readonly folder?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly "dry-run": boolean;
}

/** @throws {SyncedError} `usage` if it cannot be read, or if nothing may be written */
export function readInvitation(flags: InvitedFlags): Invitation | undefined {
  if (flags.invite === undefined) return undefined;
  if (!flags["dry-run"]) return parseInvitation(flags.invite);
  throw new SyncedError("usage", "Cannot use --invite with --dry-run: it is good only once");
}

/** The flags as if the person had typed what the invitation says. Their own flags win. */
export function withInvitation<Flags extends InvitedFlags>(
  flags: Flags,
  invitation: Invitation | undefined,
): Flags {
  if (invitation === undefined) return flags;
  const { serverUrl, folder, fingerprint } = invitation;
  return {
    ...flags,
    server: flags.server ?? serverUrl,
    folder: flags.folder ?? folder,
    fingerprint: flags.fingerprint ?? fingerprint,
  };
}

/**
 * Gets this device's own token, and keeps it in the folder's state, for its user alone.
 *
 * @throws {SyncedError} as `redeemInvitation` does
 */
export async function acceptInvitation(
  world: Pick<ClientWorld, "transport" | "clock">,
  invitation: Pick<Invitation, "serverUrl" | "secret">,
  device: { readonly folderPath: string; readonly name: string; readonly signal: AbortSignal },
): Promise<string> {
  const { folderPath, name, signal } = device;
  const token = await redeemInvitation(world, invitation, { label: name, signal });
  const path = join(folderPath, TOKEN_FILE);
  const staged = `${path}.${process.pid}`;
  const file = openSync(staged, "w", 0o600);
  try {
    writeSync(file, `${token}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(staged, path);
  return token;
}
