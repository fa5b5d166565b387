/** Loads what comes next while the reader is busy with what came before. */

/**
 * Loads each source in order, at most `ahead` of them before the reader asks.
 *
 * @throws what a source or `load` throws, in its turn
 */
export async function* readAhead<Source, Loaded>(
  sources: Iterable<Source> | AsyncIterable<Source>,
  load: (source: Source) => Promise<Loaded>,
  ahead: number,
): AsyncGenerator<Loaded, void> {
  const pending: Promise<Loaded>[] = [];
  for await (const source of sources) {
    const loading = load(source);
    // The reader sees the error in its turn, or has left; until then it is not unhandled.
    loading.catch(() => {});
    pending.push(loading);
    if (pending.length < ahead) continue;
    const next = pending.shift();
    if (next !== undefined) yield await next;
  }
  for (const loading of pending) yield await loading;
}
