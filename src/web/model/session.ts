/** Who this browser is, whether the server lets it in, and which folders there are. */
import { signal } from "@preact/signals";
import { type Folder, foldersSchema } from "./answers.ts";
import { ask, isSignedOut, keepToken, type Problem, problemOf } from "./api.ts";

const DEVICE_KEY = "synced-device";

/** undefined until the server has told them. */
export const folders = signal<readonly Folder[] | undefined>(undefined);
export const startProblem = signal<Problem | undefined>(undefined);

/** This browser, as the log names it. It keeps its id, so that what it did can be taken back. */
export interface Browser {
  readonly id: string;
  readonly name: string;
}

export const browser: Browser = readBrowser();

/** @returns whether the server let the page in. */
export async function start(): Promise<boolean> {
  try {
    const { folders: found } = await ask(foldersSchema, "/v1/folders?limit=1000");
    folders.value = found;
    isSignedOut.value = false;
    startProblem.value = undefined;
    return true;
  } catch (error) {
    startProblem.value = problemOf(error);
    return false;
  }
}

export async function signIn(text: string): Promise<boolean> {
  keepToken(text.trim());
  const isIn = await start();
  if (!isIn) keepToken("");
  return isIn;
}

export function signOut(): void {
  keepToken("");
  location.reload();
}

/** 32 hex digits, as every id is. `crypto.randomUUID` is missing on plain http. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readBrowser(): Browser {
  const known = localStorage.getItem(DEVICE_KEY) ?? "";
  const id = /^[0-9a-f]{32}$/.test(known) ? known : newId();
  localStorage.setItem(DEVICE_KEY, id);
  return { id, name: browserName(navigator.userAgent) };
}

/** "Firefox on Linux" */
export function browserName(agent: string): string {
  const program = /Edg\//.test(agent)
    ? "Edge"
    : /Firefox\//.test(agent)
      ? "Firefox"
      : /Chrom(?:e|ium)\//.test(agent)
        ? "Chrome"
        : /Safari\//.test(agent)
          ? "Safari"
          : "Browser";
  const system = /Android/.test(agent)
    ? "Android"
    : /iPhone|iPad/.test(agent)
      ? "iOS"
      : /Mac OS X/.test(agent)
        ? "macOS"
        : /Windows/.test(agent)
          ? "Windows"
          : "Linux";
  return `${program} on ${system}`;
}
