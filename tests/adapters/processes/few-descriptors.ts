/** Listens, and says where and how many files it may sync at once. */
import { listen } from "../../../src/adapters/listen.ts";
import { openSyncsMax, requireOpenFiles } from "../../../src/adapters/open-files.ts";

requireOpenFiles();
const handle = () => new Response("ok");
const { url } = await listen({ host: "127.0.0.1", port: 0, handle });
process.stdout.write(`${url} ${openSyncsMax(64)}\n`);
