/** The differences between two moments, below the directory that is open. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { type DiffAnswer, type DiffEntry, diffAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, type Problem, problemOf, query } from "../model/api.ts";
import { head } from "../model/live.ts";
import { closeTime } from "../model/moment.ts";
import { restoreAt } from "../model/plans.ts";
import { at, route } from "../model/route.ts";
import { whoOf } from "../model/sayings.ts";
import { numberText, sizeText, timeText } from "../model/words.ts";
import { DiffText } from "../parts/DiffText.tsx";
import { Path } from "../parts/Name.tsx";

const ENTRIES_PER_REQUEST = 500;

type What = DiffEntry["what"];

const KINDS: readonly (readonly [What, string, string])[] = [
  ["added", "+", "Added"],
  ["modified", "~", "Modified"],
  ["moved", "→", "Moved"],
  ["removed", "−", "Removed"],
];

/** Kinds that are left out. */
const left = signal<ReadonlySet<What>>(new Set());

export function Compare({ folder, from }: { readonly folder: string; readonly from: number }) {
  const { path } = route.value;
  const to = at.value;
  const now = to ?? head.value;
  const [answer, setAnswer] = useState<DiffAnswer | undefined>(undefined);
  const [problem, setProblem] = useState<Problem | undefined>(undefined);
  const load = async (offset: number | undefined) => {
    try {
      const values = query({ from, to, path, offset, limit: ENTRIES_PER_REQUEST });
      const page = await ask(diffAnswerSchema, folderRoute(folder, `/diff?${values}`));
      setAnswer((known) =>
        offset === undefined || known === undefined
          ? page
          : { ...page, entries: [...known.entries, ...page.entries] },
      );
      setProblem(undefined);
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => void load(undefined), 50);
    return () => clearTimeout(timer);
  }, [folder, path, from, now]);
  if (problem !== undefined) {
    return (
      <div class="empty" role="alert">
        {problem.message}
      </div>
    );
  }
  if (answer === undefined) return <div class="empty skeleton" aria-busy="true" />;
  const shown = answer.entries.filter(({ what }) => !left.value.has(what));
  return (
    <div class="compare">
      <header>
        <span>
          From event {numberText(from)} to {to === undefined ? "now" : `event ${numberText(to)}`}
        </span>
        <span class="chips">
          {KINDS.map(([what, sign, title]) => (
            <button
              key={what}
              type="button"
              class="chip"
              aria-pressed={!left.value.has(what)}
              disabled={answer.summary[what] === 0}
              onClick={() => toggleKind(what)}
            >
              <span class={`sign ${what}`}>{sign}</span> {title} {numberText(answer.summary[what])}
            </button>
          ))}
        </span>
        <button type="button" onClick={() => restoreAt(path, from)}>
          Restore as of event {numberText(from)}…
        </button>
        <button type="button" class="quiet" onClick={closeTime}>
          Close
        </button>
      </header>
      {answer.entries.length === 0 ? (
        <div class="empty">
          <p>Nothing differs between these two moments here.</p>
        </div>
      ) : null}
      <ul class="changes">
        {shown.map((entry) => (
          <Change key={entry.id} entry={entry} folder={folder} from={from} to={to} />
        ))}
      </ul>
      {answer.next === undefined ? null : (
        <button type="button" onClick={() => void load(answer.next)}>
          More
        </button>
      )}
    </div>
  );
}

function toggleKind(what: What): void {
  const next = new Set(left.value);
  if (!next.delete(what)) next.add(what);
  left.value = next;
}

interface ChangeProps {
  readonly entry: DiffEntry;
  readonly folder: string;
  readonly from: number;
  readonly to: number | undefined;
}

function Change({ entry, folder, from, to }: ChangeProps) {
  const [isOpen, setOpen] = useState(false);
  const { what, path, kind, before, after, last, inside } = entry;
  const sign = KINDS.find(([name]) => name === what)?.[1] ?? "";
  const isFile = kind === "file";
  return (
    <li>
      <button
        type="button"
        class="quiet change"
        aria-expanded={isOpen}
        disabled={!isFile}
        onClick={() => setOpen(!isOpen)}
      >
        <span class={`sign ${what}`}>{sign}</span>
        <span class="what">
          <Path path={kind === "directory" ? `${path}/` : path} />
          {entry.from === undefined ? null : (
            <span class="faint">
              {" "}
              was <Path path={entry.from} />
            </span>
          )}
          {inside === undefined ? null : <span class="faint"> {numberText(inside)} inside</span>}
        </span>
        <span class="faint sizes">{sizesOf(before?.size, after?.size)}</span>
        <span class="faint">
          {whoOf(last)}, {timeText(last.time)}
        </span>
      </button>
      {isOpen && isFile ? (
        <DiffText
          before={
            before === undefined
              ? undefined
              : { folder, path: entry.from ?? path, seq: from, size: before.size ?? 0 }
          }
          after={after === undefined ? undefined : { folder, path, seq: to, size: after.size ?? 0 }}
        />
      ) : null}
    </li>
  );
}

function sizesOf(before: number | undefined, after: number | undefined): string {
  if (before === undefined) return after === undefined ? "" : sizeText(after);
  if (after === undefined || before === after) return sizeText(before);
  return `${sizeText(before)} → ${sizeText(after)}`;
}
