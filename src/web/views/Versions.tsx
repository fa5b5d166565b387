/** All that a file ever was, newest first, under whatever names; two of them compared. */
import { useEffect, useState } from "preact/hooks";
import { historyAnswerSchema, type ListEntry, type Version } from "../../protocol/time-answers.ts";
import { ask, folderRoute, type Problem, problemOf, query } from "../model/api.ts";
import { deviceName } from "../model/devices.ts";
import { numberText, sizeText, timeText } from "../model/words.ts";
import { Path } from "../parts/Name.tsx";
import { Preview } from "../parts/Preview.tsx";

interface VersionsProps {
  readonly folder: string;
  readonly path: string;
  readonly entry: ListEntry;
  readonly at: number | undefined;
}

const VERBS: Readonly<Record<Version["action"], string>> = {
  upload: "made",
  update: "changed",
  rename: "renamed",
  delete: "deleted",
  restore: "brought back",
  mkdir: "made",
  rmdir: "deleted",
  symlink: "made",
  metadata: "marked",
};

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
        {versions.map((each) => (
          <li key={each.seq} class={open === each.seq ? "version open" : "version"}>
            <button
              type="button"
              class="quiet"
              aria-expanded={open === each.seq}
              onClick={() => setOpen(open === each.seq ? undefined : each.seq)}
            >
              <span class="when">{timeText(each.time)}</span>
              <span class="who">
                {VERBS[each.action]} by {deviceName(each.device, each.deviceName)}
              </span>
              <span class="bar">
                <span style={{ width: `${(100 * (each.size ?? 0)) / largest}%` }} />
              </span>
              <span class="size">{each.size === undefined ? "" : sizeText(each.size)}</span>
              <span class="seq">event {numberText(each.seq)}</span>
              {each.from === undefined ? null : (
                <span class="from">
                  before: <Path path={each.from} />
                </span>
              )}
            </button>
            {open === each.seq && each.size !== undefined ? (
              <Preview
                folder={folder}
                path={each.path}
                seq={each.seq}
                size={each.size}
                version={each.seq}
              />
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
