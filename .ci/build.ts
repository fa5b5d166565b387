/**
 * Builds the page into dist/page, then compiles the binary that holds it: `bun .ci/build.ts` for
 * this machine into dist/synced, `bun .ci/build.ts --release` for every platform into dist/release,
 * with SHA256SUMS. `bun .ci/build.ts --page` builds the page alone, for a server that runs from
 * source.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
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
  // Machine code is made after thirty times as many runs as usual: most commands end before that
  // pays, and the compiler's memory costs more than its code saves.
  "--compile-jit-policy=30",
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

/**
 * Each file has the ending .txt, so that Bun and Deno take it in as text, from source and compiled.
 */
const PAGE_DIRECTORY = "dist/page";

/** In a browser, core's SHA-256 comes from a library: node:crypto would be 150 kB of stand-ins. */
const digestForBrowsers: Bun.BunPlugin = {
  name: "digest for browsers",
  setup(build) {
    build.onResolve({ filter: /\/digest\.ts$/ }, () => ({
      path: join(import.meta.dir, "../src/web/digest.ts"),
    }));
  },
};

async function buildPage(): Promise<void> {
  const { outputs } = await Bun.build({
    entrypoints: [
      "src/web/main.tsx",
      "src/web/chart.ts",
      "src/web/upload-worker.ts",
      "src/web/app.css",
    ],
    target: "browser",
    minify: true,
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [digestForBrowsers],
  });
  await mkdir(PAGE_DIRECTORY, { recursive: true });
  for (const output of outputs) {
    const name = output.path.replace("./", "");
    await writeFile(`${PAGE_DIRECTORY}/${name}.txt`, await output.text());
  }
  for (const name of ["index.html", "icon.svg"]) {
    await copyFile(`src/web/${name}`, `${PAGE_DIRECTORY}/${name}.txt`);
  }
  process.stdout.write(`Built ${PAGE_DIRECTORY}\n`);
}

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

await buildPage();
if (process.argv.includes("--release")) await release();
else if (!process.argv.includes("--page")) await compile("dist/synced");
