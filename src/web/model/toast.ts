/** One short message about what was just done, with the step that takes it back if there is one. */
import { signal } from "@preact/signals";

export interface Toast {
  readonly text: string;
  readonly isTrouble?: boolean;
  readonly action?: { readonly label: string; readonly run: () => void };
}

const SHOWN_MS = 8_000;

export const toast = signal<Toast | undefined>(undefined);
let timer: ReturnType<typeof setTimeout> | undefined;

export function tell(message: Toast): void {
  clearTimeout(timer);
  toast.value = message;
  timer = setTimeout(dismiss, SHOWN_MS);
}

export function tellProblem(text: string): void {
  tell({ text, isTrouble: true });
}

export function dismiss(): void {
  toast.value = undefined;
}
