/** How fast the chunker cuts, and how long its chunks are. Run: bun tests/bench/chunker.bench.ts */
import { Chunker } from "../../src/core/chunker.ts";
import {
  CHUNK_SIZE_BYTES_AVERAGE,
  CHUNK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES_MIN,
} from "../../src/core/limits.ts";

const bytes = new Uint8Array(64 * 1024 * 1024);
for (let offset = 0; offset < bytes.length; offset += 65_536) {
  crypto.getRandomValues(bytes.subarray(offset, offset + 65_536));
}
const chunker = new Chunker({
  minBytes: CHUNK_SIZE_BYTES_MIN,
  averageBytes: CHUNK_SIZE_BYTES_AVERAGE,
  maxBytes: CHUNK_SIZE_BYTES_MAX,
});

for (let round = 0; round < 6; round++) {
  const began = performance.now();
  const lengths: number[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = chunker.cut(bytes, start, bytes.length, true);
    lengths.push(end - start);
    start = end;
  }
  const seconds = (performance.now() - began) / 1000;
  lengths.sort((a, b) => a - b);
  const megabytesPerSecond = Math.round(bytes.length / 1e6 / seconds);
  const mean = bytes.length / lengths.length;
  const kib = (length: number | undefined): number => Math.round((length ?? 0) / 1024);
  console.log(
    `${megabytesPerSecond} MB/s, ${lengths.length} chunks, mean ${kib(mean)} KiB, ` +
      `median ${kib(lengths[lengths.length >> 1])} KiB, largest ${kib(lengths.at(-1))} KiB`,
  );
}
