/** The dialogs of Files, and the help: one at a time. */
import { useState } from "preact/hooks";
import { problemOf } from "../model/api.ts";
import { type Doomed, deleteEntries, makeDirectory, moveEntries } from "../model/changes.ts";
import { directory } from "../model/listing.ts";
import { dialog } from "../model/screen.ts";
import { clearSelection } from "../model/selection.ts";
import { countText, sizeText } from "../model/words.ts";
import { Dialog } from "../parts/Dialog.tsx";
import { Name } from "../parts/Name.tsx";
import { Help } from "./Help.tsx";
import { PickDirectory } from "./PickDirectory.tsx";
import { Search } from "./Search.tsx";

const NAMES_SHOWN = 12;

export function close(): void {
  dialog.value = undefined;
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
    case "delete":
      return <Delete doomed={open.doomed} />;
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

function Delete({ doomed }: { readonly doomed: Doomed }) {
  const { entries, files, bytes } = doomed;
  const [isBusy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    await deleteEntries(doomed);
    clearSelection();
    close();
  };
  const rest = entries.length - NAMES_SHOWN;
  return (
    <Dialog title={`Delete ${countText(files, "file")}?`} onClose={close}>
      <p>
        {countText(files, "file")}, {sizeText(bytes)}, on every device of this folder. The history
        keeps all of it.
      </p>
      <ul class="names">
        {entries.slice(-NAMES_SHOWN).map((entry) => (
          <li key={entry.id}>
            <Name name={entry.name} />
          </li>
        ))}
        {rest > 0 ? <li class="faint">and {countText(rest, "more", "more")}</li> : null}
      </ul>
      <div class="dialog-buttons">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class="danger" disabled={isBusy} onClick={() => void go()}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}
