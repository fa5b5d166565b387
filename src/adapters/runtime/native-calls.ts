/**
 * Native calls: Linux system calls through the runtime's FFI (Bun: `bun:ffi`, Deno: `Deno.dlopen`).
 * Rules: D1, D2, S3.
 *
 * All of them go through one C function, `syscall`, because no runtime's `node:fs` has the needed
 * calls (openat2, renameat2, statx, open file description locks), and older C libraries wrap only
 * some. If there is no FFI, no Linux or no known table of numbers, `nativeCalls()` is undefined and
 * the caller uses `node:fs`.
 */
import { fsync } from "node:fs";
import process from "node:process";

type SystemCall =
  | "close"
  | "fchmod"
  | "fchown"
  | "fcntl"
  | "getdents64"
  | "inotify_add_watch"
  | "inotify_init1"
  | "inotify_rm_watch"
  | "linkat"
  | "mkdirat"
  | "openat"
  | "openat2"
  | "pread64"
  | "readlinkat"
  | "renameat2"
  | "statx"
  | "symlinkat"
  | "unlinkat"
  | "utimensat"
  | "write";

/** Numbers from the kernel's `syscall_64.tbl` and `asm-generic/unistd.h`; they never change. */
const NUMBERS: Readonly<Record<string, Readonly<Record<SystemCall, number>>>> = {
  x64: {
    close: 3,
    fchmod: 91,
    fchown: 93,
    fcntl: 72,
    getdents64: 217,
    inotify_add_watch: 254,
    inotify_init1: 294,
    inotify_rm_watch: 255,
    linkat: 265,
    mkdirat: 258,
    openat: 257,
    openat2: 437,
    pread64: 17,
    readlinkat: 267,
    renameat2: 316,
    statx: 332,
    symlinkat: 266,
    unlinkat: 263,
    utimensat: 280,
    write: 1,
  },
  arm64: {
    close: 57,
    fchmod: 52,
    fchown: 55,
    fcntl: 25,
    getdents64: 61,
    inotify_add_watch: 27,
    inotify_init1: 26,
    inotify_rm_watch: 28,
    linkat: 37,
    mkdirat: 34,
    openat: 56,
    openat2: 437,
    pread64: 67,
    readlinkat: 78,
    renameat2: 276,
    statx: 291,
    symlinkat: 36,
    unlinkat: 35,
    utimensat: 88,
    write: 64,
  },
};

/** Each is an integer or an address; a missing one is 0. */
type Arguments = readonly [number?, number?, number?, number?, number?];

export interface NativeCalls {
  /**
   * @returns the call's result, or the negated error number. Addresses from `address` may be
   * passed.
   */
  call(name: SystemCall, ...rest: Arguments): number;
  /** The address of the view's first byte; valid while the caller holds the view. */
  address(bytes: Uint8Array): number;
  /** Resolves to 0, or the negated error number; waits on another thread. */
  sync(fd: number): Promise<number>;
  /** `syncfs` on another thread. Resolves to 0, or a negated error number. */
  syncFileSystem(fd: number): Promise<number>;
}

/** One runtime's way to the C library. */
interface Bridge {
  /** The C library's `syscall`: -1 on failure. */
  readonly syscall: (...values: number[]) => number;
  /**
   * Reads this thread's `errno`. It is a load from memory, so nothing comes between it and the
   * failed call.
   */
  readonly errno: () => number;
  readonly address: (bytes: Uint8Array) => number;
  readonly sync: (fd: number) => Promise<number>;
  readonly syncFileSystem: (fd: number) => Promise<number>;
}

/** glibc's name, then musl's. */
const C_LIBRARIES = ["libc.so.6", "libc.so"] as const;
const EIO = 5;
const EAGAIN = 11;
const ENOSYS = 38;

let found: NativeCalls | undefined | "not_tried" = "not_tried";

/** @returns undefined if the runtime has no FFI or the platform is not Linux on x64 or arm64. */
export function nativeCalls(): NativeCalls | undefined {
  if (found === "not_tried") found = findNativeCalls();
  return found;
}

/**
 * Lets as many fsyncs wait at once as the disk completes together. Bun sizes its thread pool when
 * the first asynchronous call starts it, so this must run before any of them.
 */
export function widenThreadPool(): void {
  nativeCalls();
}

function findNativeCalls(): NativeCalls | undefined {
  const numbers = NUMBERS[process.arch];
  if (process.platform !== "linux" || numbers === undefined) return undefined;
  const bridge = openBridge();
  if (bridge === undefined) return undefined;
  const { syscall, errno } = bridge;
  return {
    call(name, a = 0, b = 0, c = 0, d = 0, e = 0) {
      const result = syscall(numbers[name], a, b, c, d, e, 0);
      return result === -1 ? -errno() : result;
    },
    address: bridge.address,
    sync: bridge.sync,
    syncFileSystem: bridge.syncFileSystem,
  };
}

function openBridge(): Bridge | undefined {
  for (const library of C_LIBRARIES) {
    try {
      return openBunBridge(library) ?? openDenoBridge(library);
    } catch {
      // Another C library, or no permission for FFI (`deno run` without --allow-ffi). Tries the
      // next name, then gives up.
    }
  }
  return undefined;
}

interface BunFunction {
  (...values: number[]): number;
  /** Where its machine code is. */
  readonly ptr: number;
}

/** The parts of `bun:ffi` that are used. Its own types exist only under Bun. */
interface BunFfi {
  dlopen(
    library: string,
    symbols: Record<string, { args: readonly string[]; returns: string }>,
  ): { symbols: Record<string, BunFunction> };
  ptr(bytes: NodeJS.TypedArray): number;
  readonly read: { i32(address: number, offset: number): number };
}

/**
 * Bun's pool has about as many threads as there are processors, but fsyncs only wait. Bun reads the
 * size from the C library's environment, which `process.env` does not change.
 */
const POOL_THREADS = { name: "UV_THREADPOOL_SIZE", value: "32" } as const;

const INTEGERS = ["i64", "i64", "i64", "i64", "i64", "i64", "i64"] as const;

function openBunBridge(library: string): Bridge | undefined {
  // Not `import`, because Deno would refuse the scheme and a compiled binary would need a top-level
  // await.
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as BunFfi | undefined;
  if (ffi === undefined) return undefined;
  const { symbols } = ffi.dlopen(library, {
    syscall: { args: INTEGERS, returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
    setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
    syncfs: { args: ["i32"], returns: "i32" },
    pthread_create: { args: ["ptr", "ptr", "ptr", "i64"], returns: "i32" },
    pthread_tryjoin_np: { args: ["i64", "ptr"], returns: "i32" },
  });
  const { syscall, __errno_location: errnoLocation, setenv } = symbols;
  if (syscall === undefined || errnoLocation === undefined) return undefined;
  const errnoAddress = errnoLocation();
  const [name, value] = [POOL_THREADS.name, POOL_THREADS.value].map((text) =>
    new TextEncoder().encode(`${text}\0`),
  );
  // A value that is set already stays, because somebody chose it.
  if (name !== undefined && value !== undefined) setenv?.(ffi.ptr(name), ffi.ptr(value), 0);
  return {
    syscall,
    errno: () => ffi.read.i32(errnoAddress, 0),
    address: (bytes) => (bytes.length === 0 ? 0 : ffi.ptr(bytes)),
    sync: (fd) =>
      new Promise((resolve) => {
        fsync(fd, (error) => resolve(error === null ? 0 : (error.errno ?? -EIO)));
      }),
    syncFileSystem: (fd) => syncOnThread(ffi, symbols, fd),
  };
}

const JOIN_INTERVAL_MS = 2;

/**
 * Runs `syncfs` as the whole work of a thread, because it may take seconds and Bun has no call for
 * it: its argument and result are one number each, as a thread's are.
 */
async function syncOnThread(
  ffi: BunFfi,
  { syncfs, pthread_create: create, pthread_tryjoin_np: tryJoin }: Record<string, BunFunction>,
  fd: number,
): Promise<number> {
  if (syncfs === undefined || create === undefined || tryJoin === undefined) return -ENOSYS;
  const thread = new BigUint64Array(1);
  const result = new BigInt64Array(1);
  if (create(ffi.ptr(thread), 0, syncfs.ptr, fd) !== 0) return -EAGAIN;
  while (tryJoin(Number(thread[0]), ffi.ptr(result)) !== 0) {
    await new Promise((resolve) => setTimeout(resolve, JOIN_INTERVAL_MS));
  }
  return BigInt.asIntN(32, result[0] ?? -1n) === 0n ? 0 : -EIO;
}

/** The parts of `Deno` that are used. */
interface DenoFfi {
  dlopen(
    library: string,
    symbols: Record<
      string,
      { parameters: readonly string[]; result: string; nonblocking?: boolean }
    >,
  ): { symbols: Record<string, (...values: number[]) => unknown> };
  readonly UnsafePointer: {
    of(buffer: ArrayBufferLike): unknown;
    value(pointer: unknown): bigint | number;
  };
  readonly UnsafePointerView: new (pointer: unknown) => { getInt32(): number };
}

function openDenoBridge(library: string): Bridge | undefined {
  const ffi = (globalThis as { Deno?: DenoFfi }).Deno;
  if (ffi === undefined) return undefined;
  const { symbols } = ffi.dlopen(library, {
    syscall: { parameters: INTEGERS, result: "i32" },
    fsync: { parameters: ["i32"], result: "i32", nonblocking: true },
    syncfs: { parameters: ["i32"], result: "i32", nonblocking: true },
    __errno_location: { parameters: [], result: "pointer" },
  });
  const { syscall, fsync: fsyncElsewhere, syncfs, __errno_location: errnoLocation } = symbols;
  if (syscall === undefined || fsyncElsewhere === undefined || errnoLocation === undefined) {
    return undefined;
  }
  const errnoView = new ffi.UnsafePointerView(errnoLocation());
  return {
    syscall: syscall as (...values: number[]) => number,
    errno: () => errnoView.getInt32(),
    // `.buffer` moves a small view's bytes off V8's heap, where the collector could move them.
    address: (bytes) =>
      Number(ffi.UnsafePointer.value(ffi.UnsafePointer.of(bytes.buffer))) + bytes.byteOffset,
    // The error number stays in the other thread. It is not needed, because a failed sync is final
    // (I41).
    sync: async (fd) => ((await fsyncElsewhere(fd)) === 0 ? 0 : -EIO),
    syncFileSystem: async (fd) => ((await syncfs?.(fd)) === 0 ? 0 : -EIO),
  };
}
