/**
 * Floods a server until it is killed, a minute at most: `bun flood.ts PORT`. Sixty uploads at a
 * time, as fast as they are taken, and a connection every 2 ms for one small file: more than a
 * server can keep up with.
 */
import { connect } from "node:net";
import process from "node:process";

const port = Number(process.argv[2]);
const BASE = "/v1/folders/default";
const UPLOADS = 60;
const PAUSE_MS = 2;
/** The largest pack that is taken, of bytes that are none. */
const PACK_BYTES = 32 * 1024 * 1024;
const PIECE = Buffer.alloc(64 * 1024, 1);
let fileCount = 0;

function upload(): void {
  const socket = connect(port, "127.0.0.1");
  let leftBytes = PACK_BYTES;
  const pump = () => {
    while (leftBytes > 0 && !socket.destroyed) {
      leftBytes -= PIECE.length;
      if (!socket.write(PIECE)) return;
    }
  };
  socket.on("error", () => undefined);
  socket.on("data", () => undefined);
  socket.on("drain", pump);
  socket.on("close", () => setTimeout(upload, 10));
  socket.on("connect", () => {
    const head = `POST ${BASE}/chunks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${PACK_BYTES}\r\n`;
    socket.write(`${head}Content-Type: application/vnd.synced.pack\r\n\r\n`);
    pump();
  });
}

function putFile(): void {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.on("data", () => undefined);
  socket.on("connect", () => {
    fileCount += 1;
    const target = `${BASE}/files?path=${fileCount}`;
    socket.end(`PUT ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n1`);
  });
}

for (let index = 0; index < UPLOADS; index += 1) upload();
setInterval(putFile, PAUSE_MS);
setTimeout(() => process.exit(), 60_000);
