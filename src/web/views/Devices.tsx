/** The folder's devices: how far each of them is. */
import { useEffect, useState } from "preact/hooks";
import type { DeviceOrder } from "../../core/device-order.ts";
import type { Device, Held as HeldChange } from "../model/answers.ts";
import { problemOf } from "../model/api.ts";
import {
  behindOf,
  deviceName,
  devices,
  loadDevices,
  loadUsage,
  order,
  standing,
  takeBackHeld,
  usage,
} from "../model/devices.ts";
import { browser } from "../model/session.ts";
import { tell, tellProblem } from "../model/toast.ts";
import { countText, exactTimeText, numberText, sizeText, timeText } from "../model/words.ts";
import { Path } from "../parts/Name.tsx";

const LOOK_MS = 2_000;
const HOUR_MS = 3_600_000;
/** A device that is on reports at each event, and else every now and then. */
const OFFLINE_AFTER_MS = 10 * 60_000;

export function Devices({ folder: name }: { readonly folder: string }) {
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    const look = () => {
      Promise.all([loadDevices(name), loadUsage(name)])
        .then(() => setTrouble(""))
        .catch((error: unknown) => setTrouble(problemOf(error).message));
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [name]);
  const machines = devices.value.filter(({ kind }) => kind !== "page");
  const inSync = machines.filter((each) => standing(each) === "in_sync").length;
  return (
    <section class="view" aria-label="Devices">
      <header>
        <h1>Devices</h1>
        <p class="faint" role="status">
          {machines.length === 0
            ? ""
            : `${numberText(inSync)} of ${countText(machines.length, "device")} in sync`}
        </p>
      </header>
      <Storage />
      {trouble === "" ? null : (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      {machines.length === 0 ? (
        <div class="empty">
          <p>No device syncs this folder yet.</p>
          <code>
            synced sync ~/{name} --server {location.origin} --folder {name}
          </code>
        </div>
      ) : null}
      <ul class="devices">
        {devices.value.map((device) => (
          <Line key={device.device} device={device} folder={name} />
        ))}
      </ul>
    </section>
  );
}

function Storage() {
  const { value } = usage;
  if (value === undefined) return null;
  const { files, bytes, quotaBytes, storeBytes, roomBytes } = value;
  const of = quotaBytes === undefined ? "" : ` of ${sizeText(quotaBytes)}`;
  return (
    <p class="storage">
      {countText(files, "file")}, {sizeText(bytes)}
      {of}
      {storeBytes === undefined ? null : (
        <span class="faint">
          {" "}
          · every version of every folder takes {sizeText(storeBytes)} of the server's disk
          {roomBytes === undefined
            ? ""
            : `, which has room for ${sizeText(Math.max(0, roomBytes))}`}
        </span>
      )}
      {quotaBytes === undefined ? null : (
        <meter
          aria-label="Part of the quota that is used"
          min={0}
          max={quotaBytes}
          high={0.9 * quotaBytes}
          value={bytes}
        />
      )}
    </p>
  );
}

function Line({ device, folder }: { readonly device: Device; readonly folder: string }) {
  const { applied, seenTime, held, paused, problems = 0, orders = [] } = device;
  const isAway = Date.now() - new Date(seenTime).getTime() > OFFLINE_AFTER_MS;
  const isMe = device.device === browser.id;
  const name = isMe ? device.name : deviceName(device.device);
  const [state, word] = stateOf(device);
  return (
    <li aria-label={name}>
      <strong>{name}</strong>
      <span class={`state ${state}`}>{word}</span>
      <span class="faint">event {numberText(applied.seq)}</span>
      <span class="faint" title={exactTimeText(seenTime)}>
        {isAway ? "last heard of" : "heard of"} {timeText(seenTime)}
      </span>
      {device.kind === "page" ? null : <Work device={device} />}
      {paused === undefined ? null : (
        <p class="more faint">
          What changes here or there waits
          {paused.until === undefined ? " until it goes on" : ` until ${timeText(paused.until)}`}.
        </p>
      )}
      {orders.map(({ id, order: { kind } }) => (
        <p key={id} class="more faint" role="status">
          {ASKED[kind]}. {name} does it as soon as it hears of it.
        </p>
      ))}
      {problems === 0 ? null : (
        <p class="more faint">
          {countText(problems, "path is left alone there", "paths are left alone there")}. On that
          machine <code>synced status ~/{folder}</code> says why.
        </p>
      )}
      {held === undefined ? null : <Held held={held} device={device} name={name} folder={folder} />}
    </li>
  );
}

const ASKED: Readonly<Record<DeviceOrder["kind"], string>> = {
  pause: "Asked to pause",
  resume: "Asked to go on",
  approve: "Asked to let it through",
  reject: "Asked to bring everything back",
};

function give(device: string, wanted: DeviceOrder): void {
  order(device, wanted).catch((error: unknown) => tellProblem(problemOf(error).message));
}

function Work({ device }: { readonly device: Device }) {
  const { device: id, paused } = device;
  const name = deviceName(id);
  if (paused !== undefined) {
    return (
      <span class="buttons">
        <button
          type="button"
          aria-label={`Let ${name} go on`}
          onClick={() => give(id, { kind: "resume" })}
        >
          Resume
        </button>
      </span>
    );
  }
  const inAnHour = () => new Date(Date.now() + HOUR_MS).toISOString();
  return (
    <span class="buttons">
      <button
        type="button"
        class="quiet"
        aria-label={`Pause ${name} for an hour`}
        onClick={() => give(id, { kind: "pause", until: inAnHour() })}
      >
        Pause 1 h
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`Pause ${name}`}
        onClick={() => give(id, { kind: "pause" })}
      >
        Pause
      </button>
    </span>
  );
}

interface HeldProps {
  readonly held: HeldChange;
  readonly device: Device;
  readonly name: string;
  readonly folder: string;
}

function Held({ held, device, name, folder }: HeldProps) {
  const { id, direction, reason, count, examples = [], answers = [] } = held;
  const more = count - examples.length;
  const isUp = direction === "up";
  return (
    <section class="more holding" aria-label={`Held by ${name}`}>
      <h2>{capital(reason.replaceAll("this device", name))}</h2>
      <p>
        {isUp
          ? "Nothing of it is on the server yet. Everything else goes on."
          : `Nothing of it is done on ${name} yet. Everything else goes on.`}
      </p>
      {examples.length === 0 ? null : (
        <ul class="examples">
          {examples.map((path) => (
            <li key={path}>
              <Path path={path} />
            </li>
          ))}
          {more > 0 ? <li class="faint">and {numberText(more)} more</li> : null}
        </ul>
      )}
      <div class="buttons">
        {answers.includes("reject") ? (
          <button
            type="button"
            class="primary"
            onClick={() => give(device.device, { kind: "reject", held: id })}
          >
            No: bring them back
          </button>
        ) : null}
        {isUp ? null : (
          <button type="button" class="primary" onClick={() => proposeTakingBack(held)}>
            Take it back for everybody…
          </button>
        )}
        {answers.includes("approve") ? (
          <button type="button" onClick={() => give(device.device, { kind: "approve", held: id })}>
            Let it through
          </button>
        ) : null}
      </div>
      {answers.includes("approve") ? null : (
        <p class="faint">
          To let it through, on {name}: <code>synced approve ~/{folder}</code>
          {isUp ? null : (
            <>
              . What is done there is decided there, unless it was started with{" "}
              <code>synced sync ~/{folder} --trust-approvals on</code>
            </>
          )}
        </p>
      )}
    </section>
  );
}

function proposeTakingBack(held: HeldChange): void {
  takeBackHeld(held)
    .then((isKnown) => {
      if (!isKnown) tell({ text: "The log does not tell who did it: look into Activity" });
    })
    .catch((error: unknown) => tellProblem(problemOf(error).message));
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Its colour and its word. */
function stateOf(device: Device): readonly [string, string] {
  if (device.device === browser.id) return ["me", "this browser"];
  if (device.kind === "page") return ["me", "a browser"];
  const state = standing(device);
  switch (state) {
    case "in_sync":
      return ["fine", "in sync"];
    case "syncing":
      return ["behind", "syncing"];
    case "held":
      return ["held", `holds ${countText(device.held?.count ?? 0, "change")}`];
    case "paused":
      return ["behind", "paused"];
    case "behind":
      return ["behind", `${numberText(behindOf(device))} behind`];
    case "unknown":
      return ["me", "does not say"];
    default:
      return state satisfies never;
  }
}
