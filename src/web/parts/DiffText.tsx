/** Two texts, as the lines that differ with a few around them. */
import { structuredPatch } from "diff";
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../model/api.ts";
import { type FileAt, readText } from "../model/content.ts";

/** A longer comparison is of no use to a person, and holds the page up. */
const PATIENCE_MS = 500;
const EDITS_MAX = 5_000;
const LINES_AROUND = 3;

type Compared =
  | { readonly kind: "lines"; readonly hunks: readonly Hunk[] }
  | { readonly kind: "none"; readonly why: string };

interface Hunk {
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly string[];
}

/** A side that is undefined was not there. */
interface DiffTextProps {
  readonly before: FileAt | undefined;
  readonly after: FileAt | undefined;
}

export function DiffText({ before, after }: DiffTextProps) {
  const [compared, setCompared] = useState<Compared | undefined>(undefined);
  const key = [before?.path, before?.seq, after?.path, after?.seq].join("\n");
  useEffect(() => {
    const leaving = new AbortController();
    setCompared(undefined);
    compare(before, after, leaving.signal)
      .catch((error: unknown): Compared => ({ kind: "none", why: problemOf(error).message }))
      .then((found) => {
        if (!leaving.signal.aborted) setCompared(found);
      })
      .catch(() => undefined);
    return () => leaving.abort();
  }, [key]);
  if (compared === undefined) return null;
  if (compared.kind === "none") return <p class="empty">{compared.why}</p>;
  return (
    <div class="text diff" tabIndex={0} role="region" aria-label="What changed">
      {compared.hunks.map((hunk) => (
        <ol key={hunk.newStart}>
          <li class="where">line {hunk.newStart}</li>
          {hunk.lines.map((line, index) => (
            <li key={index} class={classOf(line)}>
              {line.slice(1, 2000)}
            </li>
          ))}
        </ol>
      ))}
    </div>
  );
}

function classOf(line: string): string {
  if (line.startsWith("+")) return "plus";
  return line.startsWith("-") ? "minus" : "";
}

async function compare(
  before: FileAt | undefined,
  after: FileAt | undefined,
  signal: AbortSignal,
): Promise<Compared> {
  const [one, other] = await Promise.all([textOf(before, signal), textOf(after, signal)]);
  if (one === undefined || other === undefined) {
    return { kind: "none", why: "Not both are text of at most 256 kB: look at each of them." };
  }
  const options = { context: LINES_AROUND, timeout: PATIENCE_MS, maxEditLength: EDITS_MAX };
  const patch = structuredPatch("", "", one, other, "", "", options);
  if (patch === undefined) return { kind: "none", why: "They differ too much to be compared." };
  if (patch.hunks.length === 0) return { kind: "none", why: "Both have the same text." };
  const hunks = patch.hunks.map(({ oldStart, newStart, lines }) => ({
    oldStart,
    newStart,
    lines: lines.filter((line) => !line.startsWith("\\")),
  }));
  return { kind: "lines", hunks };
}

/** undefined if it cannot be compared. */
async function textOf(file: FileAt | undefined, signal: AbortSignal): Promise<string | undefined> {
  if (file === undefined) return "";
  const { text, isText, isWhole } = await readText(file, signal);
  return isText && isWhole ? text : undefined;
}
