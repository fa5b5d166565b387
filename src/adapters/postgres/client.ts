/**
 * One connection to PostgreSQL. Whoever uses it throws it away at the first error of the network,
 * because the driver has three traps. It knows no time limit for a query. It replaces a lost
 * connection silently, even within a transaction, and reconnects without a pause if something
 * accepts connections and hangs up (a container's port proxy before its server runs); so each
 * client may connect only once. Its own `begin` writes a rollback to the lost socket, which ends
 * the process; so transactions are plain statements.
 */
import { Socket } from "node:net";
import postgres from "postgres";
import { SyncedError } from "../../core/error.ts";

/** int8 is a number: no value here is beyond 2^53. */
const TYPES = {
  int8: { to: 20, from: [20], serialize: String, parse: Number },
};

export type Sql = postgres.Sql<{ int8: number }>;

export interface PostgresClient {
  readonly sql: Sql;
  /** Ends it at once, even during a query. */
  drop(): void;
}

export interface DatabaseAddress {
  /** Host and port, or a socket's path. */
  readonly host: string;
  readonly user: string;
  readonly database: string;
}

export interface ConnectionListeners {
  /** The connection has ended, whoever ended it. */
  readonly onClose?: () => void;
  /** Somebody notified a channel on which the connection listens. */
  readonly onNotify?: (payload: string) => void;
}

/** The first query connects. */
export function connectOnce(
  url: string,
  { onClose = () => undefined, onNotify = () => undefined }: ConnectionListeners = {},
): PostgresClient {
  let socket: Socket | undefined;
  const options = {
    max: 1,
    types: TYPES,
    // Poolers that share connections between clients know no prepared statements.
    prepare: false,
    fetch_types: false,
    max_lifetime: null,
    // Otherwise the driver would print "already exists, skipping".
    onnotice: () => undefined,
    onclose: onClose,
    // Undocumented, too: the documented way makes connections of its own.
    onnotify: (_channel: string, payload: string) => onNotify(payload),
    connection: { application_name: "synced" },
    socket: async (target: DriverTarget): Promise<Socket> => {
      if (socket !== undefined) throw Object.assign(new Error("hung up"), { code: "ECONNRESET" });
      socket = new Socket();
      // A long statement goes in two writes. The second must not wait for an answer to the first.
      socket.setNoDelay(true);
      return await connectSocket(target, socket);
    },
  };
  const sql = postgres(url, options);
  return {
    sql,
    drop() {
      // The query under way is rejected. An error while closing does not matter, because the
      // connection should go.
      sql.end({ timeout: 0 }).catch(() => undefined);
      socket?.destroy();
    },
  };
}

/** The driver passes this to its undocumented `socket` option. */
interface DriverTarget {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** The path of a Unix socket. */
  readonly path: string | false;
}

function connectSocket({ host, port, path }: DriverTarget, socket: Socket): Promise<Socket> {
  const address = host[0] ?? "localhost";
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      // The driver takes the name for the check of the server's certificate from here.
      resolve(Object.assign(socket, { host: address, port: port[0] }));
    });
    if (typeof path === "string") socket.connect(path);
    else socket.connect(port[0] ?? 5432, address);
  });
}

/**
 * The messages of the driver and the runtime about a bad URL would show all of it.
 *
 * @param name says which URL it is
 * @throws {SyncedError} `usage`
 */
export function parseDatabaseUrl(url: string, name: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === "postgres:" || parsed?.protocol === "postgresql:") return url;
  throw new SyncedError(
    "usage",
    `Cannot use the ${name} URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, ` +
      'with "%40" for "@" and "%2F" for "/" in the password',
  );
}

/**
 * The address as the driver understands it, with its defaults. Making a client connects to nothing.
 *
 * @param name says which URL it is
 * @throws {SyncedError} `usage`
 */
export function addressOf(url: string, name: string): DatabaseAddress {
  try {
    const { host, port, path, user, database } = postgres(url, { max: 1 }).options;
    const place = typeof path === "string" && path !== "" ? path : `${host[0]}:${port[0]}`;
    return { host: place, user, database };
  } catch {
    throw new SyncedError("usage", `Cannot use the ${name} URL: its escapes are malformed`);
  }
}
