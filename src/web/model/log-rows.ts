/** Rows of the open folder's log, newest first, page by page: a page may end early. Rules: E5. */
import { type LogRow, logAnswerSchema } from "../../protocol/time-answers.ts";
import { ask, folderRoute, query } from "./api.ts";
import { folder } from "./live.ts";

/** @param values as the route `log` takes them. @throws {Problem} */
export async function* logRows(
  values: Parameters<typeof query>[0],
): AsyncGenerator<LogRow, void, undefined> {
  const name = folder.value?.name ?? "";
  for (let { before } = values; ; ) {
    const route = folderRoute(name, `/log?${query({ ...values, before })}`);
    const page = await ask(logAnswerSchema, route);
    yield* page.rows;
    if (page.next === undefined) return;
    before = page.next;
  }
}
