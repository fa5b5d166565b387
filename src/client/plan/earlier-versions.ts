/**
 * Earlier versions: bytes that stood at a path before the present ones of the log. Rules: R16, R17.
 *
 * After the state was lost, or in a folder from a backup, a file that is older than the server's
 * looks like an edit of it. The history tells the two apart. It is asked only about bytes that
 * would become a conflict copy for lack of a base, and only until all was once in sync with this
 * state. Bytes that are new here later were put there by somebody who meant it.
 */
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { Content } from "../../core/node.ts";
import type { Plan, Transition } from "../../core/transition.ts";
import { pathOf } from "../../core/tree.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { hasBeenInSync } from "../folder/status-record.ts";

/** So many questions are asked at once, to hide the network's latency. */
const QUESTIONS_AT_ONCE = 16;

interface Question {
  /** The server's node. */
  readonly node: NodeId;
  readonly sha256: Digest;
}

export class EarlierVersions {
  readonly #ports: Pick<ClientPorts, "api" | "store">;
  /** The history's answers, by node and bytes. It only grows, until its server is restored. */
  readonly #known = new Map<string, boolean>();

  constructor(ports: Pick<ClientPorts, "api" | "store">) {
    this.#ports = ports;
  }

  /** The server was restored: its history may lack what it had. */
  forget(): void {
    this.#known.clear();
  }

  /** True if the node's path is known to have held these bytes. */
  has(node: NodeId, content: Content): boolean {
    if (content.kind !== "file" || hasBeenInSync(this.#ports.store)) return false;
    return this.#known.get(keyOf({ node, ...content })) === true;
  }

  /**
   * Asks about the bytes that the plan would keep as conflict copies for lack of a base.
   *
   * @returns true if some are earlier versions, because then the plan is another one.
   * @throws {SyncedError} if the server cannot be asked now
   */
  async learn({ transitions }: Plan, signal: AbortSignal): Promise<boolean> {
    const open = transitions.flatMap((step) => this.#questionOf(step) ?? []);
    let isNews = false;
    while (open.length > 0) {
      const some = open.splice(-QUESTIONS_AT_ONCE);
      const answers = await Promise.all(some.map((question) => this.#ask(question, signal)));
      isNews ||= answers.includes(true);
    }
    return isNews;
  }

  #questionOf(step: Transition): Question | undefined {
    if (step.kind !== "replace" && step.kind !== "move") return undefined;
    const { store } = this.#ports;
    if (hasBeenInSync(store)) return undefined;
    const origin = step.kind === "replace" ? step.conflict?.of : step.conflictOf;
    const { content } = step.expected;
    if (origin === undefined || content.kind !== "file") return undefined;
    if (store.base.get(step.id) !== undefined) return undefined;
    if (store.remote.get(origin.node)?.content.kind !== "file") return undefined;
    const question = { node: origin.node, sha256: content.sha256 };
    return this.#known.has(keyOf(question)) ? undefined : question;
  }

  async #ask(question: Question, signal: AbortSignal): Promise<boolean> {
    const { api, store } = this.#ports;
    const path = pathOf(store.remote, question.node);
    const isEarlier = path !== undefined && (await hadVersion(api, path, question.sha256, signal));
    this.#known.set(keyOf(question), isEarlier);
    return isEarlier;
  }
}

function keyOf({ node, sha256 }: Question): string {
  return `${node} ${sha256}`;
}

/** If the server gives no answer, that counts as no: the bytes are kept as a user's. */
async function hadVersion(
  api: ClientPorts["api"],
  path: string,
  sha256: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return await api.hadVersion(path, sha256, signal);
  } catch (cause) {
    if (!(cause instanceof SyncedError) || cause.kind.retriable || signal.aborted) throw cause;
    return false;
  }
}
