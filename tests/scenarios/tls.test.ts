/** TLS as people meet it: a first start, a pinned key, certificates that nobody should trust. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { ensureBinary, RunningSynced, runSynced, Scratch } from "./binary.ts";

const scratch = new Scratch();
const running: RunningSynced[] = [];

beforeAll(ensureBinary, 180_000);

afterAll(async () => {
  await Promise.all(running.map((one) => one.stop("SIGKILL")));
  scratch.remove();
});

interface Started {
  readonly server: RunningSynced;
  readonly url: string;
  readonly fingerprint: string;
  readonly tokenFile: string;
}

async function serve(data: string, ...args: string[]): Promise<Started> {
  const place = ["--data", scratch.join(data), "--port", "0"];
  const server = new RunningSynced(["serve", ...place, ...args]);
  running.push(server);
  const { url, fingerprint, tokenFile } = await server.event("listening");
  return {
    server,
    url: String(url).replace("0.0.0.0", "127.0.0.1"),
    fingerprint: String(fingerprint),
    tokenFile: String(tokenFile),
  };
}

function folder(name: string): string {
  const path = scratch.join(name);
  mkdirSync(path, { recursive: true });
  return path;
}

async function once(path: string, ...args: string[]) {
  return await runSynced(["sync", path, "--once", ...args]);
}

async function openssl(...args: string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const trouble = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(trouble);
}

/** A key and a certificate that is its own authority. */
async function certificate(name: string, host = "IP:127.0.0.1", days = 30) {
  const path = (extension: string) => scratch.join(`${name}.${extension}`);
  const [key, cert] = [path("key"), path("pem")];
  writeFileSync(path("ext"), `subjectAltName=${host}\n`);
  const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl("req", "-new", ...made, "-keyout", key, "-out", path("csr"), "-subj", "/CN=x");
  const life = ["-days", String(days), "-extfile", path("ext")];
  await openssl("x509", "-req", "-in", path("csr"), "-signkey", key, "-out", cert, ...life);
  return { key, cert };
}

/** Answers the handshake, and keeps whatever is sent after it. */
async function impostor(files: { readonly key: string; readonly cert: string }, options = {}) {
  const heard: string[] = [];
  const [key, cert] = [readFileSync(files.key), readFileSync(files.cert)];
  const server = createServer({ key, cert, ...options }, (socket: TLSSocket) => {
    socket.on("data", (bytes) => heard.push(String(bytes)));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `https://127.0.0.1:${port}`, heard, close: () => server.close() };
}

describe("a first start where others can reach it", () => {
  test("prints the command that joins, and it works as printed [K8, K9]", async () => {
    const data = scratch.join("first");
    const server = new RunningSynced(["serve", "--data", data, "--port", "0", "--host", "0.0.0.0"]);
    running.push(server);
    const { tokenFile } = await server.event("listening");
    const { stderr } = await server.stop();
    const [, command = ""] = /^Try next: synced (.*)$/m.exec(stderr) ?? [];
    expect(command).toMatch(
      /--server https:\S+ --fingerprint sha256:\S+ --token-file admin.token$/,
    );
    expect(stderr).not.toContain(readFileSync(String(tokenFile), "utf8").trim());
    const port = /https:\/\/[^:]+:(\d+)/.exec(command)?.[1] ?? "";
    const again = new RunningSynced(["serve", "--data", data, "--port", port, "--host", "0.0.0.0"]);
    running.push(again);
    expect((await again.event("listening"))["tokenFile"]).toBeUndefined();
    const args = command.replace("FOLDER", folder("first-folder")).split(" ");
    const joined = await runSynced([...args, "--once"], { cwd: data });
    expect([joined.exitCode, joined.stderr]).toEqual([0, expect.stringContaining("In sync")]);
    // The key is remembered, and so is the token wanted.
    expect((await once(scratch.join("first-folder"))).exitCode).toBe(13);
    const check = ["check", scratch.join("first-folder"), "--token-file", String(tokenFile)];
    expect((await runSynced(check)).exitCode).toBe(0);
    const url = `https://127.0.0.1:${port}`;
    expect((await runSynced(["healthcheck", "--url", url])).exitCode).toBe(0);
    const { stderr: log } = await again.stop();
    expect(log).not.toContain("admin's token");
  });

  test("invites a device, which joins by the code alone, once [K12, K13]", async () => {
    const { server, url } = await serve("inviting", "--host", "0.0.0.0");
    const place = ["--data", scratch.join("inviting"), "--server", url];
    const made = await runSynced(["invite", ...place, "--folder", "notes"]);
    expect([made.exitCode, made.stderr]).toEqual([
      0,
      expect.stringContaining("Good once, for 15m"),
    ]);
    const path = folder("invited");
    writeFileSync(`${path}/a`, "a");
    const joined = await once(path, "--invite", made.stdout.trim(), "--device", "PHONE");
    expect([joined.exitCode, joined.stderr]).toEqual([0, expect.stringContaining('"notes"')]);
    for (const file of [
      join(path, ".synced", "token"),
      join(path, ".synced", "state.db"),
      scratch.join("inviting", "tokens.db"),
      scratch.join("inviting", "metadata.db"),
    ]) {
      expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
    }
    // From then on it has a token of its own, and knows the key.
    writeFileSync(`${path}/b`, "b");
    expect((await once(path)).exitCode).toBe(0);
    expect((await runSynced(["check", path])).exitCode).toBe(0);
    const again = await once(folder("uninvited"), "--invite", made.stdout.trim());
    expect([again.exitCode, again.stderr]).toEqual([13, expect.stringContaining("was used")]);
    const listed = await runSynced(["token", "list", "--data", scratch.join("inviting"), "--json"]);
    expect(listed.stdout).toContain('"label":"PHONE"');
    await server.stop();
  });

  test("speaks TLS 1.3 and nothing older [K10, B82]", async () => {
    const { url, server } = await serve("versions", "--host", "0.0.0.0");
    const { host } = new URL(url);
    const handshake = async (version: string) => {
      const openssl = Bun.spawn(
        ["timeout", "20", "openssl", "s_client", "-connect", host, version],
        {
          stdio: ["ignore", "pipe", "pipe"],
        },
      );
      const [said] = await Promise.all([
        new Response(openssl.stdout).text(),
        new Response(openssl.stderr).text(),
      ]);
      return /Cipher is \((NONE)\)|New, (TLSv1\.3)/.exec(said)?.slice(1).join("");
    };
    expect(await handshake("-tls1_3")).toBe("TLSv1.3");
    expect(await handshake("-tls1_2")).toBe("NONE");
    expect(await handshake("-tls1_1")).toBe("NONE");
    await server.stop();
  });
});

describe("a client", () => {
  test("that knows a key sends nothing to another one, and says what to do [K9, I35]", async () => {
    const { url, fingerprint, tokenFile, server } = await serve("pinned", "--host", "0.0.0.0");
    const path = folder("pinned-folder");
    const token = ["--token-file", tokenFile];
    const joined = await once(path, "--server", url, "--fingerprint", fingerprint, ...token);
    expect(joined.exitCode).toBe(0);
    const other = await impostor(await certificate("impostor"));
    writeFileSync(`${path}/secret`, "secret");
    const refused = await once(path, "--server", other.url, ...token);
    expect(refused.exitCode).toBe(12);
    expect(refused.stderr).toContain(`this folder knows the server by ${fingerprint}`);
    expect(refused.stderr).toContain("Nothing was sent");
    expect(refused.stderr).toContain("--fingerprint");
    expect(other.heard).toEqual([]);
    other.close();
    // The right server, at whatever address, is known by its key.
    const elsewhere = url.replace("127.0.0.1", "localhost");
    expect((await once(path, "--server", elsewhere, ...token)).exitCode).toBe(0);
    await server.stop();
  });

  test("stops when the key changes under it, and goes on with the new one named [K9]", async () => {
    const started = await serve("rekeyed", "--host", "0.0.0.0");
    const { url, fingerprint, tokenFile } = started;
    const path = folder("rekeyed-folder");
    const token = ["--token-file", tokenFile];
    const args = ["sync", path, "--server", url, "--fingerprint", fingerprint, ...token];
    const client = new RunningSynced(args);
    running.push(client);
    await client.event("in_sync");
    await started.server.stop();
    for (const name of ["tls-cert.pem", "tls-key.pem"]) rmSync(scratch.join("rekeyed", name));
    const { port } = new URL(url);
    const place = ["--data", scratch.join("rekeyed"), "--port", port, "--host", "0.0.0.0"];
    const server = new RunningSynced(["serve", ...place]);
    running.push(server);
    const { fingerprint: renewed } = await server.event("listening");
    const { exitCode, stderr } = await client.ended();
    expect([exitCode, stderr]).toEqual([12, expect.stringContaining("Nothing was sent")]);
    const joined = await once(path, "--fingerprint", String(renewed), ...token);
    expect(joined.exitCode).toBe(0);
    expect((await once(path, ...token)).exitCode).toBe(0);
    await server.stop();
  });

  test("that knows none refuses what nobody vouches for, with the reason [K9, B82]", async () => {
    const token = ["--token-file", scratch.join("any.token")];
    writeFileSync(scratch.join("any.token"), "0123456789abcdef-any-token");
    const old = { maxVersion: "TLSv1.1", minVersion: "TLSv1" };
    const cases: [string, object, string, string?, number?][] = [
      ["self", {}, "its certificate is self-signed"],
      ["old-tls", old, "an outdated TLS"],
      ["expired", {}, "its certificate has expired", "IP:127.0.0.1", -1],
      ["other", {}, "its certificate is for another host", "DNS:other.example"],
    ];
    for (const [name, options, reason, host, days] of cases) {
      const files = await certificate(name, host, days);
      const server = await impostor(files, options);
      // The last two are by an authority that this machine trusts.
      const env = host === undefined ? {} : { NODE_EXTRA_CA_CERTS: files.cert };
      const path = folder(`untrusted-${name}`);
      const refused = await runSynced(["sync", path, "--once", "--server", server.url, ...token], {
        env,
      });
      expect([name, refused.exitCode, refused.stderr]).toEqual([
        name,
        12,
        expect.stringContaining(reason),
      ]);
      expect(server.heard).toEqual([]);
      server.close();
    }
  });
});

test("takes a renewed certificate into use, and keeps one that works [K10]", async () => {
  const [first, second] = [await certificate("one"), await certificate("two")];
  const [cert, key] = [scratch.join("cert"), scratch.join("key")];
  const put = (files: { readonly key: string; readonly cert: string }) => {
    for (const [from, to] of [
      [files.key, key],
      [files.cert, cert],
    ] as const) {
      writeFileSync(`${to}.new`, readFileSync(from));
      renameSync(`${to}.new`, to);
    }
  };
  put(first);
  const { server, url, fingerprint } = await serve("renewed", "--tls-cert", cert, "--tls-key", key);
  const path = folder("renewed-folder");
  const args = ["sync", path, "--server", url, "--fingerprint", fingerprint];
  expect((await once(path, ...args.slice(2))).exitCode).toBe(0);
  const stream = await fetch(`${url}/v1/folders/default/events?after=0`, {
    headers: { accept: "text/event-stream" },
    tls: { rejectUnauthorized: false },
  });
  const reader = stream.body?.getReader();
  await reader?.read();
  writeFileSync(cert, "no certificate");
  const { message } = await server.event("certificate");
  expect(String(message)).toContain("for TLS");
  expect((await once(path)).exitCode).toBe(0);
  put(second);
  const { fingerprint: renewed } = await server.event("certificate");
  expect(String(renewed)).toMatch(/^sha256:/);
  expect(renewed).not.toBe(fingerprint);
  expect((await once(path)).exitCode).toBe(12);
  expect((await once(path, "--fingerprint", String(renewed))).exitCode).toBe(0);
  // Whoever was connected before has noticed nothing.
  writeFileSync(`${path}/news`, "news");
  await once(path);
  expect((await reader?.read())?.done).toBe(false);
  await reader?.cancel();
  expect(existsSync(scratch.join("renewed", "tls-key.pem"))).toBe(false);
  await server.stop();
});
