/** A file's bytes, shown: text, an image, sound or a film. Each is text or media, never a page. */
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../model/api.ts";
import { type FileAt, type Shown, show } from "../model/content.ts";

/** A view that takes longer than this says so. */
const PATIENCE_MS = 300;

export function Preview({
  folder,
  path,
  seq,
  size,
  version,
}: FileAt & { readonly version: number }) {
  const [shown, setShown] = useState<Shown | undefined>(undefined);
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const leaving = new AbortController();
    setSlow(false);
    const timer = setTimeout(() => setSlow(true), PATIENCE_MS);
    show({ folder, path, seq, size }, leaving.signal)
      .catch((error: unknown): Shown => ({ kind: "other", why: problemOf(error).message }))
      .then((found) => {
        if (leaving.signal.aborted) return;
        clearTimeout(timer);
        setSlow(false);
        setShown(found);
      })
      .catch(() => undefined);
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [folder, path, seq, version]);
  if (isSlow) return <p class="empty">Loading…</p>;
  if (shown === undefined) return null;
  return <Content shown={shown} path={path} />;
}

function Content({ shown, path }: { readonly shown: Shown; readonly path: string }) {
  switch (shown.kind) {
    case "text":
      return <TextLines text={shown.text} isWhole={shown.isWhole} />;
    case "image":
      return <img class="media" src={shown.url} alt={path} />;
    case "document":
      return <iframe class="document" src={shown.url} title={path} />;
    case "audio":
      return (
        <audio class="media" controls src={shown.url}>
          <track kind="captions" />
        </audio>
      );
    case "video":
      return (
        <video class="media" controls src={shown.url}>
          <track kind="captions" />
        </video>
      );
    case "other":
      return <p class="empty">{shown.why}. Download it to look at it.</p>;
  }
}

const LINE_LENGTH_MAX = 2_000;

function TextLines({ text, isWhole }: { readonly text: string; readonly isWhole: boolean }) {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return (
    <div class="text" tabIndex={0} role="region" aria-label="Text">
      <ol>
        {lines.map((line, index) => (
          <li key={index}>{line.slice(0, LINE_LENGTH_MAX)}</li>
        ))}
      </ol>
      {isWhole ? null : <p class="empty">The first 256 kB. Download it to read the rest.</p>}
    </div>
  );
}
