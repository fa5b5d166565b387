/**
 * `bun run demo`: what `synced demo` does, by the binary that was just built. With `--full` the
 * whole constellation of compose.yaml; its PostgreSQL is one of the tests' and not in the binary.
 */
import { execve } from "node:process";

const BINARY = "./dist/synced";

const args = process.argv.slice(2);
if (args.includes("--full")) {
  const { runFullDemo } = await import("../tests/demo/full.ts");
  process.exit(await runFullDemo(args));
}
const command = [BINARY, "demo", ...args];
// In this process's place, so that Ctrl-C, signals and the exit code are the binary's own.
if (process.platform !== "win32") execve?.(BINARY, command, process.env);
const { exitCode } = Bun.spawnSync(command, { stdio: ["inherit", "inherit", "inherit"] });
process.exit(exitCode);
