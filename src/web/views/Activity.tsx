/** Who did what, newest first, as it happens. */
import { effect, signal, untracked } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { parentPath } from "../../core/path.ts";
import { type Action, type LogRow, logAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, type Problem, problemOf, query } from "../model/api.ts";
import { deviceName, devices } from "../model/devices.ts";
import { head, folder as openFolder } from "../model/live.ts";
import { takeBack, takeBackSince } from "../model/plans.ts";
import { go } from "../model/route.ts";
import { deedOf, verbOf, whoOf } from "../model/sayings.ts";
import { exactTimeText, numberText, sizeText, timeText } from "../model/words.ts";
import { Path } from "../parts/Name.tsx";

const ROWS = 100;
/** A page of fewer rows is gone on from. */
const ROWS_MIN = 40;
/** New rows are asked for at most this often. */
const NEWS_MS = 400;

const ACTIONS: readonly Action[] = [
  "upload",
  "update",
  "rename",
  "delete",
  "restore",
  "mkdir",
  "rmdir",
];

interface Filter {
  readonly device: string;
  readonly action: string;
  readonly path: string;
  readonly since: string;
  readonly until: string;
}

const EVERYTHING: Filter = { device: "", action: "", path: "", since: "", until: "" };

const filter = signal<Filter>(EVERYTHING);
const rows = signal<readonly LogRow[] | undefined>(undefined);
const next = signal<number | undefined>(undefined);
const problem = signal<Problem | undefined>(undefined);

let asked = 0;

async function load(folder: string, before: number | undefined): Promise<void> {
  const mine = ++asked;
  let found = before === undefined ? [] : (rows.value ?? []);
  const enough = found.length + ROWS_MIN;
  try {
    for (let at = before; ; ) {
      const route = folderRoute(folder, `/log?${queryOf(filter.value, at)}`);
      const page = await ask(logAnswerSchema, route);
      if (mine !== asked) return;
      found = [...found, ...page.rows];
      problem.value = undefined;
      const isEnough = found.length >= enough || page.next === undefined;
      // Rows that stand there stay until as many new ones are read.
      if (isEnough || (found.length > 0 && found.length >= (rows.value?.length ?? 0))) {
        rows.value = found;
        next.value = page.next;
      }
      if (isEnough) return;
      at = page.next;
    }
  } catch (error) {
    if (mine === asked) problem.value = problemOf(error);
  }
}

function queryOf(
  { device, action, path, since, until }: Filter,
  before: number | undefined,
): string {
  return query({
    before,
    limit: ROWS,
    device: device || undefined,
    action: action || undefined,
    path: path.replace(/^\/+|\/+$/g, "") || undefined,
    since: instant(since),
    until: instant(until),
  });
}

/** Of a local time as a field gives it. */
function instant(text: string): string | undefined {
  const date = new Date(text);
  return text === "" || Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

export function Activity({ folder }: { readonly folder: string }) {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = effect(() => {
      const wanted = filter.value;
      const { value: open } = openFolder;
      if (open === undefined || wanted === undefined) return;
      // Read, so that each event that is heard asks again.
      const isFirst = head.value >= 0 && timer === undefined;
      clearTimeout(timer);
      timer = setTimeout(
        () => untracked(() => void load(folder, undefined)),
        isFirst ? 0 : NEWS_MS,
      );
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [folder]);
  const { value: shown } = rows;
  return (
    <section class="view" aria-label="Activity">
      <header>
        <h1>Activity</h1>
        <Filters />
      </header>
      {problem.value === undefined ? null : (
        <p class="trouble" role="alert">
          {problem.value.message}
        </p>
      )}
      {shown !== undefined && shown.length === 0 ? (
        <div class="empty">
          <p>
            {isFiltered() ? "Nothing like that happened here." : "Nothing has happened here yet."}
          </p>
          {isFiltered() ? (
            <button
              type="button"
              onClick={() => {
                filter.value = EVERYTHING;
              }}
            >
              Show everything
            </button>
          ) : null}
        </div>
      ) : null}
      <ol class="log">
        {shown?.map((row) => (
          <Row key={row.seq} row={row} folder={folder} />
        ))}
      </ol>
      {next.value === undefined || shown === undefined || shown.length === 0 ? null : (
        <button type="button" onClick={() => void load(folder, next.value)}>
          Older
        </button>
      )}
    </section>
  );
}

function isFiltered(): boolean {
  return Object.values(filter.value).some((value) => value !== "");
}

function set(change: Partial<Filter>): void {
  filter.value = { ...filter.value, ...change };
}

function Filters() {
  const { device, action, path, since, until } = filter.value;
  return (
    <div class="filters">
      <select
        aria-label="Device"
        value={device}
        onChange={(event) => set({ device: event.currentTarget.value })}
      >
        <option value="">All devices</option>
        {devices.value.map((each) => (
          <option key={each.device} value={each.device}>
            {deviceName(each.device)}
          </option>
        ))}
      </select>
      <select
        aria-label="Action"
        value={action}
        onChange={(event) => set({ action: event.currentTarget.value })}
      >
        <option value="">All actions</option>
        {ACTIONS.map((each) => (
          <option key={each} value={each}>
            {verbOf(each)}
          </option>
        ))}
      </select>
      <input
        aria-label="Folder or file"
        placeholder="Folder or file"
        value={path}
        onChange={(event) => set({ path: event.currentTarget.value })}
      />
      <label>
        <span class="faint">from</span>
        <input
          type="datetime-local"
          value={since}
          onChange={(event) => set({ since: event.currentTarget.value })}
        />
      </label>
      <label>
        <span class="faint">to</span>
        <input
          type="datetime-local"
          value={until}
          onChange={(event) => set({ until: event.currentTarget.value })}
        />
      </label>
    </div>
  );
}

function Row({ row, folder }: { readonly row: LogRow; readonly folder: string }) {
  const { seq, lastSeq, time, action, path, from, size } = row;
  const events = seq === lastSeq ? numberText(seq) : `${numberText(seq)}–${numberText(lastSeq)}`;
  const shownPath = path === "" ? folder : path;
  return (
    <li class={`log-row ${action}`}>
      <time dateTime={time} title={exactTimeText(time)}>
        {timeText(time)}
      </time>
      <span class="log-text">
        <strong>{whoOf(row)}</strong> {deedOf(row)}{" "}
        {from === undefined ? null : (
          <>
            <Path path={from} /> to{" "}
          </>
        )}
        <Path path={shownPath} />
        {row.gone === true ? (
          <span class="faint"> (bytes gone: older than the server keeps versions)</span>
        ) : null}
      </span>
      <span class="faint log-size">
        {size === undefined ? "" : sizeText(size)}
        <span class="log-events">{events}</span>
      </span>
      <span class="buttons">
        <button type="button" onClick={() => showThen(row)}>
          Show then
        </button>
        <button type="button" onClick={() => takeBack(row)}>
          Take back…
        </button>
        <button
          type="button"
          class="quiet"
          title={`Take back all that ${whoOf(row)} did since here`}
          onClick={() => takeBackSince(row, whoOf(row))}
        >
          All since…
        </button>
      </span>
    </li>
  );
}

/** Files as they were right after it; of a deletion, right before. */
function showThen({ seq, lastSeq, path, count, action }: LogRow): void {
  const isGone = action === "delete" || action === "rmdir";
  go({
    view: "files",
    path: count > 1 ? path : parentPath(path),
    at: isGone ? seq - 1 : lastSeq,
    from: undefined,
  });
}
