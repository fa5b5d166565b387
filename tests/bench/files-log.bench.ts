/**
 * How fast PostgreSQL catches up with a log: `bun tests/bench/files-log.bench.ts [events]`, or with
 * `deno run -A`. A tenth of the events are modifies whose predecessor is far away.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import postgres from "postgres";
import { createPostgresEventSink } from "../../src/adapters/postgres/event-sink.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import type { NodeId } from "../../src/core/identifier.ts";
import type { Op } from "../../src/core/op.ts";
import { startFilesLog } from "../../src/server/files-log-follower.ts";
import { startPostgres } from "../adapters/postgres-server.ts";
import { fileOf } from "../server/files-log-world.ts";
import { create, FOLDER, hexId, modify, serverWorld } from "../server/server-world.ts";

const events = Number(process.argv[2] ?? 100_000);
const scratch = mkdtempSync(join(tmpdir(), "synced-test-files-log-"));
chmodSync(scratch, 0o711);
const server = await startPostgres({ dataDir: join(scratch, "postgres"), isDurable: true });
const world = await serverWorld();

const empty = fileOf("");
for (let made = 0; made < events; made += 1000) {
  const group = Array.from({ length: 1000 }, (_, index): Op => {
    const n = made + index + 1;
    const isModify = index % 10 === 9 && made > 0;
    if (!isModify) return create(hexId<NodeId>("1", n), `some file ${n}.txt`, empty);
    return modify(hexId<NodeId>("1", index), { ...empty, mtimeNs: `${n}` }, baseOf(made, index));
  });
  const outcome = await world.outcome(...group);
  if (typeof outcome === "string") throw new Error(`Refused: ${outcome}`);
}

/** The first thousand's nodes are modified once in each later thousand. */
function baseOf(made: number, index: number): number {
  return made === 1000 ? index : made - 1000 + index + 1;
}

const start = performance.now();
const cpu = process.cpuUsage();
const filesLog = startFilesLog({
  sequencer: world.sequencer,
  metadata: world.metadata,
  sink: createPostgresEventSink({ url: server.url }),
  clock: systemClock,
  random: systemRandom,
  onNotice: ({ message }) => console.log(message),
});
while (!filesLog.status().connected || filesLog.status().lag.get(FOLDER) !== 0) {
  await systemClock.sleep(5);
}
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
await filesLog.stop();

const sql = postgres(server.url, { max: 1 });
const rows = await sql`SELECT seq, action FROM files_log ORDER BY id`;
const inOrder = rows.every((row, index) => Number(row["seq"]) === index + 1);
const actions = await sql`SELECT action, count(*) FROM files_log GROUP BY action ORDER BY action`;
console.log(actions.map((row) => `${row["action"]} ${row["count"]}`).join(", "));
await sql.end();
console.log(
  `${rows.length} events, ${inOrder ? "each once, in order" : "NOT IN ORDER"}: ` +
    `${seconds.toFixed(2)} s, ${Math.round(rows.length / seconds)} events/s, ` +
    `${((user + system) / 1e6).toFixed(2)} s of CPU here`,
);
await world.close();
await server.stop();
rmSync(scratch, { recursive: true, force: true });
