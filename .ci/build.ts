/**
 * Compiles the binary: `bun .ci/build.ts` for this machine into dist/synced, `bun .ci/build.ts
 * --release` for every platform into dist/release, with SHA256SUMS.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import packageJson from "../package.json" with { type: "json" };

const FLAGS = [
  "--compile",
  "--minify",
  "--bytecode",
  "--format=esm",
  // The binary is started in folders that other devices write to: it takes no code or settings from
  // them.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
];

/** The runtime asks for the working directory before all else, and ends where that was deleted. */
const LINUX_FLAGS = ["--compile-exec-argv=--cwd=/proc/self/cwd"];

/** Made for each of these; only Linux is tested. */
const RELEASE_TARGETS = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "windows-x64",
];

const RELEASE_DIRECTORY = "dist/release";

async function compile(outfile: string, target: string = process.platform): Promise<void> {
  const flags = target.startsWith("linux") ? [...FLAGS, ...LINUX_FLAGS] : FLAGS;
  const platform = target === process.platform ? [] : [`--target=bun-${target}`];
  const command = [
    process.execPath,
    "build",
    ...flags,
    ...platform,
    "cli.ts",
    "--outfile",
    outfile,
  ];
  const build = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const said = await Promise.all([
    new Response(build.stdout).text(),
    new Response(build.stderr).text(),
  ]);
  if ((await build.exited) !== 0) {
    process.stderr.write(`${said.join("\n")}\nCannot build ${outfile}\n`);
    process.exit(1);
  }
  process.stdout.write(`Built ${outfile}\n`);
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}

async function release(): Promise<void> {
  await rm(RELEASE_DIRECTORY, { recursive: true, force: true });
  await mkdir(RELEASE_DIRECTORY, { recursive: true });
  for (const target of RELEASE_TARGETS) {
    const outfile = `${RELEASE_DIRECTORY}/synced-${packageJson.version}-${target}`;
    await compile(outfile, target);
  }
  const names = (await readdir(RELEASE_DIRECTORY)).sort();
  const sums: string[] = [];
  for (const name of names)
    sums.push(`${await digestOf(`${RELEASE_DIRECTORY}/${name}`)}  ${name}\n`);
  await writeFile(`${RELEASE_DIRECTORY}/SHA256SUMS`, sums.join(""));
}

if (process.argv.includes("--release")) await release();
else await compile("dist/synced");
