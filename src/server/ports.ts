/** The ports of one server, which the sequencer gets. */
import type { FolderName } from "../core/identifier.ts";
import type { Clock } from "../ports/clock.ts";
import type { ServerInstruments } from "../ports/instruments.ts";
import type { LogNews } from "../ports/log-news.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { Random } from "../ports/random.ts";

export interface Quota {
  /** undefined is no bound. */
  readonly bytesMax: number | undefined;
  readonly byFolder: ReadonlyMap<FolderName, number | undefined>;
}

export interface SequencerPorts {
  readonly metadata: MetadataStore;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  /** @default every size is taken */
  readonly fileBytesMax?: number | undefined;
  /** Of other servers on the same metadata. @default there are none */
  readonly news?: LogNews;
  /** How large a folder's live files may be together, in bytes (O14). @default any size */
  readonly quota?: Quota | undefined;
  /** @default nothing is counted */
  readonly instruments?: ServerInstruments;
}
