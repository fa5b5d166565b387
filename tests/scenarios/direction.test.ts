/** Folders that only receive or only send, with the real binary. Rules: R21. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";

let lab: Lab;
let alpha: Device;

beforeAll(ensureBinary, 180_000);
beforeEach(async () => {
  lab = await Lab.open();
  alpha = lab.device("alpha");
  alpha.write("one", "one\n");
  alpha.write("two", "two\n");
  alpha.start();
  await lab.settled([alpha]);
});
afterEach(() => lab.close());

const names = (path: string): string[] => readdirSync(path).filter((name) => name !== ".synced");

describe("sync --direction", () => {
  test("pull sends nothing, says so, keeps what was changed here, and remembers it [R21]", async () => {
    const beta = lab.device("beta");
    expect((await beta.once("--direction", "pull")).exitCode).toBe(0);
    const head = await lab.head();
    beta.write("one", "mine\n");
    beta.write("new", "new\n");
    rmSync(beta.join("two"));
    beta.start();
    await waitFor("the changes to be told", async () => {
      const { reason } = await beta.status();
      return reason?.startsWith("3 changes of this device not sent") === true;
    });
    expect(await beta.status()).toMatchObject({ state: "in_sync", direction: "pull" });
    expect((await runSynced(["status", beta.path])).exitCode).toBe(3);
    alpha.write("one", "theirs\n");
    await waitFor("the news", () => beta.read("one") === "theirs\n");
    // The news is exchanged into place first, and only then what came out gets its name.
    const copy = (): string | undefined =>
      names(beta.path).find((name) => / \(conflict /.test(name));
    await waitFor("the copy", () => copy() !== undefined);
    expect(readFileSync(beta.join(copy() ?? "none"), "utf8")).toBe("mine\n");
    await lab.settled([alpha]);
    expect(await lab.head()).toBe(head + 1);
    expect(names(alpha.path).sort()).toEqual(["one", "two"]);
    await beta.stop();
    expect((await beta.once()).exitCode).toBe(3);
    // What was kept aside goes once a person lets it.
    expect((await beta.once("--direction", "both")).exitCode).toBe(0);
    await waitFor("what was kept", () => existsSync(alpha.join("new")));
  }, 120_000);

  test("push does nothing here, sends what is only here, and overwrites nobody's edit [R21]", async () => {
    const beta = lab.device("beta", "--direction", "push");
    beta.write("mine", "mine\n");
    beta.write("one", "another one\n");
    beta.start();
    await waitFor("beta's file", () => existsSync(alpha.join("mine")));
    await waitFor("the rest to be told", async () => {
      return (await beta.status()).reason?.includes("of others not done here") === true;
    });
    alpha.write("later", "later\n");
    await lab.settled([alpha]);
    expect(names(beta.path).sort()).toEqual(["mine", "one"]);
    expect(beta.read("one")).toBe("another one\n");
    expect(alpha.read("one")).toBe("one\n");
    expect((await beta.status()).direction).toBe("push");
  }, 120_000);

  test("another word is no direction [R21]", async () => {
    const beta = lab.device("beta");
    expect((await beta.once("--direction", "sideways")).exitCode).toBe(2);
  });
});
