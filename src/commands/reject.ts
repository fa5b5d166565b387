/**
 * `synced reject`: takes back what this device did of the change that is held now. Rules: G16. It
 * answers in the same file as `synced approve`.
 */
import { defineCommand } from "citty";
import { EXIT } from "../core/exit-code.ts";
import { APPROVAL_FILE } from "../core/state-directory.ts";
import { namedPaths } from "./approve.ts";
import { commonFlags } from "./flags.ts";
import { heldChangeOf, openJoinedFolderState, writeStateFile } from "./folder-state.ts";
import { createOutput } from "./output.ts";
import { count, quoted } from "./progress.ts";

export const command = defineCommand({
  meta: { name: "reject", description: "Take the held change of a folder back" },
  args: {
    path: { type: "positional", description: "The folder's path", required: true },
    ...commonFlags,
  },
  run({ args }) {
    const output = createOutput(args);
    const { path, store } = openJoinedFolderState(args.path);
    try {
      const held = heldChangeOf(store);
      if (held === undefined) {
        output.event("nothing_held");
        output.say("Nothing is held: there is nothing to reject");
        return EXIT.done;
      }
      const { id, reason } = held;
      if (held.kinds?.includes("unignoring") === true) {
        output.event("not_rejected", { id, reason });
        output.error(
          `Nothing of it is sent: ${reason}. To end it, ignore it again in .syncedignore`,
        );
        return EXIT.problems;
      }
      if (held.direction === "down") {
        output.event("not_rejected", { id, reason });
        output.error(
          `Another device did this: ${reason}. synced log says which one; to take it back for ` +
            "everybody: synced undo --device NAME --since 1h",
        );
        return EXIT.problems;
      }
      const paths = namedPaths(store, held);
      writeStateFile(path, APPROVAL_FILE, `reject ${id}\n`);
      output.event("rejected", { id, reason, count: held.count, paths });
      const list = paths.map((each) => `\n  ${quoted(each)}`).join("");
      output.say(
        `Rejected: ${reason} (${count(held.count, "change")}).${list}\n` +
          "A running synced sync brings back what the server has, a stopped one when it starts; " +
          "what stands in its place is kept beside it",
      );
      return EXIT.done;
    } finally {
      store.close();
    }
  },
});
