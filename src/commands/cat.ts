/** `synced cat`: the bytes of a file as of any moment, checked by their digest. Rules: C5, H7. */
import { createHash } from "node:crypto";
import { defineCommand } from "citty";
import { type Digest, parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import type { PastApi } from "../protocol/past-api.ts";
import { commonFlags, textFlag } from "./flags.ts";
import { fileAt } from "./listing.ts";
import { momentAt } from "./moment.ts";
import { createOutput, isRead } from "./output.ts";
import { openTarget, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "cat", description: "Print a file, as it is or was at any moment" },
  args: {
    path: { type: "positional", description: "The file's path", required: true },
    at: textFlag("at", "MOMENT", 'When: "yesterday 18:00", 2h, friday, an event'),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    if (args.json) throw new SyncedError("usage", "Cannot use --json here: these are bytes");
    const output = createOutput(args);
    const { api, path } = await openTarget(args, args.path);
    const at =
      args.at === undefined ? await api.head() : (await momentAt({ api, output }, args.at)).seq;
    const { sha256 } = await fileAt(api, { path, at });
    for await (const piece of verifiedContent(api, parseDigest(sha256 ?? ""))) {
      if (!(await isRead(piece))) break;
    }
    return EXIT.done;
  },
});

/**
 * The bytes as they come. A reader must not trust them before the end.
 *
 * @throws {SyncedError} `chunk_corrupt` at the end if they are others
 */
export async function* verifiedContent(
  api: PastApi,
  sha256: Digest,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  for await (const piece of api.content(sha256)) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest("hex") !== sha256) {
    throw new SyncedError("chunk_corrupt", `The server sent other bytes than those of ${sha256}`);
  }
}
