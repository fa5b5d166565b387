/**
 * Watches the folder named by the first argument with too few watches at first, and more once that
 * has failed. Wants a user namespace of its own. Prints one line a hint.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { createNativeWatcher } from "../../../src/adapters/watch/native.ts";

const LIMIT = "/proc/sys/user/max_inotify_watches";

writeFileSync(LIMIT, "3");
await createNativeWatcher(process.argv[2] ?? "").watch({
  changed: (path) => console.log(`changed ${JSON.stringify(path)}`),
  overflow: () => console.log("overflow"),
  failed(reason) {
    console.log(`failed ${reason}`);
    writeFileSync(LIMIT, "1000");
  },
  restored: () => console.log("restored"),
});
