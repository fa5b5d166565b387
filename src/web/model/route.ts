/** Where the page is: the address's fragment, `#/VIEW/FOLDER/PATH?at=SEQ`, as a signal. */
import { computed, signal } from "@preact/signals";

export const VIEWS = ["files", "activity", "devices", "conflicts", "links"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  readonly view: View;
  /** undefined until one is chosen. */
  readonly folder: string | undefined;
  /** Below the folder; "" is its root. */
  readonly path: string;
  /** The moment that is shown; undefined is now. */
  readonly at: number | undefined;
  /** The other moment, while two are compared. */
  readonly from: number | undefined;
}

const LETTERS: Readonly<Record<View, string>> = {
  files: "f",
  activity: "a",
  devices: "d",
  conflicts: "c",
  links: "l",
};

export const route = signal(parseRoute(location.hash));
export const path = computed(() => route.value.path);
export const at = computed(() => route.value.at);

addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
});

export function parseRoute(hash: string): Route {
  const [place = "", parameters = ""] = hash.replace(/^#\/?/, "").split("?");
  const [letter = "f", folder = "", ...names] = place.split("/").map(decode);
  const view = VIEWS.find((name) => LETTERS[name] === letter) ?? "files";
  const values = new URLSearchParams(parameters);
  return {
    view,
    folder: folder === "" ? undefined : folder,
    path: names.filter((name) => name !== "").join("/"),
    at: sequence(values.get("at")),
    from: sequence(values.get("from")),
  };
}

export function hrefOf(target: Partial<Route>): string {
  const { view, folder, path: below, at: moment, from } = { ...NOWHERE, ...target };
  const names = below === "" ? [] : below.split("/");
  const place = [LETTERS[view], folder ?? "", ...names].map(encodeURIComponent).join("/");
  const values = new URLSearchParams();
  if (moment !== undefined) values.set("at", String(moment));
  if (from !== undefined) values.set("from", String(from));
  const parameters = values.toString();
  return `#/${place}${parameters === "" ? "" : `?${parameters}`}`;
}

const NOWHERE: Route = {
  view: "files",
  folder: undefined,
  path: "",
  at: undefined,
  from: undefined,
};

/** A new entry of the browser's history. */
export function go(change: Partial<Route>): void {
  location.hash = hrefOf({ ...route.value, ...change });
}

/** The same entry, for steps that nobody wants to take back one by one. */
export function settle(change: Partial<Route>): void {
  const next = { ...route.value, ...change };
  history.replaceState(history.state, "", hrefOf(next));
  route.value = next;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function sequence(text: string | null): number | undefined {
  return text !== null && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
