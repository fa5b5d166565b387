/** Starts all that goes on beside the views: what an address names is asked for at once. */
import { effect, untracked } from "@preact/signals";
import { isSignedOut } from "./model/api.ts";
import { bindings } from "./model/bindings.ts";
import { watchConflicts } from "./model/conflicts.ts";
import { loadDevices, watchDevices } from "./model/devices.ts";
import { listen } from "./model/keys.ts";
import { watchRoute } from "./model/listing.ts";
import { folder, open } from "./model/live.ts";
import { watchTime } from "./model/moment.ts";
import { route, settle } from "./model/route.ts";
import { jumpTo } from "./model/selection.ts";
import { folders, start } from "./model/session.ts";

export function begin(): void {
  listen(bindings, jumpTo);
  watchRoute();
  watchTime();
  watchConflicts();
  watchDevices();
  let opened: string | undefined;
  effect(() => {
    const { folder: named } = route.value;
    const known = folders.value;
    if (isSignedOut.value) {
      opened = undefined;
      return;
    }
    if (named === undefined) {
      const [first] = known ?? [];
      if (known?.length === 1 && first !== undefined)
        untracked(() => settle({ folder: first.name }));
      return;
    }
    if (named === opened) return;
    opened = named;
    folder.value = undefined;
    // Why it is not open is what its list says.
    void open(named).catch(() => undefined);
    void loadDevices(named).catch(() => undefined);
  });
  effect(() => {
    const { folder: named, path } = route.value;
    const place = path === "" ? named : path.slice(path.lastIndexOf("/") + 1);
    document.title = place === undefined ? "synced" : `${place} - synced`;
  });
  void start();
}
