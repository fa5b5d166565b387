/** Reads the answers of the Linux call `statx`. Rules: A1, A6. */
import type { Stat } from "../../ports/filesystem.ts";
import type { NativeCalls } from "../runtime/native-calls.ts";
import { type Access, isDirectoryMode, toStat } from "./calls.ts";

/** Basic fields, birth time and mount id. */
export const STATX_MASK = 0xfff | 0x1000;
const STATX_BIRTH = 0x800;
const STATX_MOUNT = 0x1000;
const STATX_BYTES = 256;
/** A number above 2^53 has more than this in its upper 32 bits. */
const HIGH_UNSAFE = 0x20_0000;

/**
 * One buffer at `address` for the kernel to fill. Offsets are those of `struct statx` in
 * linux/stat.h.
 */
export class StatxReader {
  readonly address: number;
  readonly #view: DataView;
  #rootDevice = "";
  #rootMount = 0;

  constructor(native: NativeCalls) {
    const bytes = new Uint8Array(new ArrayBuffer(STATX_BYTES));
    this.#view = new DataView(bytes.buffer);
    this.address = native.address(bytes);
  }

  /** Takes the entry that was filled last for the root, with which all others are compared. */
  anchor(): void {
    this.#rootDevice = this.#device();
    this.#rootMount = this.#mount();
  }

  permissions(): number {
    return this.#view.getUint16(28, true) & 0o777;
  }

  access(): Access {
    const view = this.#view;
    const mode = view.getUint16(28, true) & 0o7777;
    return { mode, uid: view.getUint32(20, true), gid: view.getUint32(24, true) };
  }

  read(): Stat {
    const view = this.#view;
    const mode = view.getUint16(28, true);
    const hasBirth = (view.getUint32(0, true) & STATX_BIRTH) !== 0;
    const device = this.#device();
    return toStat({
      mode,
      inode: this.#unsigned64(32),
      device,
      birthSeconds: hasBirth ? this.#signed64(80) : 0,
      birthNs: hasBirth ? view.getUint32(88, true) : 0,
      size: this.#signed64(40),
      mtimeSeconds: this.#exactly64(112),
      mtimeNs: view.getUint32(120, true),
      ctimeSeconds: this.#signed64(96),
      ctimeNs: view.getUint32(104, true),
      links: view.getUint32(16, true),
      sameDevice: this.#isSameDevice(mode, device),
    });
  }

  /**
   * The mount also tells bind mounts of one device apart. On an overlay, files may have other
   * device numbers than directories. So for anything but a directory only the mount counts, if it
   * is known.
   */
  #isSameDevice(mode: number, device: string): boolean {
    const mount = this.#mount();
    if (mount !== this.#rootMount) return false;
    return mount !== 0 && !isDirectoryMode(mode) ? true : device === this.#rootDevice;
  }

  #device(): string {
    return `${this.#view.getUint32(136, true)}:${this.#view.getUint32(140, true)}`;
  }

  /** @returns 0 before Linux 5.8. */
  #mount(): number {
    const known = (this.#view.getUint32(0, true) & STATX_MOUNT) !== 0;
    return known ? this.#view.getUint32(144, true) : 0;
  }

  #unsigned64(offset: number): number | bigint {
    const high = this.#view.getUint32(offset + 4, true);
    if (high >= HIGH_UNSAFE) return this.#view.getBigUint64(offset, true);
    return high * 0x1_0000_0000 + this.#view.getUint32(offset, true);
  }

  /** An mtime may be any value, because users set it. */
  #exactly64(offset: number): number | bigint {
    const high = this.#view.getInt32(offset + 4, true);
    if (high >= HIGH_UNSAFE || high < -HIGH_UNSAFE) return this.#view.getBigInt64(offset, true);
    return this.#signed64(offset);
  }

  /** Sizes and the kernel's own seconds are far below 2^53. */
  #signed64(offset: number): number {
    const view = this.#view;
    return view.getInt32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
  }
}
