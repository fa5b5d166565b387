/** Finds names anywhere in the folder: now, at the moment shown, or ever. */
import { useEffect, useState } from "preact/hooks";
import { joinPath, parentPath } from "../../core/path.ts";
import { type SearchHit, searchAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, problemOf, query } from "../model/api.ts";
import { showsDeleted } from "../model/listing.ts";
import { at, go } from "../model/route.ts";
import { whoOf } from "../model/sayings.ts";
import { pane } from "../model/screen.ts";
import { wanted } from "../model/selection.ts";
import { sizeText, timeText } from "../model/words.ts";
import { Dialog } from "../parts/Dialog.tsx";
import { Path } from "../parts/Name.tsx";

const HITS = 50;
/** A search begins when nothing was typed for this long. */
const REST_MS = 150;

interface Found {
  readonly hits: readonly SearchHit[];
  readonly next: string | undefined;
}

export function Search({
  folder,
  onClose,
}: {
  readonly folder: string;
  readonly onClose: () => void;
}) {
  const [text, setText] = useState("");
  const [isEver, setEver] = useState(false);
  const [found, setFound] = useState<Found | undefined>(undefined);
  const [trouble, setTrouble] = useState("");
  const look = async (after: string | undefined, signal?: AbortSignal) => {
    const values = query({ q: text, ever: isEver ? 1 : 0, at: at.value, after, limit: HITS });
    try {
      const question = signal === undefined ? {} : { signal };
      const page = await ask(
        searchAnswerSchema,
        folderRoute(folder, `/search?${values}`),
        question,
      );
      setFound((known) => ({
        hits: after === undefined ? page.hits : [...(known?.hits ?? []), ...page.hits],
        next: page.next,
      }));
      setTrouble("");
    } catch (error) {
      if (signal?.aborted !== true) setTrouble(problemOf(error).message);
    }
  };
  useEffect(() => {
    setFound(undefined);
    if (text === "") return;
    const leaving = new AbortController();
    const timer = setTimeout(() => void look(undefined, leaving.signal), REST_MS);
    return () => {
      clearTimeout(timer);
      leaving.abort();
    };
  }, [text, isEver]);
  return (
    <Dialog title="Search" onClose={onClose} isWide>
      <div class="search-fields">
        <input
          type="search"
          aria-label="Part of a name"
          placeholder="Part of a name"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            // Chromium would empty the field, tell nobody, and leave the dialog open.
            event.preventDefault();
            onClose();
          }}
        />
        <label class="switch">
          <input
            type="checkbox"
            checked={isEver}
            onChange={(event) => setEver(event.currentTarget.checked)}
          />
          Also names that are gone
        </label>
      </div>
      {trouble === "" ? null : <p class="trouble">{trouble}</p>}
      <ul class="hits">
        {found?.hits.map((hit) => (
          <li key={`${hit.id}/${hit.path}`}>
            <button type="button" class="quiet" onClick={() => open(hit, onClose)}>
              <span class={hit.state === "deleted" ? "ghost" : ""}>
                <Path path={hit.path} />
              </span>
              <span class="faint">
                {hit.size === undefined ? "" : `${sizeText(hit.size)}, `}
                {hit.state === "deleted" ? "deleted by " : ""}
                {whoOf(hit.last)}, {timeText(hit.last.time)}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {found !== undefined && found.hits.length === 0 && found.next === undefined ? (
        <p class="empty">
          {isEver
            ? "No name ever held that text."
            : "No name holds that text. It may be gone: tick the box."}
        </p>
      ) : null}
      <div class="dialog-buttons">
        {found?.next === undefined ? null : (
          <button type="button" onClick={() => void look(found.next)}>
            More
          </button>
        )}
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function open({ id, path, kind, state }: SearchHit, onClose: () => void): void {
  onClose();
  if (state === "deleted") showsDeleted.value = true;
  if (kind === "directory" && state === "live") {
    go({ view: "files", path: joinPath(parentPath(path), path.slice(path.lastIndexOf("/") + 1)) });
    return;
  }
  wanted.value = id;
  pane.value = "preview";
  go({ view: "files", path: parentPath(path) });
}
