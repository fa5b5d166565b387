/**
 * Native watching, and polling once that has failed: out of watches, or a file system without
 * events. Rules: Y2.
 */
import type { Watch, Watcher, WatchHandler } from "../ports/watcher.ts";

/**
 * @param onFallback told once why the first watcher failed; what changed in between is found by the
 * overflow that is reported to the handler.
 */
export function createFallbackWatcher(
  first: Watcher,
  second: Watcher,
  onFallback: (reason: string) => void,
): Watcher {
  return {
    async watch(handler: WatchHandler): Promise<Watch> {
      let isOpen = true;
      let current: Watch | undefined;

      async function fallBack(reason: string): Promise<void> {
        current?.close();
        current = undefined;
        onFallback(reason);
        const polling = await second.watch(handler);
        if (!isOpen) polling.close();
        else current = polling;
        handler.overflow();
      }

      let hasFailed = false;
      const native = await first.watch({
        changed: (path) => handler.changed(path),
        overflow: () => handler.overflow(),
        failed(reason) {
          if (!isOpen || hasFailed) return;
          hasFailed = true;
          fallBack(reason).catch((error: unknown) => handler.failed(String(error)));
        },
      });
      if (hasFailed) native.close();
      else current = native;
      return {
        close() {
          isOpen = false;
          current?.close();
        },
      };
    },
  };
}
