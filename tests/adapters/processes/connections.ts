/**
 * Asks a server over a new connection every 2 ms, until it is killed, a minute at most:
 * `bun connections.ts PORT`.
 */
import { connect } from "node:net";
import process from "node:process";

const PAUSE_MS = 2;

setInterval(() => {
  const socket = connect(Number(process.argv[2]), "127.0.0.1");
  socket.on("error", () => undefined);
  socket.on("data", () => undefined);
  socket.on("connect", () => socket.end("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
}, PAUSE_MS);
setTimeout(() => process.exit(), 60_000);
