/**
 * The rows of a directory: a grid with one tab stop, of which only the rows in sight are in the
 * document. Its height is that of all rows, so that the scrollbar is exact and End is at once
 * there.
 */
import { ArrowDown, ArrowUp, File, Folder, Link2 } from "lucide";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { printableName } from "../../core/printable.ts";
import type { ListEntry } from "../../protocol/time-answers.ts";
import { deviceName } from "../model/devices.ts";
import { rowCount, rows, SORTS, type Sort, sort } from "../model/listing.ts";
import { isNarrow, renaming } from "../model/screen.ts";
import {
  clearSelection,
  extendTo,
  focused,
  isSelected,
  selectAll,
  selected,
  toggle,
} from "../model/selection.ts";
import { exactTimeText, sizeText, timeText } from "../model/words.ts";
import { Icon } from "./Icon.tsx";
import { Name } from "./Name.tsx";

const ROW_PIXELS = 36;
const NARROW_ROW_PIXELS = 60;
/** Rows beyond the edges, so that scrolling finds them drawn. */
const SPARE_ROWS = 12;

interface GridProps {
  readonly label: string;
  readonly onOpen: (entry: ListEntry) => void;
  readonly onRename: (entry: ListEntry, name: string) => void;
  readonly onDrop: ((entries: readonly ListEntry[], into: ListEntry) => void) | undefined;
  /** How this row differs from today, in the past: one sign and its meaning. */
  readonly mark: ((entry: ListEntry) => readonly [string, string] | undefined) | undefined;
  /** Buttons of a row that was deleted. */
  readonly ghostAction: ((entry: ListEntry) => ComponentChildren) | undefined;
}

export function rowPixels(): number {
  return isNarrow.value ? NARROW_ROW_PIXELS : ROW_PIXELS;
}

export function Grid(props: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(800);
  const { value: all } = rows;
  const pixels = rowPixels();
  const focusIndex = all.findIndex(({ id }) => id === focused.value);
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (scroller.current !== null && focusIndex >= 0) reveal(scroller.current, focusIndex, pixels);
  }, [focused.value, pixels]);
  const first = Math.max(0, Math.floor(top / pixels) - SPARE_ROWS);
  const last = Math.min(all.length, Math.ceil((top + height) / pixels) + SPARE_ROWS);
  const shown = all.slice(first, last).map((entry, index) => ({ entry, index: first + index }));
  const focusedEntry = all[focusIndex];
  // The row at which the keyboard is stays in the document, or a screen reader would lose it.
  const isOut = focusIndex >= 0 && (focusIndex < first || focusIndex >= last);
  if (isOut && focusedEntry !== undefined) shown.push({ entry: focusedEntry, index: focusIndex });
  return (
    <div
      class={props.mark === undefined ? "grid" : "grid marked"}
      role="grid"
      tabIndex={0}
      aria-label={props.label}
      aria-rowcount={rowCount.value + 1}
      aria-multiselectable
      aria-activedescendant={focusedEntry === undefined ? undefined : `row-${focusedEntry.id}`}
    >
      <Header />
      <div
        class="rows"
        role="rowgroup"
        ref={scroller}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      >
        <div
          class="all-rows"
          role="presentation"
          style={{ height: `${rowCount.value * pixels}px` }}
        >
          {shown.map(({ entry, index }) => (
            <Row key={entry.id} entry={entry} index={index} grid={props} />
          ))}
        </div>
      </div>
    </div>
  );
}

function reveal(element: HTMLElement, index: number, pixels: number): void {
  const start = index * pixels;
  if (start < element.scrollTop) element.scrollTop = start;
  else if (start + pixels > element.scrollTop + element.clientHeight) {
    element.scrollTop = start + pixels - element.clientHeight;
  }
}

const TITLES: Readonly<Record<Sort, string>> = { name: "Name", size: "Size", changed: "Changed" };

function Header() {
  const { by, isDescending } = sort.value;
  const count = selected.value.length;
  const isAll = count > 0 && count === rows.value.length;
  return (
    <div class="row header" role="row" aria-rowindex={1}>
      <span class="check" role="columnheader">
        <input
          type="checkbox"
          aria-label="Select all"
          checked={isAll}
          indeterminate={count > 0 && !isAll}
          onChange={() => (isAll ? clearSelection() : selectAll())}
        />
      </span>
      {SORTS.map((column) => (
        <span
          key={column}
          class={column}
          role="columnheader"
          aria-sort={by !== column ? "none" : isDescending ? "descending" : "ascending"}
        >
          <button type="button" class="quiet" onClick={() => setSort(column)}>
            {TITLES[column]}
            {by === column ? <Icon of={isDescending ? ArrowDown : ArrowUp} size={12} /> : null}
          </button>
        </span>
      ))}
      <span class="by" role="columnheader">
        By
      </span>
    </div>
  );
}

function setSort(by: Sort): void {
  const { value: now } = sort;
  sort.value =
    now.by === by ? { by, isDescending: !now.isDescending } : { by, isDescending: by !== "name" };
}

interface RowProps {
  readonly entry: ListEntry;
  readonly index: number;
  readonly grid: GridProps;
}

function Row({ entry, index, grid }: RowProps) {
  const { id, name, kind, deleted } = entry;
  const isChosen = isSelected(id);
  const isFocused = focused.value === id;
  const mark = grid.mark?.(entry);
  const classes = ["row", kind];
  if (isFocused) classes.push("focused");
  if (isChosen) classes.push("chosen");
  if (deleted !== undefined) classes.push("ghost");
  return (
    <div
      id={`row-${id}`}
      class={classes.join(" ")}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen}
      style={{ transform: `translateY(${index * rowPixels()}px)` }}
      draggable={grid.onDrop !== undefined && deleted === undefined}
      onDragStart={(event) => event.dataTransfer?.setData(ROWS_TYPE, id)}
      onDragOver={(event) => allowDrop(event, entry, grid)}
      onDrop={(event) => drop(event, entry, grid)}
      onClick={(event) => {
        if (event.shiftKey) extendTo(id);
        else focused.value = id;
      }}
      onDblClick={() => grid.onOpen(entry)}
    >
      <span class="check" role="gridcell">
        <input
          type="checkbox"
          aria-label={`Select ${printableName(name)}`}
          tabIndex={-1}
          checked={isChosen}
          onClick={(event) => {
            event.stopPropagation();
            if (event.shiftKey) extendTo(id);
            else toggle(id);
          }}
        />
      </span>
      <NameCell entry={entry} grid={grid} mark={mark} />
      <span class="size" role="gridcell">
        {entry.size === undefined ? "" : sizeText(entry.size)}
      </span>
      <span
        class="changed"
        role="gridcell"
        title={whenOf(entry) === "" ? "" : exactTimeText((deleted ?? entry.last).time)}
      >
        {whenOf(entry)}
      </span>
      <span class="by" role="gridcell">
        {grid.ghostAction !== undefined && deleted !== undefined
          ? grid.ghostAction(entry)
          : whose(entry)}
      </span>
    </div>
  );
}

function whose({ last }: ListEntry): string {
  return last.device === "" ? "" : deviceName(last.device, last.deviceName);
}

/** A row of the past says when it was changed once the list has come. */
function whenOf({ deleted, last }: ListEntry): string {
  const { time } = deleted ?? last;
  return time === "" ? "" : timeText(time);
}

function NameCell({
  entry,
  grid,
  mark,
}: Omit<RowProps, "index"> & { readonly mark: readonly [string, string] | undefined }) {
  const { id, name, kind, deleted } = entry;
  const says = kind === "directory" ? "Folder" : kind === "symlink" ? "Link" : "File";
  const icon = kind === "directory" ? Folder : kind === "symlink" ? Link2 : File;
  return (
    <span class="name-cell" role="rowheader">
      {grid.mark === undefined ? null : (
        <span class="mark" title={mark?.[1]}>
          {mark?.[0] ?? ""}
        </span>
      )}
      <Icon of={icon} size={18} />
      <span class="hidden">{says} </span>
      {renaming.value === id ? (
        <RenameField entry={entry} onRename={grid.onRename} />
      ) : (
        <button
          type="button"
          class="open"
          tabIndex={-1}
          onClick={(event) => {
            event.stopPropagation();
            focused.value = id;
            if (event.shiftKey) extendTo(id);
            else grid.onOpen(entry);
          }}
        >
          <Name name={name} />
        </button>
      )}
      {deleted === undefined ? null : (
        <span class="note">
          deleted by {deviceName(deleted.device, deleted.deviceName)}, {timeText(deleted.time)}
        </span>
      )}
      <span class="second">
        {entry.size === undefined ? "" : `${sizeText(entry.size)} · `}
        {whenOf(entry)} · {whose(entry)}
      </span>
    </span>
  );
}

function RenameField({
  entry,
  onRename,
}: {
  readonly entry: ListEntry;
  readonly onRename: GridProps["onRename"];
}) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const dot = entry.name.lastIndexOf(".");
    field.current?.focus();
    field.current?.setSelectionRange(0, dot > 0 ? dot : entry.name.length);
  }, []);
  const finish = (name: string) => {
    if (renaming.value !== entry.id) return;
    renaming.value = undefined;
    document.querySelector<HTMLElement>(".grid")?.focus();
    if (name !== "" && name !== entry.name) onRename(entry, name);
  };
  return (
    <input
      ref={field}
      class="rename"
      aria-label="New name"
      value={entry.name}
      onClick={(event) => event.stopPropagation()}
      onBlur={(event) => finish(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter") finish(event.currentTarget.value);
        else if (event.key === "Escape") finish(entry.name);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    />
  );
}

const ROWS_TYPE = "application/x-synced-rows";

function allowDrop(event: DragEvent, { kind, id }: ListEntry, { onDrop }: GridProps): void {
  const isRows = event.dataTransfer?.types.includes(ROWS_TYPE) === true;
  if (onDrop === undefined || kind !== "directory" || !isRows || isSelected(id)) return;
  event.preventDefault();
}

function drop(event: DragEvent, into: ListEntry, { onDrop }: GridProps): void {
  const id = event.dataTransfer?.getData(ROWS_TYPE) ?? "";
  if (onDrop === undefined || into.kind !== "directory" || id === "" || id === into.id) return;
  event.preventDefault();
  event.stopPropagation();
  const dragged = rows.value.filter((entry) => entry.id === id);
  onDrop(isSelected(id) ? selected.value : dragged, into);
}
