/** The pane beside the list: one file's bytes, its versions, and what is known of it. */
import { Download, FolderArchive, Link as LinkIcon, X } from "lucide";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { type FileAt, save, saveArchive } from "../model/content.ts";
import { deviceName } from "../model/devices.ts";
import { dialog, pane, type Tab } from "../model/screen.ts";
import { exactTimeText, numberText, sizeText } from "../model/words.ts";
import { Icon } from "../parts/Icon.tsx";
import { Name, Path } from "../parts/Name.tsx";
import { Preview } from "../parts/Preview.tsx";
import { Versions } from "./Versions.tsx";

interface FilePaneProps {
  readonly folder: string;
  readonly path: string;
  readonly at: number | undefined;
  readonly entry: ListEntry;
}

const TABS: readonly (readonly [Tab, string])[] = [
  ["preview", "Preview"],
  ["history", "History"],
  ["about", "About"],
];

export function FilePane({ folder, path, at, entry }: FilePaneProps) {
  const { kind, deleted, size = 0, contentVersion } = entry;
  // Of what is deleted, the bytes are those before its deletion.
  const seq = deleted === undefined ? at : deleted.seq - 1;
  const file: FileAt = { folder, path, seq, size };
  const tab = pane.value ?? "preview";
  return (
    <aside class="pane" aria-label={`About ${entry.name}`}>
      <header>
        <h2>
          <Name name={entry.name} />
        </h2>
        <button
          type="button"
          class="quiet icon-only"
          aria-label="Close the pane"
          onClick={() => {
            pane.value = undefined;
          }}
        >
          <Icon of={X} />
        </button>
      </header>
      {kind === "file" ? (
        <div class="actions">
          <button type="button" onClick={() => save(file)}>
            <Icon of={Download} /> Download
          </button>
          {deleted === undefined ? <ShareButton path={path} at={at} /> : null}
          <span class="faint">{sizeText(size)}</span>
        </div>
      ) : null}
      {kind === "directory" && deleted === undefined ? (
        <div class="actions">
          <button type="button" onClick={() => saveArchive(folder, path, at)}>
            <Icon of={FolderArchive} /> Download as zip
          </button>
          <ShareButton path={path} at={at} />
        </div>
      ) : null}
      <div class="tabs" role="tablist">
        {TABS.map(([name, title]) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={tab === name}
            onClick={() => {
              pane.value = name;
            }}
          >
            {title}
          </button>
        ))}
      </div>
      <div class="pane-body" role="tabpanel">
        {tab === "preview" && kind === "file" ? (
          <Preview {...file} version={contentVersion} />
        ) : null}
        {tab === "preview" && kind === "directory" ? (
          <p class="empty">A folder: Enter opens it.</p>
        ) : null}
        {tab === "preview" && kind === "symlink" ? (
          <p class="empty">
            A link to <Path path={entry.target ?? ""} />
          </p>
        ) : null}
        {tab === "history" ? <Versions folder={folder} path={path} entry={entry} at={at} /> : null}
        {tab === "about" ? <About entry={entry} path={path} /> : null}
      </div>
    </aside>
  );
}

function ShareButton({ path, at }: Pick<FilePaneProps, "path" | "at">) {
  return (
    <button
      type="button"
      onClick={() => {
        dialog.value = { kind: "share", path, at };
      }}
    >
      <Icon of={LinkIcon} /> Share…
    </button>
  );
}

function About({ entry, path }: { readonly entry: ListEntry; readonly path: string }) {
  const { last, deleted, size, mtimeNs, executable, sha256 } = entry;
  return (
    <dl class="facts">
      <dt>Path</dt>
      <dd>
        <Path path={path} />
      </dd>
      <dt>{deleted === undefined ? "Last change" : "Deleted"}</dt>
      <dd>
        {exactTimeText((deleted ?? last).time)}
        <br />
        by {deviceName((deleted ?? last).device, (deleted ?? last).deviceName)}, event{" "}
        {numberText((deleted ?? last).seq)}
      </dd>
      {size === undefined ? null : (
        <>
          <dt>Size</dt>
          <dd>{numberText(size)} bytes</dd>
        </>
      )}
      {mtimeNs === undefined ? null : (
        <>
          <dt>Saved</dt>
          <dd>{exactTimeText(Number(BigInt(mtimeNs) / 1_000_000n))}</dd>
        </>
      )}
      {executable === true ? (
        <>
          <dt>Mode</dt>
          <dd>executable</dd>
        </>
      ) : null}
      {sha256 === undefined ? null : (
        <>
          <dt>SHA-256</dt>
          <dd class="digest">{sha256}</dd>
        </>
      )}
    </dl>
  );
}
