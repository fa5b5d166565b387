/** All that a file ever was, newest first, under whatever names; two of them compared. */
import { useEffect, useState } from "preact/hooks";
import { historyAnswerSchema, type ListEntry, type Version } from "../../protocol/time-answers.ts";
import { ask, folderRoute, type Problem, problemOf, query } from "../model/api.ts";
import { save } from "../model/content.ts";
import { restoreAt } from "../model/plans.ts";
import { verbOf, whoOf } from "../model/sayings.ts";
import { numberText, sizeText, timeText } from "../model/words.ts";
import { DiffText } from "../parts/DiffText.tsx";
import { Path } from "../parts/Name.tsx";
import { Preview } from "../parts/Preview.tsx";

interface VersionsProps {
  readonly folder: string;
  readonly path: string;
  readonly entry: ListEntry;
  readonly at: number | undefined;
}

export function Versions({ folder, path, entry }: VersionsProps) {
  const [versions, setVersions] = useState<readonly Version[] | undefined>(undefined);
  const [next, setNext] = useState<number | undefined>(undefined);
  const [problem, setProblem] = useState<Problem | undefined>(undefined);
  const [open, setOpen] = useState<number | undefined>(undefined);
  const version = Math.max(entry.contentVersion, entry.placeVersion, entry.deleted?.seq ?? 0);
  const load = async (before: number | undefined) => {
    try {
      const route = folderRoute(folder, `/history?${query({ id: entry.id, before, limit: 100 })}`);
      const page = await ask(historyAnswerSchema, route);
      setVersions((known) => [...(before === undefined ? [] : (known ?? [])), ...page.versions]);
      setNext(page.next);
      setProblem(undefined);
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  useEffect(() => {
    setOpen(undefined);
    void load(undefined);
  }, [folder, entry.id, version]);
  if (problem !== undefined) return <p class="empty trouble">{problem.message}</p>;
  if (versions === undefined) return null;
  const largest = versions.reduce((most, { size = 0 }) => Math.max(most, size), 1);
  return (
    <div class="versions">
      <ol>
        {versions.map((each, index) => (
          <li key={each.seq} class={classOf(each, open === each.seq)}>
            <button
              type="button"
              class="quiet"
              aria-expanded={open === each.seq}
              disabled={each.size === undefined || each.gone === true}
              onClick={() => setOpen(open === each.seq ? undefined : each.seq)}
            >
              <span class="when">{timeText(each.time)}</span>
              <span class="who">
                {verbOf(each.action)} by {whoOf(each)}
              </span>
              <span class="bar">
                <span style={{ width: `${(100 * (each.size ?? 0)) / largest}%` }} />
              </span>
              <span class="size">{each.size === undefined ? "" : sizeText(each.size)}</span>
              <span class="seq">event {numberText(each.seq)}</span>
              {each.gone === true ? (
                <span class="from">Bytes gone: older than the server keeps versions</span>
              ) : null}
              {each.from === undefined ? null : (
                <span class="from">
                  before: <Path path={each.from} />
                </span>
              )}
            </button>
            {open === each.seq && each.size !== undefined && each.gone !== true ? (
              <Opened folder={folder} version={each} before={before(versions, index)} />
            ) : null}
          </li>
        ))}
      </ol>
      {next === undefined ? null : (
        <button type="button" onClick={() => void load(next)}>
          Older versions
        </button>
      )}
      <p class="faint">
        {path === "" ? "" : "Versions follow the file through every new name and folder."}
      </p>
    </div>
  );
}

/** The version before it that had bytes. */
function before(versions: readonly Version[], index: number): Version | undefined {
  return versions.slice(index + 1).find(({ size, gone }) => size !== undefined && gone !== true);
}

function classOf({ gone }: Version, isOpen: boolean): string {
  if (gone === true) return "version gone";
  return isOpen ? "version open" : "version";
}

interface OpenedProps {
  readonly folder: string;
  readonly version: Version;
  readonly before: Version | undefined;
}

function Opened({ folder, version, before: older }: OpenedProps) {
  const [isDiff, setDiff] = useState(false);
  const file = { folder, path: version.path, seq: version.seq, size: version.size ?? 0 };
  return (
    <div class="opened">
      <span class="buttons">
        <button
          type="button"
          aria-pressed={isDiff}
          disabled={older === undefined}
          onClick={() => setDiff(!isDiff)}
        >
          What changed
        </button>
        <button type="button" onClick={() => save(file)}>
          Download
        </button>
        <button type="button" onClick={() => restoreAt(version.path, version.seq)}>
          Bring this back…
        </button>
      </span>
      {isDiff && older !== undefined ? (
        <DiffText
          before={{ folder, path: older.path, seq: older.seq, size: older.size ?? 0 }}
          after={file}
        />
      ) : (
        <Preview {...file} version={version.seq} />
      )}
    </div>
  );
}
