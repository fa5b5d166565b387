/** Watches the folder named by the first argument and prints one line a hint. */
import process from "node:process";
import { createNativeWatcher } from "../../../src/adapters/watch/native.ts";

await createNativeWatcher(process.argv[2] ?? "").watch({
  changed: (path) => console.log(`changed ${JSON.stringify(path)}`),
  overflow: () => console.log("overflow"),
  failed: (reason) => console.log(`failed ${reason}`),
  restored: () => console.log("restored"),
});
console.log("watching");
