/**
 * ChaosUser: a person and the programs that work for him on one device: editors with their ways to
 * save, logs, databases, archives, file managers. Knows nothing of sync. Which file is taken
 * depends on what the disk holds at that moment; what is done with it on the seed alone.
 */
import type { SimRandom } from "../sim/sim-random.ts";
import type { ChaosHand, Held } from "./chaos-hand.ts";
import { parentOf } from "./chaos-ledger.ts";

const DIRECTORIES = ["desk", "desk/drawer", "shelf", "box", "box/inner"];
const NAMES = ["a.txt", "b.txt", "c.md", "d", "e.log", "f.db", "notes.txt", "plan.md", "x y.txt"];
const RECORD_BYTES = 32;
/** More than that is tidied up before anything else is made. */
const ENTRIES_MAX = 110;
/** Fewer leave nothing to clash. */
const ACTIONS_MIN = 12;
const OVERTIME_MS_MAX = 5_000;
const ENCODER = new TextEncoder();

interface Action {
  readonly name: string;
  readonly weight: number;
  readonly run: (user: ChaosUser) => Promise<unknown> | unknown;
}

export class ChaosUser {
  readonly #hand: ChaosHand;
  readonly #random: SimRandom;
  readonly #label: string;
  #counter = 0;
  readonly counts = new Map<string, number>();

  constructor(hand: ChaosHand, random: SimRandom, label: string) {
    this.#hand = hand;
    this.#random = random;
    this.#label = label;
  }

  /** Works until then, on a busy machine a while longer, and puts everything down. */
  async work(untilMs: number): Promise<void> {
    const limitMs = untilMs + OVERTIME_MS_MAX;
    for (let done = 0; performance.now() < (done < ACTIONS_MIN ? limitMs : untilMs); done += 1) {
      const isFull = this.#hand.list().length > ENTRIES_MAX;
      const action = isFull && this.#random.chance(0.4) ? TIDY : this.#pickAction();
      this.counts.set(action.name, (this.counts.get(action.name) ?? 0) + 1);
      await action.run(this);
      await this.#pause(this.#random.chance(0.1) ? 400 : 60);
    }
  }

  async create(): Promise<void> {
    const held = this.#hand.create(this.#newPath());
    if (held === undefined) return;
    await this.#fill(held);
    this.#hand.close(held);
  }

  async createWhole(): Promise<void> {
    const path = this.#newPath();
    const aside = this.#aside(path);
    const held = this.#hand.create(aside);
    if (held === undefined) return;
    await this.#fill(held);
    this.#hand.close(held);
    if (!this.#hand.rename(aside, path, { replace: false })) this.#hand.unlink(aside);
  }

  append(): void {
    const held = this.#openAny();
    if (held === undefined) return;
    this.#hand.append(held, this.#records(1));
    this.#hand.close(held);
  }

  /** In the middle, and no longer than before. */
  overwrite(): void {
    this.#inTheMiddle((held, at) => this.#hand.overwrite(held, at, this.#records(1)));
  }

  overwriteMapped(): void {
    this.#inTheMiddle((held, at) => this.#hand.overwriteMapped(held, at, this.#records(1)));
  }

  async rewrite(): Promise<void> {
    const held = this.#openAny();
    if (held === undefined) return;
    this.#hand.truncate(held);
    if (this.#random.chance(0.3)) await this.#pause(40);
    await this.#fill(held);
    this.#hand.close(held);
  }

  /** A program that holds a file open and goes on to write, whatever becomes of its name. */
  async hold(): Promise<void> {
    const held = this.#openAny();
    if (held === undefined) return;
    for (let left = 2 + this.#random.below(6); left > 0; left -= 1) {
      const size = this.#hand.size(held);
      if (this.#random.chance(0.7) || size < RECORD_BYTES) {
        this.#hand.append(held, this.#records(1));
      } else this.#hand.overwrite(held, this.#recordIn(size), this.#records(1));
      await this.#pause(500);
    }
    this.#hand.close(held);
  }

  /** tmp + rename, mode kept. */
  async saveAtomically(): Promise<void> {
    const old = this.#openAny();
    if (old === undefined) return;
    const aside = this.#aside(old.path);
    const held = this.#hand.create(aside);
    if (held !== undefined) {
      this.#hand.follow(held, old.piece);
      await this.#fill(held);
      this.#hand.setMode(held, this.#hand.isExecutable(old));
      this.#hand.close(held);
      if (!this.#hand.rename(aside, old.path, { replace: true })) this.#hand.unlink(aside);
    }
    this.#hand.close(old);
  }

  /** The old file becomes a backup, a new one is made, the backup goes. */
  async saveWithBackup(): Promise<void> {
    const path = this.#pick("file");
    if (path === undefined) return;
    const piece = this.#hand.pieceAt(path);
    const backup = `${path}~`;
    if (!this.#hand.rename(path, backup, { replace: true })) return;
    const held = this.#hand.create(path, piece);
    if (held === undefined) return;
    this.#hand.follow(held, piece);
    await this.#fill(held);
    this.#hand.close(held);
    if (this.#random.chance(0.8)) this.#hand.unlink(backup);
  }

  /** As office programs do. */
  async saveByDeleting(): Promise<void> {
    const path = this.#pick("file");
    if (path === undefined) return;
    const piece = this.#hand.pieceAt(path);
    if (!this.#hand.unlink(path)) return;
    if (this.#random.chance(0.3)) await this.#pause(20);
    const held = this.#hand.create(path, piece);
    if (held === undefined) return;
    this.#hand.follow(held, piece);
    await this.#fill(held);
    this.#hand.close(held);
  }

  rename(): void {
    const path = this.#pick(this.#random.chance(0.9) ? "file" : "symlink");
    if (path === undefined) return;
    const name = this.#random.chance(0.4) ? this.#random.pick(NAMES) : this.#newName();
    this.#hand.rename(path, inside(parentOf(path), name), { replace: false });
  }

  move(): void {
    const path = this.#pick("file");
    const name = path?.split("/").at(-1);
    if (path === undefined || name === undefined) return;
    this.#hand.rename(path, inside(this.#directory(), name), { replace: false });
  }

  /** `mv` over another file. */
  moveOver(): void {
    const [from, to] = [this.#pick("file"), this.#pick("file")];
    if (from === undefined || to === undefined || from === to) return;
    this.#hand.rename(from, to, { replace: true });
  }

  async swap(): Promise<void> {
    const [one, two] = [this.#pick("file"), this.#pick("file")];
    if (one === undefined || two === undefined || one === two) return;
    const aside = this.#aside(one);
    if (!this.#hand.rename(one, aside, { replace: false })) return;
    if (this.#random.chance(0.2)) await this.#pause(20);
    if (!this.#hand.rename(two, one, { replace: false })) {
      this.#hand.rename(aside, one, { replace: false });
      return;
    }
    this.#hand.rename(aside, two, { replace: false });
  }

  chmod(): void {
    const path = this.#pick("file");
    if (path !== undefined) this.#hand.chmod(path, this.#random.chance(0.6));
  }

  touch(): void {
    const path = this.#pick("file");
    if (path !== undefined) this.#hand.touch(path, 1_000_000_000 + this.#random.below(700_000_000));
  }

  unlink(): void {
    const path = this.#pick(this.#random.chance(0.8) ? "file" : "symlink");
    if (path !== undefined) this.#hand.unlink(path);
  }

  link(): void {
    const name = this.#newName();
    this.#hand.symlink(inside(this.#directory(), `${name}.link`), `../${name}`);
  }

  /** Replaced as `ln -sfn` does. */
  relink(): void {
    const path = this.#pick("symlink");
    if (path === undefined) return;
    const aside = this.#aside(path);
    const piece = this.#hand.pieceAt(path);
    if (!this.#hand.symlink(aside, `elsewhere/${this.#newName()}`, piece)) return;
    if (!this.#hand.rename(aside, path, { replace: true })) this.#hand.unlink(aside);
  }

  makeDirectory(): void {
    this.#hand.mkdir(inside(this.#directory(), this.#random.chance(0.5) ? "new" : this.#newName()));
  }

  moveDirectory(): void {
    const path = this.#pick("directory");
    if (path === undefined) return;
    const name = path.split("/").at(-1) ?? "";
    const to = this.#random.chance(0.5)
      ? inside(parentOf(path), this.#newName())
      : inside(this.#directory(), name);
    if (to === path || to.startsWith(`${path}/`) || to.split("/").length > 4) return;
    this.#hand.rename(path, to, { replace: false });
  }

  /** A few files at most: what looks like an accident would wait for a person. */
  removeDirectory(): void {
    const path = this.#pick("directory");
    if (path === undefined) return;
    const entries = this.#hand.list(path);
    if (entries.length > 6) return;
    for (const entry of entries.toReversed()) {
      if (entry.kind === "directory") this.#hand.rmdir(entry.path);
      else this.#hand.unlink(entry.path);
    }
    this.#hand.rmdir(path);
  }

  /** The same archives exist on all devices. */
  async unpack(): Promise<void> {
    const archive = `archive-${this.#random.below(4)}`;
    const root = inside(this.#random.pick(["", "desk", "shelf"]), archive);
    this.#hand.mkdir(root);
    this.#hand.mkdir(`${root}/src`);
    for (let index = 0; index < 12; index += 1) {
      const path = `${root}/${index % 2 === 0 ? "src/" : ""}file-${index}`;
      const held = this.#hand.create(path);
      if (held === undefined) continue;
      this.#hand.append(held, ENCODER.encode(`${archive} ${index} ${root}\n`.repeat(10)));
      this.#hand.setMode(held, index % 5 === 0);
      this.#hand.setTime(held, 1_500_000_000 + index);
      this.#hand.close(held);
      if (this.#random.chance(0.2)) await this.#pause(10);
    }
  }

  /** A directory becomes a file, or the other way round. */
  changeKind(): void {
    const path = this.#pick("file");
    if (path === undefined || !this.#hand.unlink(path) || !this.#hand.mkdir(path)) return;
    const held = this.#hand.create(`${path}/inside`);
    if (held === undefined) return;
    this.#hand.append(held, this.#records(2));
    this.#hand.close(held);
  }

  #inTheMiddle(write: (held: Held, at: number) => unknown): void {
    const held = this.#openAny();
    if (held === undefined) return;
    const size = this.#hand.size(held);
    if (size >= RECORD_BYTES) write(held, this.#recordIn(size));
    this.#hand.close(held);
  }

  #recordIn(size: number): number {
    return this.#random.below(Math.floor(size / RECORD_BYTES)) * RECORD_BYTES;
  }

  /** In one go or in several, small mostly. */
  async #fill(held: Held): Promise<void> {
    const parts = this.#random.chance(0.25) ? 3 : 1;
    for (let part = 0; part < parts; part += 1) {
      const isLarge = this.#random.chance(0.04);
      const count = isLarge ? 3_000 + this.#random.below(9_000) : 1 + this.#random.below(12);
      this.#hand.append(held, this.#records(count));
      if (part + 1 < parts) await this.#pause(30);
    }
  }

  /** Each record is written once in all the harness' life. */
  #records(count: number): Uint8Array {
    let text = "";
    for (let left = count; left > 0; left -= 1) {
      this.#counter += 1;
      text += `${this.#label}.${this.#counter} `.padEnd(RECORD_BYTES - 1, "-") + "\n";
    }
    return ENCODER.encode(text);
  }

  #openAny(): Held | undefined {
    const path = this.#pick("file");
    return path === undefined ? undefined : this.#hand.open(path);
  }

  #pick(kind: "file" | "symlink" | "directory"): string | undefined {
    const found = this.#hand.list().filter((entry) => entry.kind === kind && !isAside(entry.path));
    return found.length === 0 ? undefined : this.#random.pick(found).path;
  }

  #directory(): string {
    if (this.#random.chance(0.3)) return "";
    const wanted = this.#random.pick(DIRECTORIES);
    if (this.#random.chance(0.5)) return this.#pick("directory") ?? "";
    let made = "";
    for (const name of wanted.split("/")) {
      made = inside(made, name);
      this.#hand.mkdir(made);
    }
    return made;
  }

  #newPath(): string {
    const name = this.#random.chance(0.5) ? this.#random.pick(NAMES) : this.#newName();
    return inside(this.#directory(), name);
  }

  #newName(): string {
    this.#counter += 1;
    return `${this.#label}-${this.#counter}`;
  }

  #aside(path: string): string {
    this.#counter += 1;
    return inside(parentOf(path), `.${path.split("/").at(-1)}.${this.#label}${this.#counter}.tmp`);
  }

  async #pause(msMax: number): Promise<void> {
    await Bun.sleep(this.#random.below(msMax + 1));
  }

  #pickAction(): Action {
    let left = this.#random.below(WEIGHTS);
    for (const action of ACTIONS) {
      left -= action.weight;
      if (left < 0) return action;
    }
    return TIDY;
  }
}

/** Nobody takes what another program has under way. */
function isAside(path: string): boolean {
  return path.endsWith(".tmp");
}

function inside(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

const TIDY: Action = { name: "unlink", weight: 4, run: (user) => user.unlink() };

const ACTIONS: readonly Action[] = [
  TIDY,
  { name: "create", weight: 6, run: (user) => user.create() },
  { name: "createWhole", weight: 4, run: (user) => user.createWhole() },
  { name: "append", weight: 10, run: (user) => user.append() },
  { name: "overwrite", weight: 6, run: (user) => user.overwrite() },
  { name: "overwriteMapped", weight: 4, run: (user) => user.overwriteMapped() },
  { name: "rewrite", weight: 5, run: (user) => user.rewrite() },
  { name: "hold", weight: 5, run: (user) => user.hold() },
  { name: "saveAtomically", weight: 7, run: (user) => user.saveAtomically() },
  { name: "saveWithBackup", weight: 4, run: (user) => user.saveWithBackup() },
  { name: "saveByDeleting", weight: 4, run: (user) => user.saveByDeleting() },
  { name: "rename", weight: 9, run: (user) => user.rename() },
  { name: "move", weight: 5, run: (user) => user.move() },
  { name: "moveOver", weight: 1, run: (user) => user.moveOver() },
  { name: "swap", weight: 4, run: (user) => user.swap() },
  { name: "chmod", weight: 5, run: (user) => user.chmod() },
  { name: "touch", weight: 3, run: (user) => user.touch() },
  { name: "link", weight: 2, run: (user) => user.link() },
  { name: "relink", weight: 1, run: (user) => user.relink() },
  { name: "makeDirectory", weight: 2, run: (user) => user.makeDirectory() },
  { name: "moveDirectory", weight: 3, run: (user) => user.moveDirectory() },
  { name: "removeDirectory", weight: 1, run: (user) => user.removeDirectory() },
  { name: "unpack", weight: 1, run: (user) => user.unpack() },
  { name: "changeKind", weight: 1, run: (user) => user.changeKind() },
];
const WEIGHTS = ACTIONS.reduce((sum, { weight }) => sum + weight, 0);
