/**
 * ChaosProxy: one device's network, which can be cut, slow, deaf in one direction, or gone, for the
 * connections that are open and for those to come.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** What the network does to a device. */
export type Weather =
  | { readonly kind: "fair" }
  /** Connections are refused, and those that are open are reset. */
  | { readonly kind: "refuse" }
  /** All that is sent is swallowed; nothing is closed. */
  | { readonly kind: "drop" }
  | { readonly kind: "delay"; readonly delayMs: number }
  /** Each connection is reset once so many bytes went through, in both directions together. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** The server gets all; the device gets no answer, and later a reset. */
  | { readonly kind: "swallow" }
  /** The device's bytes go nowhere; what the server says still arrives. */
  | { readonly kind: "half" };

interface Pair {
  readonly device: Socket;
  readonly server: Socket;
  passedBytes: number;
}

export class ChaosProxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #weather: Weather = { kind: "fair" };
  port = 0;

  /** @param serverPort asked for at each connection. */
  constructor(serverPort: () => number) {
    this.#listener = createServer((device) => {
      if (this.#weather.kind === "refuse") {
        device.resetAndDestroy();
        return;
      }
      this.#join(device, connect({ host: "127.0.0.1", port: serverPort() }));
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("The proxy has no port");
    this.port = address.port;
  }

  /** What was swallowed cannot be made good: those connections end. */
  set(weather: Weather): void {
    const was = this.#weather.kind;
    this.#weather = weather;
    const isHoled = was === "drop" || was === "swallow" || was === "half";
    if (isHoled || weather.kind === "refuse")
      for (const pair of [...this.#pairs]) this.#reset(pair);
    for (const pair of this.#pairs) pair.passedBytes = 0;
  }

  close(): void {
    this.#listener.close();
    for (const pair of [...this.#pairs]) this.#reset(pair);
  }

  #join(device: Socket, server: Socket): void {
    const pair: Pair = { device, server, passedBytes: 0 };
    this.#pairs.add(pair);
    this.#pass(pair, device, server, "up");
    this.#pass(pair, server, device, "down");
  }

  #pass(pair: Pair, from: Socket, to: Socket, direction: "up" | "down"): void {
    from.on("data", (piece: Uint8Array) => this.#forward(pair, to, piece, direction));
    from.on("error", () => this.#reset(pair));
    from.on("end", () => to.end());
    from.on("close", () => {
      this.#pairs.delete(pair);
      to.destroy();
    });
    to.on("drain", () => from.resume());
  }

  #forward(pair: Pair, to: Socket, piece: Uint8Array, direction: "up" | "down"): void {
    const weather = this.#weather;
    switch (weather.kind) {
      case "refuse":
      case "drop":
        return;
      case "swallow":
        if (direction === "up") this.#send(pair, to, piece);
        return;
      case "half":
        if (direction === "down") this.#send(pair, to, piece);
        return;
      case "delay":
        // Timers of one length fire in order, so the bytes stay in order too.
        setTimeout(() => this.#send(pair, to, piece), weather.delayMs);
        return;
      case "cut": {
        const left = weather.afterBytes - pair.passedBytes;
        pair.passedBytes += piece.length;
        if (left >= piece.length) {
          this.#send(pair, to, piece);
          return;
        }
        if (left > 0) to.write(piece.subarray(0, left));
        setTimeout(() => this.#reset(pair), 5);
        return;
      }
      case "fair":
        this.#send(pair, to, piece);
    }
  }

  #send(pair: Pair, to: Socket, piece: Uint8Array): void {
    if (to.destroyed || to.write(piece)) return;
    (to === pair.device ? pair.server : pair.device).pause();
  }

  #reset(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.device.resetAndDestroy();
    pair.server.resetAndDestroy();
  }
}
