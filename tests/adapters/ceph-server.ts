/**
 * A real bucket: Ceph's RADOS gateway from Debian, with one monitor and one storage daemon whose
 * data are in memory. Nothing of it outlives the tests.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { freePort } from "./postgres-server.ts";

const PARTS = ["ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin"];
const START_TIMEOUT_MS = 120_000;

/** False where Debian's packages ceph-mon, ceph-osd and radosgw are not installed. */
export const HAS_CEPH = PARTS.every((part) => Bun.which(part) !== null);

export interface CephServer {
  /** `http://127.0.0.1:PORT/` */
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * @param directory an empty one, which the caller removes
 * @param key of its only user
 */
export async function startCeph(
  directory: string,
  key: { readonly id: string; readonly secret: string },
): Promise<CephServer> {
  const [monitorPort, port] = [await freePort(), await freePort()];
  const configuration = join(directory, "ceph.conf");
  const cluster = randomUUID();
  for (const name of ["mon/a", "osd/0", "run", "rgw"]) {
    fs.mkdirSync(join(directory, name), { recursive: true });
  }
  fs.writeFileSync(configuration, settings(directory, { cluster, monitorPort, port }));
  const children: ChildProcess[] = [];
  const run = (command: string, ...args: string[]) => {
    const done = spawnSync(command, ["-c", configuration, ...args], { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${command} failed: ${done.stderr}`);
    return done.stdout;
  };
  const start = (command: string, ...args: string[]) => {
    const log = fs.openSync(join(directory, `${command}.out`), "w");
    const own = ["-c", configuration, "-f", ...args];
    children.push(spawn(command, own, { stdio: ["ignore", log, log] }));
    fs.closeSync(log);
  };
  const stop = async () => {
    for (const child of children.reverse()) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.kill("SIGKILL")) await ended;
    }
  };
  try {
    const map = join(directory, "monmap");
    const monitor = `[v1:127.0.0.1:${monitorPort}]`;
    run("monmaptool", "--create", "--addv", "a", monitor, "--fsid", cluster, map);
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map);
    start("ceph-mon", "-i", "a");
    const storage = randomUUID();
    run("ceph", "--connect-timeout", "30", "osd", "new", storage);
    run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=one");
    run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", storage);
    start("ceph-osd", "-i", "0");
    start("radosgw", "-n", "client.rgw");
    const url = `http://127.0.0.1:${port}/`;
    await answering(url);
    const names = ["--uid=synced", "--display-name=synced"];
    const keys = [`--access-key=${key.id}`, `--secret-key=${key.secret}`];
    run("radosgw-admin", "-n", "client.rgw", "user", "create", ...names, ...keys);
    return { url, port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answering(url: string): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      await fetch(url);
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await Bun.sleep(200);
    }
  }
}

function settings(
  directory: string,
  ports: { readonly cluster: string; readonly monitorPort: number; readonly port: number },
): string {
  return `[global]
fsid = ${ports.cluster}
mon_host = [v1:127.0.0.1:${ports.monitorPort}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
mon_data = ${directory}/mon/$id
osd_data = ${directory}/osd/$id
rgw_data = ${directory}/rgw
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_class_update_on_start = false
osd_crush_update_on_start = false
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
rgw_rados_pool_pg_num_min = 1
mon_allow_pool_size_one = true
ms_bind_msgr2 = false
public_addr = 127.0.0.1
admin_socket = ${directory}/run/$name.$pid.asok
log_file = ${directory}/$name.log
mon_cluster_log_file = ${directory}/cluster.log
pid_file = ${directory}/run/$name.pid
run_dir = ${directory}/run
crash_dir = ${directory}/run

[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${ports.port} tcp_nodelay=1
rgw_run_sync_thread = false
`;
}
