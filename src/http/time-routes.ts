/**
 * Routes about the past: a directory, a change, a search or a chart as of any event. Rules: E3-E8,
 * H4, H8, H14, H24.
 */
import { SyncedError } from "../core/error.ts";
import { type DeviceId, type NodeId, parseId } from "../core/identifier.ts";
import {
  ACTIVITY_BUCKETS_MAX,
  EVENTS_PER_PAGE_MAX,
  HISTORY_ROWS_PER_PAGE_MAX,
  SPANS_PER_ANSWER_MAX,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import { FILE_ACTIONS } from "../ports/event-sink.ts";
import { LIST_SORTS } from "../ports/history-store.ts";
import {
  parseChoice,
  parseLimitText,
  parseSequenceText,
  parseTimeText,
} from "../protocol/parse-request.ts";
import type { History } from "../server/history.ts";
import type { HistoryRequest } from "../server/requests.ts";
import {
  type Call,
  type Route,
  type RouterOptions,
  requiredParameter,
  requireReader,
  sendingOf,
} from "./endpoint.ts";
import { folderOf, limitOf } from "./json-routes.ts";
import { answerInTurn } from "./list-page.ts";
import { Turns } from "./turns.ts";

const FOLDER = "/v1/folders/:folder";
const ROWS_MAX = HISTORY_ROWS_PER_PAGE_MAX;
const BUCKETS_DEFAULT = 200;
/** Questions that are answered at the same time. */
const QUESTIONS_MAX = 2;

export function timeRoutes(options: RouterOptions): readonly Route[] {
  const { history } = options;
  const turns = new Turns(options.clock, QUESTIONS_MAX);
  const questions = [
    historyQuestion(options),
    ...(history === undefined ? [] : questionsOf(history)),
  ];
  return questions.map(({ name, parameters, answer }) => {
    const handle = (call: Call) =>
      answerInTurn(
        () => {
          requireReader(call);
          return answer(call);
        },
        { turns, packsFor: call.request, ...sendingOf(options, call) },
      );
    const GET = { needs: "read", parameters, handle } as const;
    return { pattern: `${FOLDER}/${name}`, methods: { GET } };
  });
}

interface Question {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly answer: (call: Call) => Promise<unknown>;
}

function questionsOf(history: History): readonly Question[] {
  return [
    listQuestion(history),
    spansQuestion(history),
    momentQuestion(history),
    diffQuestion(history),
    logQuestion(history),
    activityQuestion(history),
    searchQuestion(history),
    conflictsQuestion(history),
  ];
}

function question(
  name: string,
  parameters: readonly string[],
  answer: (call: Call) => Promise<unknown>,
): Question {
  return { name, parameters, answer };
}

function listQuestion(history: History): Question {
  const parameters = ["path", "at", "sort", "order", "offset", "after", "limit", "deleted"];
  return question("list", parameters, (call) => {
    const sort = choiceOf(call, "sort", LIST_SORTS) ?? "name";
    const descending = choiceOf(call, "order", ["asc", "desc"]) === "desc";
    const after = call.query.get("after");
    if (after !== undefined && (sort !== "name" || descending || call.query.has("offset"))) {
      throw new SyncedError(
        "invalid_parameter",
        "Cannot use after: it goes with ascending names only, and not with offset",
      );
    }
    return history.list(folderOf(call), {
      path: pathOf(call),
      sort,
      descending,
      offset: sequenceOf(call, "offset") ?? 0,
      limit: limitOf(call, ROWS_MAX),
      withDeleted: choiceOf(call, "deleted", ["0", "1"]) === "1",
      at: sequenceOf(call, "at"),
      after,
    });
  });
}

function spansQuestion(history: History): Question {
  return question("spans", ["path", "at", "from", "to", "limit"], (call) => {
    const limit = call.query.get("limit") ?? String(SPANS_PER_ANSWER_MAX);
    return history.spans(folderOf(call), {
      path: pathOf(call),
      limit: parseLimitText(limit, SPANS_PER_ANSWER_MAX),
      at: sequenceOf(call, "at"),
      from: sequenceOf(call, "from"),
      to: sequenceOf(call, "to"),
    });
  });
}

function momentQuestion(history: History): Question {
  return question("moment", ["time", "seq"], (call) => {
    const timeMs = timeOf(call, "time");
    const seq = sequenceOf(call, "seq");
    if ((timeMs === undefined) === (seq === undefined)) {
      throw new SyncedError("invalid_parameter", "Cannot answer: expected either time or seq");
    }
    return history.moment(folderOf(call), timeMs === undefined ? { seq: seq ?? 0 } : { timeMs });
  });
}

function diffQuestion(history: History): Question {
  return question("diff", ["from", "to", "path", "offset", "limit"], (call) =>
    history.diff(folderOf(call), {
      from: parseSequenceText(requiredParameter(call, "from"), "from"),
      offset: sequenceOf(call, "offset") ?? 0,
      limit: limitOf(call, ROWS_MAX),
      path: pathOf(call),
      to: sequenceOf(call, "to"),
    }),
  );
}

function logQuestion(history: History): Question {
  const filters = ["path", "id", "device", "action", "since", "until"];
  return question("log", ["before", "after", ...filters, "limit"], (call) => {
    const { query } = call;
    if (query.has("before") && query.has("after")) {
      throw new SyncedError("invalid_parameter", "Cannot use both before and after");
    }
    return history.log(folderOf(call), {
      path: pathOf(call),
      limit: limitOf(call, ROWS_MAX),
      before: sequenceOf(call, "before"),
      after: sequenceOf(call, "after"),
      id: idOf<NodeId>(call, "id"),
      device: idOf<DeviceId>(call, "device"),
      action: choiceOf(call, "action", FILE_ACTIONS),
      sinceMs: timeOf(call, "since"),
      untilMs: timeOf(call, "until"),
    });
  });
}

function activityQuestion(history: History): Question {
  return question("activity", ["from", "to", "buckets", "by"], (call) => {
    const buckets = call.query.get("buckets") ?? String(BUCKETS_DEFAULT);
    return history.activity(folderOf(call), {
      bucketCount: parseLimitText(buckets, ACTIVITY_BUCKETS_MAX),
      byDevice: choiceOf(call, "by", ["device"]) !== undefined,
      from: sequenceOf(call, "from"),
      to: sequenceOf(call, "to"),
    });
  });
}

function searchQuestion(history: History): Question {
  return question("search", ["q", "ever", "at", "path", "after", "limit"], (call) => {
    const text = requiredParameter(call, "q");
    if (text === "") throw new SyncedError("invalid_parameter", "Cannot search for nothing");
    return history.search(folderOf(call), {
      text,
      ever: choiceOf(call, "ever", ["0", "1"]) === "1",
      path: pathOf(call),
      limit: limitOf(call, ROWS_MAX),
      at: sequenceOf(call, "at"),
      after: call.query.get("after"),
    });
  });
}

function conflictsQuestion(history: History): Question {
  return question("conflicts", ["after", "limit"], (call) =>
    history.conflicts(folderOf(call), {
      after: sequenceOf(call, "after") ?? 0,
      limit: limitOf(call, ROWS_MAX),
    }),
  );
}

function historyQuestion({ sequencer }: RouterOptions): Question {
  return question("history", ["path", "at", "id", "before", "limit"], async (call) => {
    const folder = folderOf(call);
    const of = historyOf(call);
    const before = sequenceOf(call, "before");
    const limit = limitOf(call, EVENTS_PER_PAGE_MAX);
    const page = await sequencer.history(folder, { of, limit, before });
    if (page.versions.length === 0 && before === undefined) {
      const what = "id" in of ? `the node ${of.id} never was` : `nothing was ever at "${of.path}"`;
      throw new SyncedError("not_found", `Cannot list versions: ${what}`);
    }
    return page;
  });
}

function historyOf(call: Call): HistoryRequest["of"] {
  const id = idOf<NodeId>(call, "id");
  if (id === undefined) {
    const path = parsePath(requiredParameter(call, "path")).join("/");
    return { path, at: sequenceOf(call, "at") };
  }
  if (!call.query.has("path") && !call.query.has("at")) return { id };
  throw new SyncedError("invalid_parameter", "Cannot use id together with path or at");
}

/** The directory or entry that is asked about; "" is the root. */
function pathOf(call: Call): string {
  const path = call.query.get("path") ?? "";
  return path === "" ? "" : parsePath(path).join("/");
}

function sequenceOf(call: Call, name: string): Sequence | undefined {
  const text = call.query.get(name);
  return text === undefined ? undefined : parseSequenceText(text, name);
}

function timeOf(call: Call, name: string): number | undefined {
  const text = call.query.get(name);
  return text === undefined ? undefined : parseTimeText(text, name);
}

function idOf<Id extends NodeId | DeviceId>(call: Call, name: string): Id | undefined {
  const text = call.query.get(name);
  return text === undefined ? undefined : parseId<Id>(text);
}

function choiceOf<Choice extends string>(
  call: Call,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const text = call.query.get(name);
  return text === undefined ? undefined : parseChoice(text, name, choices);
}
