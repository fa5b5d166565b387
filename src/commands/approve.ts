/**
 * `synced approve`: lets exactly the change through that is held now. Rules: G2-G4.
 *
 * The state database belongs to the running client. So the approval is a file beside it,
 * `.synced/approved`, with the held change's id. A running client looks for the file; a stopped one
 * reads it when it starts.
 */
import { defineCommand } from "citty";
import { EXIT } from "../core/exit-code.ts";
import { parseId } from "../core/identifier.ts";
import { APPROVAL_FILE } from "../core/state-directory.ts";
import { pathOf } from "../core/tree.ts";
import type { HeldChange, StateStore } from "../ports/state-store.ts";
import { commonFlags } from "./flags.ts";
import { heldChangeOf, openJoinedFolderState, writeStateFile } from "./folder-state.ts";
import { createOutput } from "./output.ts";
import { count, quoted } from "./progress.ts";

/** Enough paths for a person to recognise the change. */
const NAMED_MAX = 10;

export const command = defineCommand({
  meta: { name: "approve", description: "Let exactly the held change of a folder through" },
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
        output.say("Nothing is held: there is nothing to approve");
        return EXIT.done;
      }
      const paths = namedPaths(store, held);
      writeStateFile(path, APPROVAL_FILE, `${held.id}\n`);
      output.event("approved", { id: held.id, reason: held.reason, count: held.count, paths });
      output.say(describe(held, paths));
      return EXIT.done;
    } finally {
      store.close();
    }
  },
});

/** Some paths of the held change, as the base knows them, or those that are not sent. */
export function namedPaths(store: StateStore, held: HeldChange): string[] {
  if (held.kinds?.includes("unignoring") === true) {
    const withheld = store.problems().filter(({ code }) => code === "formerly_ignored");
    return withheld.slice(0, NAMED_MAX).map(({ path }) => path);
  }
  const paths: string[] = [];
  for (const node of held.nodes) {
    if (paths.length === NAMED_MAX) break;
    const path = pathOf(store.base, parseId(node));
    if (path !== undefined && path !== "") paths.push(path);
  }
  return paths;
}

function describe(held: HeldChange, paths: readonly string[]): string {
  const direction =
    held.direction === "up" ? "from this device to the server" : "from the server to this device";
  const rest = held.count - paths.length;
  const more = rest > 0 && paths.length > 0 ? `\n  and ${rest.toLocaleString("en")} more` : "";
  const list = paths.map((path) => `\n  ${quoted(path)}`).join("");
  return (
    `Approved: ${held.reason} (${count(held.count, "change")} ${direction}).${list}${more}\n` +
    "A running synced sync applies it now, a stopped one when it starts"
  );
}
