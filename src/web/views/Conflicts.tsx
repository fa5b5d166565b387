/** Conflicts: both sides with what they say, and buttons that name the result. */
import { useState } from "preact/hooks";
import type { Conflict } from "../../protocol/time-answers.ts";
import { conflicts, conflictsProblem, resolve } from "../model/conflicts.ts";
import { deviceName } from "../model/devices.ts";
import { whoOf } from "../model/sayings.ts";
import { countText, sizeText, timeText } from "../model/words.ts";
import { DiffText } from "../parts/DiffText.tsx";
import { Path } from "../parts/Name.tsx";
import { Preview } from "../parts/Preview.tsx";

export function Conflicts({ folder }: { readonly folder: string }) {
  const { value: all } = conflicts;
  const { value: problem } = conflictsProblem;
  return (
    <section class="view" aria-label="Conflicts">
      <header>
        <h1>Conflicts</h1>
        <p class="faint" role="status">
          {all.length === 0
            ? ""
            : countText(all.length, "file has two versions", "files have two versions")}
        </p>
      </header>
      {problem === undefined ? null : (
        <p class="trouble" role="alert">
          {problem.message}
        </p>
      )}
      {all.length === 0 && problem === undefined ? (
        <div class="empty">
          <p>No conflicts. When two devices change one file, both versions are shown here.</p>
        </div>
      ) : null}
      {all.map((conflict) => (
        <One key={conflict.copy.id} conflict={conflict} folder={folder} />
      ))}
    </section>
  );
}

interface OneProps {
  readonly conflict: Conflict;
  readonly folder: string;
}

function One({ conflict, folder }: OneProps) {
  const [isDiff, setDiff] = useState(false);
  const { copy, original } = conflict;
  const theirs = deviceName(conflict.device, conflict.deviceName);
  const ours = original?.last === undefined ? "the server" : whoOf(original.last);
  const isFile = copy.kind === "file" && original?.kind === "file";
  return (
    <article class="conflict">
      <h2>
        <Path path={original?.path ?? copy.path} />
      </h2>
      {original === null ? (
        <p class="faint">The file itself is gone: the copy is an ordinary file by now.</p>
      ) : (
        <>
          <div class="sides">
            <Side
              title={`${ours} wrote`}
              folder={folder}
              entry={original}
              time={original.last?.time}
            />
            <Side title={`${theirs} wrote`} folder={folder} entry={copy} time={conflict.time} />
          </div>
          {isFile ? (
            <button type="button" aria-pressed={isDiff} onClick={() => setDiff(!isDiff)}>
              What differs
            </button>
          ) : null}
          {isDiff && isFile ? (
            <DiffText before={fileOf(folder, original)} after={fileOf(folder, copy)} />
          ) : null}
          <div class="buttons">
            <button
              type="button"
              onClick={() => resolve(conflict, "original", `Keep what ${ours} wrote`)}
            >
              Keep what {ours} wrote
            </button>
            <button
              type="button"
              onClick={() => resolve(conflict, "copy", `Keep what ${theirs} wrote`)}
            >
              Keep what {theirs} wrote
            </button>
            <button type="button" onClick={() => resolve(conflict, "both", "Keep both")}>
              Keep both, rename the copy
            </button>
          </div>
          <p class="faint">What is not kept stays in the history.</p>
        </>
      )}
    </article>
  );
}

type Entry = Conflict["copy"];

function fileOf(folder: string, { path, size }: Entry) {
  return { folder, path, seq: undefined, size: size ?? 0 };
}

interface SideProps {
  readonly title: string;
  readonly folder: string;
  readonly entry: Entry;
  readonly time: string | undefined;
}

function Side({ title, folder, entry, time }: SideProps) {
  return (
    <section>
      <h3>
        {title}
        {time === undefined ? "" : `, ${timeText(time)}`}
        {entry.size === undefined ? "" : `, ${sizeText(entry.size)}`}
      </h3>
      <p class="faint">
        <Path path={entry.path} />
      </p>
      {entry.kind === "file" ? (
        <div class="side">
          <Preview {...fileOf(folder, entry)} version={entry.last?.seq ?? 0} />
        </div>
      ) : null}
    </section>
  );
}
