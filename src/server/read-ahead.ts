/** Loads the next items while the reader is busy with earlier ones. */

/**
 * Loads each source in order, at most `ahead` of them before the reader asks.
 *
 * @throws the error of a source or of `load`, when its turn comes
 */
export async function* readAhead<Source, Loaded>(
  sources: Iterable<Source> | AsyncIterable<Source>,
  load: (source: Source) => Promise<Loaded>,
  ahead: number,
): AsyncGenerator<Loaded, void> {
  const pending: Promise<Loaded>[] = [];
  for await (const source of sources) {
    const loading = load(source);
    // The reader gets the error when its turn comes, or has left. Until then it must not count as
    // unhandled.
    loading.catch(() => {});
    pending.push(loading);
    if (pending.length < ahead) continue;
    const next = pending.shift();
    if (next !== undefined) yield await next;
  }
  for (const loading of pending) yield await loading;
}
