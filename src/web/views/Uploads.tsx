/** Uploads under way, and those that want a decision. */
import {
  forgetUploads,
  isOver,
  keepBoth,
  replace,
  retry,
  type Upload,
  uploads,
} from "../model/uploads.ts";
import { countText, numberText, sizeText } from "../model/words.ts";
import { Name } from "../parts/Name.tsx";

const LINES_MAX = 50;

export function Uploads() {
  const { value: all } = uploads;
  if (all.length === 0) return null;
  const done = all.filter(({ state }) => state.kind === "done").length;
  const bytes = all.reduce((sum, { file }) => sum + file.size, 0);
  const sent = all.reduce((sum, upload) => sum + bytesOf(upload), 0);
  // Those that want somebody stand first, then what is under way.
  const lines = [...all]
    .filter(({ state }) => state.kind !== "done")
    .sort((one, other) => urgency(one) - urgency(other))
    .slice(0, LINES_MAX);
  const count = `${numberText(done)} of ${countText(all.length, "file")}`;
  const isFinished = all.every(({ state }) => isOver(state));
  return (
    <section class="uploads" aria-label="Uploads">
      <header>
        <span role="status">
          {isFinished
            ? `Uploaded ${count}`
            : `Uploading: ${count}, ${sizeText(sent)} of ${sizeText(bytes)}`}
        </span>
        {isFinished ? (
          <button type="button" class="quiet" onClick={forgetUploads}>
            Close
          </button>
        ) : null}
      </header>
      <progress max={Math.max(1, bytes)} value={sent} aria-label="Bytes uploaded" />
      <ul>
        {lines.map((upload) => (
          <Line key={upload.id} upload={upload} />
        ))}
      </ul>
    </section>
  );
}

function urgency({ state }: Upload): number {
  if (state.kind === "failed" || state.kind === "taken") return 0;
  return state.kind === "sending" ? 1 : 2;
}

function bytesOf({ file, state }: Upload): number {
  if (state.kind === "sending") return state.bytes;
  return state.kind === "done" || state.kind === "taken" ? file.size : 0;
}

function Line({ upload }: { readonly upload: Upload }) {
  const { path, state, file } = upload;
  return (
    <li class={state.kind}>
      <Name name={path} />
      {state.kind === "waiting" ? <span class="faint">{sizeText(file.size)}</span> : null}
      {state.kind === "sending" ? (
        <span class="faint">
          {sizeText(state.bytes)} of {sizeText(file.size)}
        </span>
      ) : null}
      {state.kind === "failed" ? (
        <>
          <span class="trouble">{state.reason}</span>
          <button type="button" onClick={() => retry(upload.id)}>
            Retry
          </button>
        </>
      ) : null}
      {state.kind === "taken" ? (
        <>
          <span class="faint">There is a file of that name</span>
          <button type="button" onClick={() => void replace(upload)}>
            Replace it
          </button>
          <button type="button" onClick={() => void keepBoth(upload)}>
            Keep both
          </button>
        </>
      ) : null}
    </li>
  );
}
