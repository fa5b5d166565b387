/**
 * A line between devices and a server: so many bits a second in each direction, shared by all
 * connections, and a delay. A relay on loopback, because it runs everywhere and needs no kernel
 * module: TCP's own slow start over such a line is not in it.
 */
import { createConnection, createServer, type Socket } from "node:net";

export interface LineOptions {
  readonly roundTripMs: number;
  readonly bitsPerSecond: number;
}

export interface Line {
  readonly url: string;
  close(): void;
}

/** No more than this waits for its turn; who sends more has to wait. */
const QUEUE_MS_MAX = 50;

interface Piece {
  readonly bytes: Uint8Array;
  readonly to: Socket;
  readonly arrivesMs: number;
}

class Direction {
  readonly #options: LineOptions;
  readonly #pieces: Piece[] = [];
  readonly #waiting = new Set<Socket>();
  #freeMs = 0;
  #timer: Timer | undefined;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  send(from: Socket, to: Socket, bytes: Uint8Array): void {
    const nowMs = performance.now();
    const { bitsPerSecond, roundTripMs } = this.#options;
    this.#freeMs = Math.max(this.#freeMs, nowMs) + (bytes.length * 8_000) / bitsPerSecond;
    this.#pieces.push({ bytes, to, arrivesMs: this.#freeMs + roundTripMs / 2 });
    if (this.#freeMs - nowMs > QUEUE_MS_MAX) {
      from.pause();
      this.#waiting.add(from);
    }
    this.#timer ??= setTimeout(() => this.#deliver(), roundTripMs / 2);
  }

  #deliver(): void {
    const nowMs = performance.now();
    for (let next = this.#pieces[0]; next && next.arrivesMs <= nowMs; next = this.#pieces[0]) {
      this.#pieces.shift();
      if (!next.to.destroyed) next.to.write(next.bytes);
    }
    if (this.#freeMs - nowMs <= QUEUE_MS_MAX) {
      for (const socket of this.#waiting) socket.resume();
      this.#waiting.clear();
    }
    const next = this.#pieces[0];
    this.#timer = next && setTimeout(() => this.#deliver(), Math.max(0, next.arrivesMs - nowMs));
  }
}

/** @param url of the server at its other end */
export async function openLine(url: string, options: LineOptions): Promise<Line> {
  const { port } = new URL(url);
  const [up, down] = [new Direction(options), new Direction(options)];
  const open = new Set<Socket>();
  const join = (from: Socket, to: Socket, direction: Direction): void => {
    open.add(from);
    from.on("data", (bytes: Uint8Array) => direction.send(from, to, bytes));
    from.on("error", () => to.destroy());
    from.on("close", () => {
      open.delete(from);
      // What it sent last is still under way.
      setTimeout(() => to.destroy(), options.roundTripMs);
    });
  };
  const listener = createServer((device) => {
    const server = createConnection({ host: "127.0.0.1", port: Number(port) });
    join(device, server, up);
    join(server, device, down);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("The line has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close() {
      listener.close();
      for (const socket of open) socket.destroy();
    },
  };
}
