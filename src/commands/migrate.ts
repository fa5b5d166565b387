/**
 * `synced migrate`: moves a server's data from its directory to PostgreSQL and a bucket, and back.
 * Rules: P14.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { type Migrated, migrateData } from "../storage.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { metadataFlags, readBucket, readMetadataUrl } from "./places.ts";
import { count } from "./progress.ts";

const PROGRESS_INTERVAL_MS = 2000;

export const command = defineCommand({
  meta: {
    name: "migrate",
    description: "Move a stopped server's data to PostgreSQL and a bucket, or back",
  },
  args: {
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    ...metadataFlags,
    "bucket-url": textFlag("bucket-url", "URL", "Bucket, s3://HOST/BUCKET/PREFIX"),
    "bucket-key-file": textFlag(
      "bucket-key-file",
      "FILE",
      "File that holds the bucket's key, ID:SECRET; or set SYNCED_BUCKET_KEY",
    ),
    back: switchFlag("back", "From there to the directory: a new one, or that of before"),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const metadataUrl = readMetadataUrl(args);
    const bucket = readBucket(args, process.env);
    if (metadataUrl === undefined || bucket === undefined) {
      throw new SyncedError("usage", "Cannot move data: name both --metadata-url and --bucket-url");
    }
    const migrated = await migrateData(args.back ? "back" : "out", {
      path: resolve(args.data),
      metadataUrl,
      bucket,
      onProgress: tellProgress(output),
    });
    const { serverId, isRepeated, counts, damaged } = migrated;
    const direction = args.back ? "back" : "out";
    output.event("migrated", { direction, serverId, repeated: isRepeated, counts, damaged });
    for (const digest of damaged) output.warn(`Object ${digest} cannot be read, and is not moved`);
    tellPeople(output, migrated, { isBack: args.back, data: args.data });
    if (damaged.length === 0) return EXIT.done;
    const advice = "devices that have these bytes are asked for them";
    output.error(`${count(damaged.length, "object")} cannot be read: ${advice}`);
    return EXIT.damage;
  },
});

/** The first of each kind, then every other second. */
function tellProgress(output: Output): (kind: string, done: number) => void {
  let [lastKind, lastMs] = ["", 0];
  return (kind, done) => {
    const now = performance.now();
    if (kind === lastKind && now - lastMs < PROGRESS_INTERVAL_MS) return;
    [lastKind, lastMs] = [kind, now];
    output.event("migrating", { kind, done });
    output.detail(`${kind}: ${done}`);
  };
}

function tellPeople(
  output: Output,
  { isRepeated, counts, serverId }: Migrated,
  { isBack, data }: { readonly isBack: boolean; readonly data: string },
): void {
  if (isRepeated) {
    output.say("That was done before");
    return;
  }
  const { events = 0, folders = 0 } = counts;
  const what = `${count(folders, "folder")}, ${count(events, "event")} of server ${serverId}`;
  output.say(`Moved ${what}; each row and each object was compared`);
  if (isBack) {
    output.say("Tokens, links, pauses and webhooks are those of the directory; a new one has none");
    output.say(`Try next: synced serve --data "${data}"`);
    return;
  }
  output.say(
    `Tokens, links, pauses and webhooks stay in "${data}", and hold for the server that runs on ` +
      "it. Servers with --shared begin without; make tokens anew",
  );
  output.say(
    "metadata.db, objects.db and objects there are the copy of before; nothing needs them",
  );
  output.say(`Try next: synced serve --data "${data}" --metadata-url ... --bucket-url ...`);
}
