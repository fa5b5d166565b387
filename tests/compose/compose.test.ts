/** What compose.yaml grants and opens, read from it; run.ts tries it in containers. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const ROOT = join(import.meta.dir, "..", "..");
const text = readFileSync(join(ROOT, "compose.yaml"), "utf8");
const Service = z.object({
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal("ALL")]),
  cap_add: z.array(z.string()).optional(),
  security_opt: z.tuple([z.literal("no-new-privileges:true")]),
  mem_limit: z.literal("1g"),
  pids_limit: z.literal(300),
  networks: z.array(z.enum(["sync", "database", "metrics"])).min(1),
  ports: z.array(z.string().startsWith("127.0.0.1:")).optional(),
  environment: z.record(z.string(), z.string()).optional(),
});
const { services } = z
  .object({ services: z.record(z.string(), Service) })
  .parse(Bun.YAML.parse(text));

describe("compose.yaml", () => {
  test("bounds every service, and opens ports to this machine alone, whatever is set", () => {
    expect(Object.keys(services).length).toBeGreaterThan(7);
    expect(text).not.toContain("SYNCED_BIND");
    const granted = Object.entries(services).filter(([, { cap_add }]) => cap_add !== undefined);
    expect(granted.map(([name]) => name)).toEqual(["permissions"]);
  });

  test("lets only server, reader and Grafana to PostgreSQL", () => {
    const near = Object.entries(services).filter(([, one]) => one.networks.includes("database"));
    const names = ["permissions", "postgres", "server", "reader", "grafana"];
    expect(near.map(([name]) => name)).toEqual(names);
  });

  test("has no secret in an environment", () => {
    const secrets = readdirSync(join(ROOT, "grafana", "secrets")).map((name) =>
      readFileSync(join(ROOT, "grafana", "secrets", name), "utf8").trim(),
    );
    expect(secrets).toHaveLength(5);
    for (const { environment = {} } of Object.values(services)) {
      for (const value of Object.values(environment)) {
        for (const secret of secrets.filter((one) => one !== "admin")) {
          expect(value).not.toContain(secret);
        }
      }
    }
  });
});
