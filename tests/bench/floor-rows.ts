/** What the steps of a sync cost at least on this machine: none of synced's processes has a part. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Chunker } from "../../src/core/chunker.ts";
import {
  CHUNK_SIZE_BYTES_AVERAGE,
  CHUNK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES_MIN,
} from "../../src/core/limits.ts";
import { pathOf, SeededBytes } from "./data.ts";
import { shapeOf } from "./identity.ts";
import type { Row, SampleOptions } from "./row.ts";
import type { Figures } from "./usage.ts";

const MIB = 2 ** 20;
const SAMPLE_MIB = 64;
const FILES = 2_000;
const DIRECTORIES = 20;
const SMALL_BYTES = 4_096;

/** Processor's milliseconds of this process. */
function cpuMsOf(act: () => void): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

function ofBytes(root: string): Figures {
  const bytes = new Uint8Array(SAMPLE_MIB * MIB);
  const source = new SeededBytes(1);
  for (let at = 0; at < bytes.length; at += MIB) bytes.set(source.take(MIB), at);
  const [path, copy] = [join(root, "large"), Buffer.alloc(MIB)];
  const each = (act: (piece: Uint8Array, at: number) => void) =>
    cpuMsOf(() => {
      for (let at = 0; at < bytes.length; at += MIB) act(bytes.subarray(at, at + MIB), at);
    }) / SAMPLE_MIB;
  const hash = createHash("sha256");
  const fd = fs.openSync(path, "w+");
  const figures = {
    "SHA-256, ms a MiB": each((piece) => hash.update(piece)),
    "cut into chunks, ms a MiB": cpuMsOf(() => cut(bytes)) / SAMPLE_MIB,
    "copy into a used buffer, ms a MiB": each((piece) => copy.set(piece)),
    "copy into fresh memory, ms a MiB": each((piece) => new Uint8Array(piece)),
    "write, ms a MiB": each((piece, at) => fs.writeSync(fd, piece, 0, MIB, at)),
    "read, ms a MiB": each((_, at) => fs.readSync(fd, copy, 0, MIB, at)),
  };
  fs.closeSync(fd);
  return figures;
}

function cut(bytes: Uint8Array): void {
  const chunker = new Chunker({
    minBytes: CHUNK_SIZE_BYTES_MIN,
    averageBytes: CHUNK_SIZE_BYTES_AVERAGE,
    maxBytes: CHUNK_SIZE_BYTES_MAX,
  });
  for (let start = 0; start < bytes.length; ) {
    start = chunker.cut(bytes, start, bytes.length, true);
  }
}

function ofFiles(root: string): Figures {
  const paths = Array.from({ length: FILES }, (_, index) => join(root, pathOf(index, DIRECTORIES)));
  for (let index = 0; index < DIRECTORIES; index += 1) {
    fs.mkdirSync(join(root, pathOf(index, DIRECTORIES), ".."));
  }
  const source = new SeededBytes(2);
  const each = (act: (path: string) => void) => cpuMsOf(() => paths.forEach(act)) / FILES;
  return {
    "create and write, ms a file": each((path) => {
      fs.writeFileSync(path, source.take(SMALL_BYTES));
    }),
    "set time and rename, ms a file": each((path) => {
      fs.utimesSync(path, 1, 1);
      fs.renameSync(path, `${path}.placed`);
    }),
    "read and hash, ms a file": each((path) => {
      createHash("sha256")
        .update(fs.readFileSync(`${path}.placed`))
        .digest();
    }),
    "list and stat, ms a file": cpuMsOf(() => shapeOf(root)) / FILES,
    "fsync, ms a file": each((path) => {
      const fd = fs.openSync(`${path}.placed`, "r+");
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    }),
    "delete, ms a file": each((path) => fs.rmSync(`${path}.placed`)),
  };
}

async function floors({ root }: SampleOptions): Promise<Figures> {
  return { ...ofBytes(root), ...ofFiles(root) };
}

export const FLOOR_ROWS: readonly Row[] = [
  {
    name: "floors",
    title: "processor time of the steps alone, in one thread",
    shortScale: 1,
    kinds: ["synced"],
    sample: floors,
  },
];
