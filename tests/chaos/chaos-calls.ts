/**
 * System calls that users' programs make and `node:fs` does not have: `mv`'s rename that replaces
 * nothing, and writing through a shared mapping.
 */
import { dlopen, FFIType, ptr, toArrayBuffer } from "bun:ffi";

const { symbols: libc } = dlopen("libc.so.6", {
  renameat2: {
    args: [FFIType.i32, FFIType.ptr, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  mmap: {
    args: [FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.i32, FFIType.i32, FFIType.i64],
    returns: FFIType.ptr,
  },
  munmap: { args: [FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
});

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** @returns false where it failed, for whatever reason. */
export function renameNoReplace(from: string, to: string): boolean {
  const [old, made] = [Buffer.from(`${from}\0`), Buffer.from(`${to}\0`)];
  return libc.renameat2(AT_FDCWD, ptr(old), AT_FDCWD, ptr(made), RENAME_NOREPLACE) === 0;
}

/** Writes through a shared mapping, which is gone before this returns. @returns false where it failed. */
export function writeMapped(fd: number, size: number, at: number, bytes: Uint8Array): boolean {
  if (size === 0 || at + bytes.length > size) return false;
  const address = libc.mmap(null, size, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  // MAP_FAILED is the address -1.
  if (address === null || address < 0 || address > 2 ** 48) return false;
  new Uint8Array(toArrayBuffer(address, 0, size)).set(bytes, at);
  libc.munmap(address, size);
  return true;
}
