/** A TCP proxy that counts: what a device sends and receives, headers and all. */
import { createConnection, createServer, type Socket } from "node:net";

export interface CountingProxy {
  readonly url: string;
  /** Bytes in both directions since the last `reset`. */
  readonly bytes: number;
  reset(): void;
  close(): void;
}

/** @param port of the server, asked for at each connection: it may have been started anew. */
export async function openCountingProxy(port: () => number): Promise<CountingProxy> {
  let bytes = 0;
  const open = new Set<Socket>();
  const join = (from: Socket, to: Socket): void => {
    open.add(from);
    from.on("data", (piece: Uint8Array) => {
      bytes += piece.length;
    });
    from.pipe(to);
    // Either end's trouble is the other's end, as without a proxy.
    from.on("error", () => to.destroy());
    from.on("close", () => {
      open.delete(from);
      to.destroy();
    });
  };
  const listener = createServer((client) => {
    const server = createConnection({ host: "127.0.0.1", port: port() });
    join(client, server);
    join(server, client);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    get bytes() {
      return bytes;
    },
    reset() {
      bytes = 0;
    },
    close() {
      listener.close();
      for (const socket of open) socket.destroy();
    },
  };
}
