/** Chooses a directory of the folder: one level at a time, from its root. */
import { ChevronRight, CornerLeftUp, Folder } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { joinPath, parentPath } from "../../core/path.ts";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { problemOf } from "../model/api.ts";
import { readDirectory } from "../model/entries.ts";
import { Dialog } from "../parts/Dialog.tsx";
import { Icon } from "../parts/Icon.tsx";
import { Name, Path } from "../parts/Name.tsx";

interface PickDirectoryProps {
  readonly folder: string;
  readonly title: string;
  readonly onClose: () => void;
  readonly onPick: (node: string) => Promise<void>;
}

interface Level {
  readonly path: string;
  readonly node: string;
  readonly directories: readonly ListEntry[];
}

export function PickDirectory({ folder, title, onClose, onPick }: PickDirectoryProps) {
  const [path, setPath] = useState("");
  // Ahead of what is drawn: a click on what is drawn no more must not pick it.
  const asked = useRef("");
  const enter = (next: string) => {
    asked.current = next;
    setPath(next);
  };
  const [found, setFound] = useState<Level | undefined>(undefined);
  // Nothing can be picked before it is known: the level found before is another directory.
  const level = found?.path === path ? found : undefined;
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  useEffect(() => {
    const leaving = new AbortController();
    readLevel(folder, path, leaving.signal)
      .then((read) => {
        if (!leaving.signal.aborted) setFound(read);
      })
      .catch((error: unknown) => {
        if (!leaving.signal.aborted) setTrouble(problemOf(error).message);
      });
    return () => leaving.abort();
  }, [folder, path]);
  return (
    <Dialog title={title} onClose={onClose}>
      <p>
        <Path path={path === "" ? folder : `${folder}/${path}`} />
      </p>
      {trouble === undefined ? null : <p class="trouble">{trouble}</p>}
      <ul class="picker">
        {path === "" ? null : (
          <li>
            <button type="button" class="quiet" onClick={() => enter(parentPath(path))}>
              <Icon of={CornerLeftUp} /> Up
            </button>
          </li>
        )}
        {level?.directories.map(({ id, name }) => (
          <li key={id}>
            <button type="button" class="quiet" onClick={() => enter(joinPath(path, name))}>
              <Icon of={Folder} />
              <Name name={name} />
              <Icon of={ChevronRight} />
            </button>
          </li>
        ))}
        {level?.directories.length === 0 ? <li class="faint">No folders in here</li> : null}
      </ul>
      <div class="dialog-buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          class="primary"
          disabled={level === undefined}
          onClick={() => {
            if (level?.path === asked.current) void onPick(level.node);
          }}
        >
          Here
        </button>
      </div>
    </Dialog>
  );
}

async function readLevel(folder: string, path: string, signal: AbortSignal): Promise<Level> {
  const { node, entries } = await readDirectory(folder, path, signal);
  return { path, node, directories: entries.filter(({ kind }) => kind === "directory") };
}
