/** Files: the directory that the address names, at the moment that it names, and what can be done. */
import { FolderPlus, History, PanelRight, Search, TextSearch, Upload as UploadIcon } from "lucide";
import { useRef, useState } from "preact/hooks";
import { joinPath, parentPath } from "../../core/path.ts";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { askDelete, askShare, openEntry, startRename } from "../model/actions.ts";
import { moveEntries, renameEntry } from "../model/changes.ts";
import {
  directory,
  filter,
  isComplete,
  listingState,
  override,
  reload,
  rows,
  showsDeleted,
  total,
} from "../model/listing.ts";
import { connection } from "../model/live.ts";
import { closeTime, isTimeOpen, markOf } from "../model/moment.ts";
import { bringBack } from "../model/plans.ts";
import { at, go, hrefOf, route } from "../model/route.ts";
import { dialog, pane } from "../model/screen.ts";
import { clearSelection, focused, selected } from "../model/selection.ts";
import { enqueue, filesIn } from "../model/uploads.ts";
import { countText, numberText, sizeText } from "../model/words.ts";
import { Grid } from "../parts/Grid.tsx";
import { Icon } from "../parts/Icon.tsx";
import { Name } from "../parts/Name.tsx";
import { Compare } from "./Compare.tsx";
import { EmptyFolder } from "./EmptyFolder.tsx";
import { FilePane } from "./FilePane.tsx";
import { TimeBar } from "./TimeBar.tsx";
import { Uploads } from "./Uploads.tsx";

export function Files({ folder }: { readonly folder: string }) {
  const [isOver, setOver] = useState(false);
  const { path, from } = route.value;
  const isPast = at.value !== undefined;
  const canWrite = !isPast && connection.value.kind !== "cut";
  const shown = rows.value.find(({ id }) => id === focused.value);
  return (
    <div class={pane.value !== undefined && shown !== undefined ? "files with-pane" : "files"}>
      <section
        class={isOver ? "list over" : "list"}
        aria-label="Files"
        onDragOver={(event) => {
          if (!canWrite || event.dataTransfer?.types.includes("Files") !== true) return;
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          setOver(false);
          if (!canWrite || event.dataTransfer?.types.includes("Files") !== true) return;
          event.preventDefault();
          filesIn(event.dataTransfer.items)
            .then((dropped) => enqueue(path, dropped))
            .catch(() => undefined);
        }}
      >
        <Toolbar folder={folder} canWrite={canWrite} />
        {isTimeOpen.value ? <TimeBar /> : null}
        {from === undefined ? (
          <Body folder={folder} canWrite={canWrite} />
        ) : (
          <Compare folder={folder} from={from} />
        )}
        {from === undefined ? <StatusLine /> : null}
        <Uploads />
      </section>
      {pane.value === undefined || shown === undefined ? null : (
        <FilePane
          key={shown.id}
          folder={folder}
          path={joinPath(path, shown.name)}
          at={at.value}
          entry={shown}
        />
      )}
    </div>
  );
}

interface PartProps {
  readonly folder: string;
  readonly canWrite: boolean;
}

function Toolbar({ folder, canWrite }: PartProps) {
  const input = useRef<HTMLInputElement>(null);
  const { path } = route.value;
  return (
    <div class="toolbar">
      <Breadcrumbs folder={folder} path={path} />
      <label class="field filter">
        <Icon of={Search} />
        <span class="hidden">Filter this folder</span>
        <input
          id="filter"
          type="search"
          placeholder="Filter"
          value={filter.value}
          onInput={(event) => {
            filter.value = event.currentTarget.value;
          }}
          onKeyDown={({ key }) => {
            // Chromium empties the field and tells nobody, since it loses the focus (`keys.ts`).
            if (key === "Escape") filter.value = "";
          }}
        />
      </label>
      <span class="buttons">
        <button
          type="button"
          class="icon-only"
          aria-label="Search everywhere"
          title="Search everywhere (Ctrl+K)"
          onClick={() => {
            dialog.value = { kind: "search" };
          }}
        >
          <Icon of={TextSearch} />
        </button>
        <button
          id="time"
          type="button"
          aria-pressed={isTimeOpen.value}
          title="Time (t)"
          onClick={() => {
            if (isTimeOpen.value) closeTime();
            else isTimeOpen.value = true;
          }}
        >
          <Icon of={History} /> <span class="wide-only">Time</span>
        </button>
        <button
          type="button"
          disabled={!canWrite}
          title="New folder (Shift+N)"
          onClick={() => {
            dialog.value = { kind: "new-directory" };
          }}
        >
          <Icon of={FolderPlus} /> <span class="wide-only">New folder</span>
        </button>
        <button
          id="upload"
          type="button"
          class="primary"
          disabled={!canWrite}
          title="Upload (u)"
          onClick={() => input.current?.click()}
        >
          <Icon of={UploadIcon} /> Upload
        </button>
        <input
          ref={input}
          id="upload-files"
          class="hidden"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Files to upload"
          onChange={(event) => {
            const files = [...(event.currentTarget.files ?? [])];
            enqueue(
              path,
              files.map((file) => ({ path: file.name, file })),
            );
            event.currentTarget.value = "";
          }}
        />
        <button
          type="button"
          class="icon-only not-narrow"
          aria-pressed={pane.value !== undefined}
          aria-label="Pane"
          title="Pane (p)"
          onClick={() => {
            pane.value = pane.value === undefined ? "preview" : undefined;
          }}
        >
          <Icon of={PanelRight} />
        </button>
      </span>
      <Menu />
    </div>
  );
}

function Menu() {
  return (
    <label class="switch" title="Names that were here and were deleted">
      <input
        type="checkbox"
        checked={showsDeleted.value}
        onChange={(event) => {
          showsDeleted.value = event.currentTarget.checked;
        }}
      />
      Deleted
    </label>
  );
}

function Breadcrumbs({ folder, path }: { readonly folder: string; readonly path: string }) {
  const names = path === "" ? [] : path.split("/");
  return (
    <nav class="breadcrumbs" aria-label="Path">
      <ol>
        <li>
          <a
            href={hrefOf({ folder, at: at.value })}
            aria-current={names.length === 0 ? "page" : undefined}
          >
            {folder}
          </a>
        </li>
        {names.map((name, index) => {
          const target = names.slice(0, index + 1).join("/");
          return (
            <li key={target}>
              <a
                href={hrefOf({ folder, path: target, at: at.value })}
                aria-current={index === names.length - 1 ? "page" : undefined}
              >
                <Name name={name} />
              </a>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

function Body({ folder, canWrite }: PartProps) {
  const { value: state } = listingState;
  const { path } = route.value;
  if (state.kind === "failed") {
    const { message, requestId } = state.problem;
    return (
      <div class="empty" role="alert">
        <p>{message}</p>
        {requestId === undefined ? null : <p class="faint">Request {requestId}</p>}
        <span class="buttons">
          <button type="button" onClick={reload}>
            Retry
          </button>
          <a class="button" href={hrefOf({})}>
            All folders
          </a>
        </span>
      </div>
    );
  }
  if (state.kind === "pending") {
    return (
      <div class="empty" role="status">
        <p>The server is indexing this folder's history: {Math.floor(100 * state.progress)} %</p>
        <progress max={1} value={state.progress} aria-label="Indexed" />
      </div>
    );
  }
  if (state.kind === "gone") {
    return (
      <div class="empty">
        <p>
          {at.value === undefined
            ? "This folder is not here any more."
            : "This folder was not there at that moment."}
        </p>
        <button type="button" onClick={() => go({ path: parentPath(path) })}>
          Up
        </button>
      </div>
    );
  }
  if (rows.value.length === 0) {
    if (state.kind === "loading") return <div class="empty skeleton" aria-busy="true" />;
    if (filter.value !== "") {
      return (
        <div class="empty">
          <p>No name here holds that text.</p>
          <button
            type="button"
            onClick={() => {
              filter.value = "";
            }}
          >
            Show all
          </button>
        </div>
      );
    }
    return <EmptyFolder folder={folder} path={path} canWrite={canWrite} />;
  }
  return (
    <Grid
      label={`${folder}/${path}`}
      onOpen={openEntry}
      onRename={(entry, name) => void renameEntry(entry, directory.value, name)}
      ghostAction={canWrite ? bringBackButton : undefined}
      mark={at.value === undefined && override.value === undefined ? undefined : markOf}
      onDrop={canWrite ? (entries, into) => void moveEntries(entries, into.id) : undefined}
    />
  );
}

function bringBackButton(entry: ListEntry) {
  return (
    <button type="button" class="small" onClick={() => bringBack(entry)}>
      Bring back
    </button>
  );
}

function StatusLine() {
  const { value: chosen } = selected;
  const bytes = chosen.reduce((sum, { size }) => sum + (size ?? 0), 0);
  const canWrite = at.value === undefined;
  if (chosen.length > 0) {
    const live = chosen.filter(({ deleted }) => deleted === undefined);
    return (
      <div class="status chosen" role="status">
        <span>
          {numberText(chosen.length)} of {numberText(rows.value.length)} selected
          {bytes > 0 ? `, ${sizeText(bytes)}` : ""}
        </span>
        <span class="buttons">
          {canWrite && live.length > 0 ? <SelectionButtons chosen={live} /> : null}
          <button type="button" class="quiet" onClick={clearSelection}>
            Clear
          </button>
        </span>
      </div>
    );
  }
  return (
    <div class="status" role="status">
      {countOfRows()}
    </div>
  );
}

function countOfRows(): string {
  const all = countText(total.value, "entry", "entries");
  if (filter.value === "") return all;
  return `${numberText(rows.value.length)} of ${all}${isComplete.value ? "" : ", still reading"}`;
}

function SelectionButtons({ chosen }: { readonly chosen: readonly ListEntry[] }) {
  return (
    <>
      {chosen.length === 1 ? (
        <button type="button" onClick={startRename}>
          Rename
        </button>
      ) : null}
      {chosen.length === 1 ? (
        <button type="button" onClick={askShare}>
          Share…
        </button>
      ) : null}
      <button
        type="button"
        onClick={() => {
          dialog.value = { kind: "move", entries: chosen };
        }}
      >
        Move…
      </button>
      <button type="button" class="danger" onClick={askDelete}>
        Delete…
      </button>
    </>
  );
}
