/** A folder with a past: two devices, names of all kinds, a change to each kind of thing. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type RunningSynced, runSynced, type Scratch, startServer } from "../scenarios/binary.ts";

export interface Scene {
  readonly url: string;
  readonly server: RunningSynced;
  readonly laptop: string;
  readonly nas: string;
  /** Sends what a device has and gets what it lacks. */
  sync(device: "laptop" | "nas"): Promise<void>;
}

export const HOSTILE_NAMES = [
  "<img src=x onerror=alert(1)>.html",
  "invoice\u202egpj.exe",
  "line\nbreak.txt",
  "\u05e9\u05dc\u05d5\u05dd.txt",
  `${"a".repeat(250)}.txt`,
];

/** A picture that every browser shows: one pixel. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export async function makeScene(scratch: Scratch): Promise<Scene> {
  const { url, server } = await startServer(scratch.join("data"));
  const laptop = scratch.join("laptop");
  const nas = scratch.join("nas");
  const sync = async (device: "laptop" | "nas") => {
    const folder = device === "laptop" ? laptop : nas;
    const flags = ["--server", url, "--folder", "notes", "--device", device.toUpperCase()];
    const { exitCode, stderr } = await runSynced(["sync", folder, ...flags, "--once"]);
    if (exitCode !== 0) throw new Error(`${device} did not sync: ${stderr}`);
  };
  mkdirSync(`${laptop}/work/2026`, { recursive: true });
  mkdirSync(`${laptop}/photos/2019`, { recursive: true });
  mkdirSync(nas);
  writeFileSync(`${laptop}/work/2026/plan.md`, "# Plan\n\n- milk\n");
  writeFileSync(`${laptop}/photos/dot.png`, Buffer.from(PNG, "base64"));
  writeFileSync(`${laptop}/photos/drawing.svg`, SCRIPTED_SVG);
  for (let index = 1; index <= 20; index++) {
    writeFileSync(`${laptop}/photos/2019/IMG_${index}.jpg`, `photo ${index}`);
  }
  for (const name of HOSTILE_NAMES) writeFileSync(`${laptop}/${name}`, "<script>alert(1)</script>");
  writeFileSync(`${laptop}/todo.txt`, "todo\n");
  await sync("laptop");
  await sync("nas");
  writeFileSync(`${nas}/work/2026/plan.md`, "# Plan\n\n- milk\n- bread\n");
  renameSync(`${nas}/todo.txt`, `${nas}/done.txt`);
  await sync("nas");
  rmSync(`${nas}/photos/2019`, { recursive: true });
  await sync("nas");
  await sync("laptop");
  return { url, server, laptop, nas, sync };
}

const SCRIPTED_SVG =
  '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><script>alert(1)</script></svg>';
