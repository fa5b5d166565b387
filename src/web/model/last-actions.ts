/** The actions of this tab, by the events that they became, so that the last one can be taken back. */

export interface Action {
  readonly folder: string;
  readonly first: number;
  readonly last: number;
}

const ACTIONS_MAX = 100;

let actions: readonly Action[] = [];
/** True once this tab has done something: then this list says what came last, and not the log. */
let hasActed = false;

export function remember(action: Action): void {
  hasActed = true;
  actions = [...actions, action].slice(-ACTIONS_MAX);
}

/** @returns undefined if this tab has done nothing yet; "none" if all is taken back */
export function takeLast(): Action | "none" | undefined {
  if (!hasActed) return undefined;
  const last = actions.at(-1);
  actions = actions.slice(0, -1);
  return last ?? "none";
}
