/** Where the readers of the past get everything from. Rules: E1-E8. */
import type { Clock } from "../ports/clock.ts";
import type { HistoryStore } from "../ports/history-store.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { DirectoryHistories } from "./directory-histories.ts";
import type { SpansFollower } from "./spans-follower.ts";

export interface PastSources {
  readonly metadata: MetadataStore;
  readonly history: HistoryStore;
  readonly clock: Clock;
  readonly follower: SpansFollower;
  readonly directories: DirectoryHistories;
}
