/** SyncAll: where one call makes a whole folder durable. */
import { expect, test } from "bun:test";
import { isOneDisk } from "../../src/adapters/disk/sync-all.ts";

const MOUNTS = `26 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
24 23 0:22 / /dev/shm rw,relatime shared:2 - tmpfs tmpfs rw
40 26 0:50 / /home rw,relatime shared:9 master:1 - xfs /dev/vdb rw
41 40 0:51 / /home/ada/My\\040disk rw - fuse.sshfs host: rw
42 26 0:52 / /srv rw - ext4 /dev/vdc rw
43 42 0:53 / /srv rw - overlay overlay rw
`;

for (const [root, expected, why] of [
  ["/data/notes", true, "on the root's disk"],
  ["/home/ada/notes", true, "on a disk of its own"],
  ["/home/ada", false, "another disk is mounted below"],
  ["/home/ada/My disk/notes", false, "on a network's disk, whose name has a blank"],
  ["/homes/notes", true, "only the beginning of a name is the same"],
  ["/dev/shm", false, "in memory"],
  ["/srv/notes", false, "the second of two mounts at one place hides the first"],
  ["/", false, "others are mounted below"],
] as const) {
  test(`one call ${expected ? "covers" : "does not cover"} ${root}: ${why} [D2]`, () => {
    expect(isOneDisk(root, MOUNTS)).toBe(expected);
  });
}

test("without a list of mounts it covers nothing [D2]", () => {
  expect(isOneDisk("/data", "")).toBe(false);
});
