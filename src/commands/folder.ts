/**
 * `synced folder list|rename|delete`: the folders of a server, on the machine where its data is.
 * `list` works beside a running server. Rules: U5, U6.
 */
import { resolve } from "node:path";
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { parseFolderName } from "../core/identifier.ts";
import { deleteFolderIn, listFoldersIn, renameFolderIn } from "../storage.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { count, quoted } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";

/** How many names each action takes. */
const ACTIONS: Readonly<Record<string, number>> = { list: 0, rename: 2, delete: 1 };

export const command = defineCommand({
  meta: { name: "folder", description: "List, rename and delete the folders of a server" },
  args: {
    action: { type: "positional", description: "list, rename or delete", required: true },
    name: { type: "positional", description: "Which folder", required: false },
    to: { type: "positional", description: "Its new name", required: false },
    data: { ...textFlag("data", "DIR", "Data directory"), default: "./storage" },
    yes: switchFlag("yes", "Delete the folder with its history, for good"),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { action, name = "", to = "" } = args;
    const data = resolve(args.data);
    const given = [name, to].filter((one) => one !== "").length;
    if (ACTIONS[action] === undefined) {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use list, rename or delete`);
    }
    if (ACTIONS[action] !== given) {
      const claim = "use list, rename NAME NEW-NAME, delete NAME";
      throw new SyncedError("usage", `Cannot take these arguments for "${action}": ${claim}`);
    }
    if (action === "list") list(data, output);
    else if (action === "rename") await rename(data, { name, to }, output);
    else await remove(data, { name, isSure: args.yes }, output);
    return EXIT.done;
  },
});

function list(data: string, output: Output): void {
  const folders = listFoldersIn(data);
  for (const folder of folders) {
    output.event("folder", { ...folder });
    output.say(
      `${folder.name}: ${count(folder.files, "file")}, ${formatBytes(folder.bytes)} now, ` +
        `${formatBytes(folder.storedBytes)} with all versions, ` +
        `${count(folder.head, "event")}, ${count(folder.devices, "device")}`,
    );
  }
  if (folders.length === 0) output.say("There are no folders");
}

async function rename(
  data: string,
  names: { readonly name: string; readonly to: string },
  output: Output,
): Promise<void> {
  const [from, to] = [parseFolderName(names.name), parseFolderName(names.to)];
  await renameFolderIn(data, { from, to });
  output.event("renamed", { from, to });
  output.say(`Renamed folder "${from}" to "${to}". Its devices go on as before`);
}

async function remove(
  data: string,
  { name, isSure }: { readonly name: string; readonly isSure: boolean },
  output: Output,
): Promise<void> {
  const folder = parseFolderName(name);
  if (!isSure) {
    const found = listFoldersIn(data).find((one) => one.name === folder);
    const size =
      found === undefined
        ? ""
        : `, ${count(found.files, "file")}, ${formatBytes(found.storedBytes)}`;
    throw new SyncedError(
      "usage",
      `Cannot delete folder "${folder}"${size} without --yes: its history goes for good`,
    );
  }
  const { objects, bytes } = await deleteFolderIn(data, folder);
  output.event("deleted", { folder, objects, bytes });
  output.say(`Deleted folder "${folder}" and ${formatBytes(bytes)}. Its devices keep their files`);
}
