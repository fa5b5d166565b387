/** The dialogs of Files, and the help: one at a time. */
import { useState } from "preact/hooks";
import { problemOf } from "../model/api.ts";
import { makeDirectory, moveEntries } from "../model/changes.ts";
import { directory } from "../model/listing.ts";
import { shownPlan } from "../model/plans.ts";
import { dialog } from "../model/screen.ts";
import { clearSelection } from "../model/selection.ts";
import { countText } from "../model/words.ts";
import { Dialog } from "../parts/Dialog.tsx";
import { Help } from "./Help.tsx";
import { PickDirectory } from "./PickDirectory.tsx";
import { PlanView } from "./PlanView.tsx";
import { Search } from "./Search.tsx";
import { Share } from "./Share.tsx";

function close(): void {
  dialog.value = undefined;
}

function closePlan(): void {
  shownPlan.value = undefined;
  close();
}

export function Dialogs({ folder }: { readonly folder: string }) {
  const { value: open } = dialog;
  if (open === undefined) return null;
  switch (open.kind) {
    case "help":
      return <Help onClose={close} />;
    case "search":
      return <Search folder={folder} onClose={close} />;
    case "new-directory":
      return <NewDirectory />;
    case "move":
      return (
        <PickDirectory
          folder={folder}
          title={`Move ${countText(open.entries.length, "entry", "entries")} to`}
          onClose={close}
          onPick={async (parent) => {
            if (!(await moveEntries(open.entries, parent))) return;
            clearSelection();
            close();
          }}
        />
      );
    case "share":
      return <Share folder={folder} path={open.path} at={open.at} onClose={close} />;
    case "plan":
      return <PlanView onClose={closePlan} />;
  }
}

function NewDirectory() {
  const [name, setName] = useState("");
  const make = async () => {
    if (await makeDirectory(directory.value, name)) close();
  };
  return (
    <Dialog title="New folder" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          make().catch((error) => problemOf(error));
        }}
      >
        <label for="directory-name">Name</label>
        <input
          id="directory-name"
          autocomplete="off"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <div class="dialog-buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={name === ""}>
            Make it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
