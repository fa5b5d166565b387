/** Every key of the page, in one list: the handler and the help are both made from it. */
import { dialog } from "./screen.ts";

export interface Binding {
  /** "?" or "Ctrl+a" or "g f": as `nameOf` writes what was pressed. */
  readonly key: string;
  readonly does: string;
  readonly group: "Move" | "Files" | "Time" | "Everywhere";
  /** Does nothing unless this is true. @default always true */
  readonly when?: () => boolean;
  readonly run: () => void;
}

const SEQUENCE_MS_MAX = 1_200;

/** @param onText called with what was typed within a second, when no key is bound to it */
export function listen(bindings: readonly Binding[], onText: (text: string) => void): void {
  let typed = "";
  let typedMs = 0;
  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || dialog.value !== undefined) return;
    const name = nameOf(event);
    const isLate = event.timeStamp - typedMs > SEQUENCE_MS_MAX;
    const before = isLate ? "" : typed;
    typedMs = event.timeStamp;
    const found =
      bindings.find(({ key }) => before !== "" && key === `${before} ${name}`) ??
      bindings.find(({ key }) => key === name);
    if (found !== undefined) {
      typed = "";
      if (found.when?.() === false || isForButton(event, name)) return;
      event.preventDefault();
      found.run();
      return;
    }
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
    typed = before + event.key;
    if (!bindings.some(({ key }) => key.startsWith(`${typed} `))) onText(typed);
  });
}

/** "Ctrl+a", "Shift+ArrowUp", "?", "Space". A letter's case says whether Shift was held. */
export function nameOf(event: KeyboardEvent): string {
  const key = event.key === " " ? "Space" : event.key;
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && key.length > 1 ? "Shift+" : "";
  return `${control}${event.altKey ? "Alt+" : ""}${shift}${control === "" ? key : key.toLowerCase().replace(/^(.{2,})$/, key)}`;
}

/** A field takes its keys itself, but for the one that leaves it. */
function isTyping({ target, key }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  const isText = target instanceof HTMLInputElement && !["checkbox", "range"].includes(target.type);
  const isField = isText || target instanceof HTMLTextAreaElement;
  if (isField && key === "Escape") target.blur();
  const isRange = target instanceof HTMLInputElement && target.type === "range";
  return (
    isField ||
    target instanceof HTMLSelectElement ||
    (isRange && /^(?:Arrow|Home|End|Page)/.test(key))
  );
}

/** A button or link that has the focus is pressed by these. */
function isForButton({ target }: KeyboardEvent, name: string): boolean {
  const presses = name === "Enter" || name === "Space";
  return (
    presses && target instanceof Element && target.closest("button, a, summary, input") !== null
  );
}
