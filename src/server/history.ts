/**
 * History: questions about a folder's past, and plans that bring some of it back. Rules: E1-E11. It
 * reads what the follower folded, and the log for who did it. Only `applyPlan` changes anything.
 */
import type { FolderName } from "../core/identifier.ts";
import type { PlanId } from "../core/plan-id.ts";
import type { PlanAnswer, PlanApplication, PlanResult } from "../protocol/plan-messages.ts";
import type {
  ActivityAnswer,
  ConflictsAnswer,
  DiffAnswer,
  ListAnswer,
  LogAnswer,
  MomentAnswer,
  SearchAnswer,
  SpansAnswer,
} from "../protocol/time-answers.ts";
import { type ActivityRequest, readActivity } from "./activity.ts";
import { type Archive, type ArchiveRequest, readArchive } from "./archive.ts";
import { type ConflictsRequest, readConflicts } from "./conflicts.ts";
import { Differences, type DiffRequest } from "./diff.ts";
import { DirectoryHistories } from "./directory-histories.ts";
import { type ListRequest, readList, readSpans, type SpansRequest } from "./directory-past.ts";
import { type MomentRequest, readMoment } from "./moment.ts";
import { type NodePlace, type NodeRequest, readNodeAt, readPathOf } from "./node-place.ts";
import { type LogRequest, readLog } from "./people-log.ts";
import { applyPlan, type PlanQuestion, showPlan } from "./plans.ts";
import { readSearch, type SearchRequest } from "./search.ts";
import type { Sequencer } from "./sequencer.ts";
import { SpansFollower, type SpansFollowerPorts } from "./spans-follower.ts";

export interface HistoryPorts extends SpansFollowerPorts {
  readonly sequencer: Pick<Sequencer, "subscribeAll" | "commit">;
}

/**
 * Every method throws `folder_not_found`, `cursor_ahead` for a seq beyond the head, and
 * `history_pending` while the log is still being folded.
 */
export interface History {
  /** @throws {SyncedError} `not_found` if no directory is at the path at that moment */
  list(folder: FolderName, request: ListRequest): Promise<ListAnswer>;
  /** @throws {SyncedError} `not_found`; `too_many_spans` if they do not fit into one answer */
  spans(folder: FolderName, request: SpansRequest): Promise<SpansAnswer>;
  moment(folder: FolderName, request: MomentRequest): Promise<MomentAnswer>;
  /** @throws {SyncedError} `too_many_spans` if more changed than one comparison holds */
  diff(folder: FolderName, request: DiffRequest): Promise<DiffAnswer>;
  log(folder: FolderName, request: LogRequest): Promise<LogAnswer>;
  activity(folder: FolderName, request: ActivityRequest): Promise<ActivityAnswer>;
  search(folder: FolderName, request: SearchRequest): Promise<SearchAnswer>;
  conflicts(folder: FolderName, request: ConflictsRequest): Promise<ConflictsAnswer>;
  /** The node at a path, and as of which event it was looked for. @throws {SyncedError} `not_found` */
  nodeAt(folder: FolderName, request: ArchiveRequest): Promise<NodePlace>;
  /** Where a node is. @throws {SyncedError} `not_found` if it was not live at that moment */
  pathOf(folder: FolderName, request: NodeRequest): Promise<NodePlace>;
  /** @throws {SyncedError} `not_found`; `archive_too_large` */
  archive(folder: FolderName, request: ArchiveRequest): Promise<Archive>;
  /**
   * Makes a plan as of now. Nothing is done.
   *
   * @throws {SyncedError} `not_found`, `node_missing`, `name_taken`, `plan_too_large`
   */
  showPlan(folder: FolderName, question: PlanQuestion): Promise<PlanAnswer>;
  /**
   * Does a plan exactly as it was shown. May be repeated, also after a kill.
   *
   * @throws {SyncedError} `plan_mismatch`; `plan_stale`: nothing was done
   */
  applyPlan(
    folder: FolderName,
    request: { readonly id: PlanId; readonly application: PlanApplication },
  ): Promise<PlanResult>;
  /** Ends the folding. */
  stop(): Promise<void>;
}

/** Begins to follow all logs. */
export function createHistory(ports: HistoryPorts): History {
  const follower = new SpansFollower(ports);
  const directories = new DirectoryHistories(ports.history, ports.clock);
  follower.onFold((folder, folded) => directories.follow(folder, folded));
  const sources = { ...ports, follower, directories };
  const differences = new Differences();
  return {
    list: (folder, request) => readList(sources, folder, request),
    spans: (folder, request) => readSpans(sources, folder, request),
    moment: (folder, request) => readMoment(sources, folder, request),
    diff: (folder, request) => differences.read(sources, folder, request),
    log: (folder, request) => readLog(sources, folder, request),
    activity: (folder, request) => readActivity(sources, folder, request),
    search: (folder, request) => readSearch(sources, folder, request),
    conflicts: (folder, request) => readConflicts(sources, folder, request),
    nodeAt: (folder, request) => readNodeAt(sources, folder, request),
    pathOf: (folder, request) => readPathOf(sources, folder, request),
    archive: (folder, request) => readArchive(sources, folder, request),
    showPlan: (folder, request) => showPlan(sources, folder, request),
    applyPlan: (folder, request) => applyPlan(sources, folder, request),
    stop: () => follower.stop(),
  };
}
