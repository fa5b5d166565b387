/**
 * Routes that answer JSON: health, greeting, folders, ops, tree, devices, index. Rules: H1, H4,
 * O1-O5.
 */

import type { Grant } from "../core/access.ts";
import { SyncedError } from "../core/error.ts";

import {
  type DeviceId,
  type FolderName,
  type NodeId,
  parseFolderName,
  parseId,
} from "../core/identifier.ts";
import {
  EVENTS_PER_PAGE_DEFAULT,
  EVENTS_PER_PAGE_MAX,
  JSON_DEPTH_MAX,
  OBJECTS_PER_REQUEST_MAX,
  OPS_BODY_BYTES_MAX,
  OPS_PER_BATCH_MAX,
  OPS_PER_GROUP_MAX,
  PACK_BYTES_MAX,
  PATH_BYTES_MAX,
  TREE_NODES_PER_PAGE_MAX,
  WAIT_SECONDS_MAX,
} from "../core/limits.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import {
  type FolderInfo,
  type Hello,
  ORDERS_FEATURE,
  PROTOCOL_VERSION,
  STATE_FEATURE,
  type TreePage,
} from "../protocol/messages.ts";
import {
  parseBatch,
  parseDeviceReport,
  parseFolderRequest,
  parseLimitText,
  parseSequenceText,
} from "../protocol/parse-request.ts";
import type { PathNode } from "../server/requests.ts";
import type { Sequencer } from "../server/sequencer.ts";
import { waitForDevices } from "../server/waiting.ts";
import { Allowances } from "./allowances.ts";
import { emptyAnswer, jsonAnswer } from "./answer.ts";
import { readJson } from "./body.ts";
import {
  type Call,
  type Route,
  type RouterOptions,
  requiredParameter,
  segment,
  sendingOf,
} from "./endpoint.ts";
import { answerInTurn, type ListReader, listAnswer, readPage } from "./list-page.ts";
import { Turns } from "./turns.ts";

/** Pages of nodes that are read at the same time. */
const PAGES_READ_MAX = 2;

/** A device's report and a folder's creation need a few hundred bytes. */
const SMALL_BODY_BYTES_MAX = 16 * 1024;

const FOLDER = "/v1/folders/:folder";

export function jsonRoutes(options: RouterOptions): readonly Route[] {
  const turns = new Turns(options.clock, PAGES_READ_MAX);
  return [
    {
      pattern: "/healthz",
      methods: {
        GET: { needs: "nothing", head: true, handle: () => jsonAnswer({ ok: true }) },
      },
    },
    {
      pattern: "/readyz",
      methods: {
        GET: {
          needs: "nothing",
          head: true,
          async handle() {
            await options.readiness?.check();
            return jsonAnswer({ ok: true });
          },
        },
      },
    },
    {
      pattern: "/v1/hello",
      methods: { GET: { needs: "nothing", handle: () => jsonAnswer(hello(options)) } },
    },
    ...folderRoutes(options),
    ...deviceRoutes(options),
    usageRoute(options),
    opsRoute(options),
    treeRoute(options, turns),
    indexRoute(options, turns),
    waitRoute(options),
    ...ticketRoutes(options),
  ];
}

/** Checks the folder's name on the raw segment, because nothing percent-encoded is legal in it. */
export function folderOf(call: Call): FolderName {
  return parseFolderName(segment(call, 3));
}

/** A client knows the folder by the name by which it asks, also after it was renamed. */
function asCalled<Info extends FolderInfo>(call: Call, info: Info): Info {
  return call.formerName === undefined ? info : { ...info, name: call.formerName };
}

export function limitOf(call: Call, max: number): number {
  const text = call.query.get("limit");
  return text === undefined ? Math.min(EVENTS_PER_PAGE_DEFAULT, max) : parseLimitText(text, max);
}

function hello({ sequencer, history, orders, readiness }: RouterOptions): Hello {
  readiness?.requireOpen();
  const { fileBytesMax } = sequencer;
  const time = history === undefined ? [] : ["time", "plans"];
  return {
    serverId: sequencer.serverId,
    protocol: PROTOCOL_VERSION,
    features: ["inline", STATE_FEATURE, ...time, ...(orders === undefined ? [] : [ORDERS_FEATURE])],
    limits: {
      jsonDepth: JSON_DEPTH_MAX,
      opsPerBatch: OPS_PER_BATCH_MAX,
      opsPerGroup: OPS_PER_GROUP_MAX,
      opsBodyBytes: OPS_BODY_BYTES_MAX,
      packBytes: PACK_BYTES_MAX,
      objectsPerRequest: OBJECTS_PER_REQUEST_MAX,
      eventsPerPage: EVENTS_PER_PAGE_MAX,
      treeNodesPerPage: TREE_NODES_PER_PAGE_MAX,
      pathBytes: PATH_BYTES_MAX,
      ...(fileBytesMax === undefined ? undefined : { fileBytes: fileBytesMax }),
    },
  };
}

function folderRoutes({ sequencer, clock }: RouterOptions): readonly Route[] {
  const allowances = new Allowances(clock);
  return [
    {
      pattern: "/v1/folders",
      methods: {
        GET: {
          needs: "token",
          parameters: ["after", "limit"],
          async handle(call) {
            const limit = limitOf(call, EVENTS_PER_PAGE_MAX);
            const after = call.query.get("after");
            const folders = await foldersWithin(
              call.caller.grant,
              sequencer,
              after === undefined ? { limit } : { after: parseFolderName(after), limit },
            );
            const next = folders.length === limit ? folders.at(-1)?.name : undefined;
            return jsonAnswer({ folders, next });
          },
        },
      },
    },
    {
      pattern: FOLDER,
      methods: {
        GET: {
          needs: "read",
          handle: async (call) =>
            jsonAnswer(asCalled(call, await sequencer.folder(folderOf(call)))),
        },
        PUT: {
          needs: "write",
          takes: "json",
          async handle(call) {
            const name = folderOf(call);
            const bounds = { bytesMax: SMALL_BODY_BYTES_MAX, clock };
            const body = await readJson(call, bounds);
            if (body !== undefined) parseFolderRequest(body);
            const known = await sequencer.folder(name).catch(undefinedIfMissing);
            if (known === undefined) allowances.begin(call.caller, "folder", name);
            const folder = await sequencer.createFolder(name);
            return jsonAnswer(asCalled(call, folder), folder.created ? 201 : 200);
          },
        },
      },
    },
  ];
}

/** A page of the folders that a grant reaches, by ascending name. */
async function foldersWithin(
  { folders }: Grant,
  sequencer: Sequencer,
  page: { readonly after?: FolderName; readonly limit: number },
): Promise<readonly FolderInfo[]> {
  if (folders === "all") return await sequencer.folders(page);
  const { after = "", limit } = page;
  const found: FolderInfo[] = [];
  for (const name of [...folders].toSorted()) {
    if (name <= after || found.length === limit) continue;
    const folder = await sequencer.folder(name).catch(undefinedIfMissing);
    if (folder !== undefined) found.push(folder);
  }
  return found;
}

function undefinedIfMissing(error: unknown): undefined {
  if (!(error instanceof SyncedError)) throw error;
  if (error.code === "folder_not_found" || error.code === "folder_gone") return undefined;
  throw error;
}

/** O14, and the disk space of all versions of all folders for who may see all of them. */
function usageRoute({ sequencer }: RouterOptions): Route {
  return {
    pattern: `${FOLDER}/usage`,
    methods: {
      GET: {
        needs: "read",
        async handle(call) {
          const usage = await sequencer.usage(folderOf(call));
          const seesAll = call.caller.grant.folders === "all";
          if (!seesAll) return jsonAnswer(usage);
          const { bytes: storeBytes, roomBytes } = await sequencer.storeUsage();
          return jsonAnswer({ ...usage, storeBytes, roomBytes });
        },
      },
    },
  };
}

function opsRoute({ sequencer, clock }: RouterOptions): Route {
  return {
    pattern: `${FOLDER}/ops`,
    methods: {
      POST: {
        needs: "write",
        takes: "json",
        async handle(call) {
          const folder = folderOf(call);
          const bounds = { bytesMax: OPS_BODY_BYTES_MAX, clock };
          const batch = parseBatch(await readJson(call, bounds));
          return jsonAnswer(await sequencer.commit(folder, batch));
        },
      },
    },
  };
}

function treeRoute(options: RouterOptions, turns: Turns): Route {
  const { sequencer } = options;
  return {
    pattern: `${FOLDER}/tree`,
    methods: {
      GET: {
        needs: "read",
        parameters: ["after", "limit"],
        async handle(call) {
          const folder = folderOf(call);
          const text = call.query.get("after");
          const after = text === undefined ? undefined : parseId<NodeId>(text);
          const limit = limitOf(call, TREE_NODES_PER_PAGE_MAX);
          const page = await readPage(treeReader(sequencer, folder, after), {
            limit,
            turns,
            memory: call.memory,
          });
          const { seq: through } = page.lastHead;
          const rest = { ...page.head, through, next: page.isEnd ? undefined : page.last?.id };
          return listAnswer({ ...page, name: "nodes" }, rest, sendingOf(options, call));
        },
      },
    },
  };
}

function treeReader(
  sequencer: Sequencer,
  folder: FolderName,
  after: NodeId | undefined,
): ListReader<RemoteNode, Omit<TreePage, "nodes" | "next">> {
  return {
    async read(last, limit) {
      const start = last?.id ?? after;
      const wanted = start === undefined ? { limit } : { after: start, limit };
      const { nodes, next, ...head } = await sequencer.tree(folder, wanted);
      return { head, items: nodes, isEnd: next === undefined };
    },
    shown: (node) => node,
    mayEnd: () => true,
  };
}

/** A page of the devices of a folder, each with the orders that wait for it. */
async function devicesOf({ sequencer, orders }: RouterOptions, call: Call): Promise<object> {
  const folder = folderOf(call);
  const limit = limitOf(call, EVENTS_PER_PAGE_MAX);
  const after = call.query.get("after");
  const devices = await sequencer.devices(
    folder,
    after === undefined ? { limit } : { after: parseId<DeviceId>(after), limit },
  );
  const next = devices.length === limit ? devices.at(-1)?.device : undefined;
  const { epoch } = await sequencer.folder(folder);
  const given = Map.groupBy(orders?.waiting(epoch) ?? [], ({ device }) => device);
  const shown = devices.map((one) => {
    const waiting = given.get(one.device)?.map(({ id, time, order }) => ({ id, time, order }));
    return waiting === undefined ? one : { ...one, orders: waiting };
  });
  return { devices: shown, next };
}

function deviceRoutes(options: RouterOptions): readonly Route[] {
  const { sequencer, clock, tokens } = options;
  const allowances = new Allowances(clock);
  const turns = new Turns(clock, PAGES_READ_MAX);
  return [
    {
      pattern: `${FOLDER}/devices`,
      methods: {
        GET: {
          needs: "read",
          parameters: ["after", "limit"],
          handle: (call) =>
            answerInTurn(() => devicesOf(options, call), { turns, ...sendingOf(options, call) }),
        },
      },
    },
    {
      pattern: `${FOLDER}/devices/:device`,
      methods: {
        // A reader reports how far it is, too.
        PUT: {
          needs: "read",
          takes: "json",
          async handle(call) {
            const folder = folderOf(call);
            const device = parseId<DeviceId>(segment(call, 5));
            const bounds = { bytesMax: SMALL_BODY_BYTES_MAX, clock };
            const report = parseDeviceReport(await readJson(call, bounds));
            allowances.begin(call.caller, "device", `${folder} ${device}`);
            await sequencer.reportDevice(folder, device, report);
            const { token } = call.caller;
            if (token !== undefined) tokens?.sawDevice(token, folder, device);
            return emptyAnswer(204);
          },
        },
      },
    },
  ];
}

function indexRoute(options: RouterOptions, turns: Turns): Route {
  const { sequencer } = options;
  return {
    pattern: `${FOLDER}/index`,
    methods: {
      GET: {
        needs: "read",
        parameters: ["seq", "after", "limit"],
        async handle(call) {
          const folder = folderOf(call);
          const text = call.query.get("seq");
          const path = call.query.get("after");
          const after = path === undefined ? undefined : parsePath(path).join("/");
          const seq = text === undefined ? undefined : parseSequenceText(text, "seq");
          const limit = limitOf(call, TREE_NODES_PER_PAGE_MAX);
          const page = await readPage(indexReader(sequencer, folder, { seq, after }), {
            limit,
            turns,
            memory: call.memory,
          });
          const rest = { ...page.head, next: page.isEnd ? undefined : page.last?.path };
          return listAnswer({ ...page, name: "entries" }, rest, sendingOf(options, call));
        },
      },
    },
  };
}

function indexReader(
  sequencer: Sequencer,
  folder: FolderName,
  { seq, after }: { readonly seq: Sequence | undefined; readonly after: string | undefined },
): ListReader<PathNode, object> {
  let first = seq;
  return {
    async read(last, limit) {
      const start = last?.path ?? after;
      const wanted = start === undefined ? { limit } : { after: start, limit };
      const at = (moment: Sequence | undefined) =>
        sequencer.index(folder, moment === undefined ? wanted : { ...wanted, seq: moment });
      // The present is quicker to read than the past, but all steps must be of one moment.
      let page = await at(seq);
      first ??= page.seq;
      if (page.seq !== first) page = await at(first);
      const { entries, next, ...head } = page;
      return { head, items: entries, isEnd: next === undefined };
    },
    shown: indexEntry,
    mayEnd: () => true,
  };
}

function indexEntry({ path, node }: PathNode): Readonly<Record<string, unknown>> {
  const { content } = node;
  const version = Math.max(node.contentVersion, node.placeVersion);
  const entry = { path, kind: content.kind, id: node.id, version };
  switch (content.kind) {
    case "file":
      return {
        ...entry,
        size: content.size,
        sha256: content.sha256,
        executable: content.executable,
        mtimeNs: content.mtimeNs,
      };
    case "symlink":
      return { ...entry, target: content.target };
    case "directory":
      return entry;
  }
}

function ticketRoutes({ sequencer, tickets }: RouterOptions): readonly Route[] {
  if (tickets === undefined) return [];
  return [
    {
      pattern: `${FOLDER}/tickets`,
      methods: {
        POST: {
          needs: "read",
          async handle(call) {
            const { name: folder } = await sequencer.folder(folderOf(call));
            return jsonAnswer(tickets.make({ folder, token: call.caller.token }));
          },
        },
      },
    },
  ];
}

function waitRoute({ sequencer, clock, signal }: RouterOptions): Route {
  return {
    pattern: `${FOLDER}/wait`,
    methods: {
      GET: {
        needs: "read",
        parameters: ["seq", "device", "within"],
        async handle(call) {
          const folder = folderOf(call);
          const device = requiredParameter(call, "device");
          const seq = call.query.get("seq");
          const within = call.query.get("within");
          const request = {
            device: device === "all" ? ("all" as const) : parseId<DeviceId>(device),
            seq: seq === undefined ? undefined : parseSequenceText(seq, "seq"),
            withinMs: within === undefined ? 0 : parseLimitText(within, WAIT_SECONDS_MAX) * 1000,
          };
          const left = AbortSignal.any([signal, call.request.signal]);
          const parts = { request, signal: left };
          return jsonAnswer(await waitForDevices({ sequencer, clock }, folder, parts));
        },
      },
    },
  };
}
