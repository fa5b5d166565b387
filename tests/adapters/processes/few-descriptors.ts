/** Listens, and says where and how many files it may sync at once. */

import { openSyncsMax, requireOpenFiles } from "../../../src/adapters/disk/open-files.ts";
import { listen } from "../../../src/adapters/network/listen.ts";

requireOpenFiles();
const handle = () => new Response("ok");
const { url } = await listen({ host: "127.0.0.1", port: 0, handle });
process.stdout.write(`${url} ${openSyncsMax()}\n`);
