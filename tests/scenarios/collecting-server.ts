/**
 * A server that collects garbage without pause and spares no age: the worst that uploads and
 * commits can have beside them. `bun collecting-server.ts DATA` prints its URL.
 */
import { createServer } from "../../server.ts";

const [data = ""] = process.argv.slice(2);
const pace = { delayMs: 0, intervalMs: 3, ageMsMin: 0 };
const retention = { keepMs: 500, byFolder: new Map() };
const server = await createServer({ data, upkeep: pace, retention });
console.log(server.url);
