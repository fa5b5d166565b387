/** The keys, from the list that handles them. */

import { bindings } from "../model/bindings.ts";
import type { Binding } from "../model/keys.ts";
import { Dialog } from "../parts/Dialog.tsx";

const GROUPS: readonly Binding["group"][] = ["Move", "Files", "Time", "Everywhere"];

const GLYPHS: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  PageUp: "Page up",
  PageDown: "Page down",
  Delete: "Del",
  Escape: "Esc",
};

export function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose} isWide>
      <div class="keys">
        {GROUPS.filter((group) => bindings.some((each) => each.group === group)).map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {bindings
                .filter((binding) => binding.group === group)
                .map(({ key, does }) => (
                  <div key={key}>
                    <dt data-key={key}>
                      <Key name={key} />
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <div class="dialog-buttons">
        <button type="button" class="primary" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Key({ name }: { readonly name: string }) {
  const keys = name.includes(" ") ? name.split(" ") : name.split(/\+(?=.)/);
  return (
    <>
      {keys.map((key) => (
        <kbd key={key}>{GLYPHS[key] ?? (key.length === 1 ? key : key)}</kbd>
      ))}
    </>
  );
}
