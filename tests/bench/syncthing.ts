/** Syncthing as a carrier: two devices of its own on loopback, from one straight to the other. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Carrier, Session } from "./carrier.ts";
import { isSameShape, shapeOf } from "./identity.ts";
import { type Figures, Meter } from "./usage.ts";

const LOOK_MS_MIN = 2;
/** Looking takes at most so large a part of a processor. */
const LOOK_SHARE = 0.1;
const CARRIED_WITHIN_MS = 900_000;
const NAMES = ["a", "b"] as const;
type Name = (typeof NAMES)[number];

interface Node {
  readonly home: string;
  readonly path: string;
  readonly id: string;
  readonly port: number;
  readonly apiPort: number;
}

class SyncthingSession implements Session {
  readonly a: string;
  readonly b: string;
  readonly #nodes: Readonly<Record<Name, Node>>;
  readonly #running = new Map<Name, ReturnType<typeof Bun.spawn>>();
  #meter: Meter | undefined;
  #figures: Figures = {};

  constructor(nodes: Readonly<Record<Name, Node>>) {
    this.a = nodes.a.path;
    this.b = nodes.b.path;
    this.#nodes = nodes;
  }

  async wait(): Promise<void> {
    this.#start("b");
    await this.#isUp("b");
  }

  begin(): void {
    this.#meter = new Meter(() => this.#pids());
  }

  async carry(): Promise<void> {
    for (const name of NAMES) this.#start(name);
    const deadlineMs = performance.now() + CARRIED_WITHIN_MS;
    const shape = shapeOf(this.a);
    for (;;) {
      const lookedMs = performance.now();
      if (isSameShape(shape, shapeOf(this.b))) {
        this.#figures = this.#meter?.read(lookedMs) ?? {};
        return;
      }
      if (lookedMs > deadlineMs) throw new Error("Syncthing did not end in time");
      await Bun.sleep(Math.max(LOOK_MS_MIN, (performance.now() - lookedMs) / LOOK_SHARE));
    }
  }

  figures(): Figures {
    return this.#figures;
  }

  async close(): Promise<void> {
    for (const child of this.#running.values()) child.kill("SIGTERM");
    await Promise.all([...this.#running.values()].map(({ exited }) => exited));
  }

  #start(name: Name): void {
    if (this.#running.has(name)) return;
    const { home } = this.#nodes[name];
    const command = ["syncthing", "serve", `--home=${home}`, "--no-browser", "--no-restart"];
    // One process instead of one that watches over another.
    const env = { PATH: process.env["PATH"] ?? "", HOME: home, STMONITORED: "yes" };
    this.#running.set(name, Bun.spawn(command, { env, stdio: ["ignore", "ignore", "ignore"] }));
  }

  async #isUp(name: Name): Promise<void> {
    const url = `http://127.0.0.1:${this.#nodes[name].apiPort}/`;
    const answers = async () => (await fetch(url).catch(() => undefined)) !== undefined;
    for (let tries = 0; !(await answers()); tries += 1) {
      if (tries > 300) throw new Error("Syncthing does not answer");
      await Bun.sleep(100);
    }
  }

  #pids(): ReadonlyMap<string, number> {
    return new Map([...this.#running].map(([name, { pid }]) => [name, pid]));
  }
}

async function openSession(root: string): Promise<Session> {
  const nodes = { a: await prepare(root, "a"), b: await prepare(root, "b") };
  for (const { home } of Object.values(nodes)) {
    const own = home === nodes.a.home ? nodes.a : nodes.b;
    writeFileSync(join(home, "config.xml"), configuration(own, [nodes.a, nodes.b]));
  }
  return new SyncthingSession(nodes);
}

async function prepare(root: string, name: Name): Promise<Node> {
  const [home, path] = [join(root, `home-${name}`), join(root, name)];
  mkdirSync(join(path, ".stfolder"), { recursive: true });
  const env = { PATH: process.env["PATH"] ?? "", HOME: home };
  const generate = ["syncthing", "generate", `--home=${home}`, "--no-default-folder"];
  Bun.spawnSync(generate, { env });
  const said = Bun.spawnSync(["syncthing", "serve", `--home=${home}`, "--device-id"], { env });
  const id = said.stdout.toString().trim();
  return { home, path, id, port: await freePort(), apiPort: await freePort() };
}

function configuration(own: Node, nodes: readonly Node[]): string {
  const members = nodes.map(({ id }) => `<device id="${id}"/>`).join("");
  const devices = nodes.map(({ id, port }) => {
    return `<device id="${id}"><address>tcp://127.0.0.1:${port}</address></device>`;
  });
  return `<configuration version="36">
    <folder id="bench" path="${own.path}" type="sendreceive" rescanIntervalS="3600"
      fsWatcherEnabled="true" fsWatcherDelayS="1">${members}</folder>
    ${devices.join("")}
    <gui enabled="true" tls="false">
      <address>127.0.0.1:${own.apiPort}</address><apikey>bench</apikey>
    </gui>
    <options>
      <listenAddress>tcp://127.0.0.1:${own.port}</listenAddress>
      <globalAnnounceEnabled>false</globalAnnounceEnabled>
      <localAnnounceEnabled>false</localAnnounceEnabled>
      <relaysEnabled>false</relaysEnabled>
      <natEnabled>false</natEnabled>
      <reconnectionIntervalS>1</reconnectionIntervalS>
      <urAccepted>-1</urAccepted>
      <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
      <crashReportingEnabled>false</crashReportingEnabled>
    </options>
  </configuration>`;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("No free port"));
        else resolve(address.port);
      });
    });
  });
}

export const syncthing: Carrier = {
  name: "syncthing",
  kind: "watches",
  open: ({ root }) => openSession(root),
};
