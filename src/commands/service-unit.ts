/**
 * Makes the files by which systemd and launchd run `synced serve` and `synced sync`. Pure. Rules:
 * X11.
 */
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";

export interface Service {
  readonly kind: "serve" | "sync";
  /** The unit's name, without an ending. */
  readonly name: string;
  /** For people: `server`, or `sync of /home/ann/notes`. */
  readonly description: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Relative paths in the arguments begin there. */
  readonly directory: string;
  /** Of a system service: as whom it runs, and the only directory that it may write. */
  readonly system?: { readonly user: string; readonly data: string };
}

/** Files that do not begin so are somebody else's: never written over, never removed. */
export const SERVICE_MARK = "Written by synced service install";

/**
 * Time does not mend these: the command line, the data, a token, a folder that is in use or was
 * deleted on the server.
 */
const FINAL: Readonly<Record<Service["kind"], readonly number[]>> = {
  serve: [EXIT.usage, EXIT.unusable],
  sync: [EXIT.usage, EXIT.held, EXIT.wrongServer, EXIT.unauthorised, EXIT.unusable, EXIT.inUse],
};

/** Those that a user's own systemd can set up without any privilege; a JIT needs the rest. */
const HARDENING = [
  "NoNewPrivileges=true",
  "LockPersonality=true",
  "RestrictRealtime=true",
  "RestrictSUIDSGID=true",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
];
const SYSTEM_HARDENING = [
  "ProtectSystem=strict",
  "ProtectHome=true",
  "PrivateTmp=true",
  "PrivateDevices=true",
  "ProtectKernelTunables=true",
  "ProtectKernelModules=true",
  "ProtectControlGroups=true",
  "CapabilityBoundingSet=",
];

/** @throws {SyncedError} `usage` for arguments that a unit cannot hold */
export function systemdUnit(service: Service): string {
  const { kind, description, command, directory, system } = service;
  const network = ["After=network-online.target", "Wants=network-online.target"];
  const account =
    system === undefined
      ? [`WorkingDirectory=${plain(directory)}`]
      : [`User=${system.user}`, `ReadWritePaths=${plain(system.data)}`];
  const lines = [
    `# ${SERVICE_MARK}`,
    "[Unit]",
    `Description=synced ${plain(description)}`,
    ...(system === undefined ? [] : network),
    "",
    "[Service]",
    ...account,
    ...(kind === "serve" ? ["UMask=0077"] : []),
    `ExecStart=${command.map(quoted).join(" ")}`,
    "Restart=on-failure",
    "RestartSec=5",
    `SuccessExitStatus=${EXIT.terminated}`,
    `RestartPreventExitStatus=${FINAL[kind].join(" ")}`,
    ...HARDENING,
    ...(system === undefined ? [] : SYSTEM_HARDENING),
    "",
    "[Install]",
    `WantedBy=${system === undefined ? "default.target" : "multi-user.target"}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** @param log where messages go */
export function launchdAgent({ name, command, directory }: Service, log: string): string {
  const rows = [
    ["Label", `<string>${xml(name)}</string>`],
    [
      "ProgramArguments",
      `<array>${command.map((one) => `<string>${xml(one)}</string>`).join("")}</array>`,
    ],
    ["WorkingDirectory", `<string>${xml(directory)}</string>`],
    ["RunAtLoad", "<true/>"],
    ["KeepAlive", "<dict><key>SuccessfulExit</key><false/></dict>"],
    ["ThrottleInterval", "<integer>30</integer>"],
    ["StandardErrorPath", `<string>${xml(log)}</string>`],
  ];
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<!-- ${SERVICE_MARK} -->`,
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0"><dict>',
    ...rows.map(([key, value]) => `  <key>${key}</key>${value}`),
    "</dict></plist>",
    "",
  ].join("\n");
}

/** One word of a command line: no specifier, variable or escape is left in it. */
function quoted(word: string): string {
  const escaped = plain(word).replace(/[\\"]/g, "\\$&").replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_.,:=/@%+-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** A value on a line of its own. */
function plain(text: string): string {
  if (/\p{Cc}/u.test(text)) {
    throw new SyncedError("usage", `Cannot write ${JSON.stringify(text)} into a service's file`);
  }
  return text.replaceAll("%", "%%");
}

function xml(text: string): string {
  return plain(text)
    .replaceAll("%%", "%")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
