/** The folder's devices: how far each of them is. */
import { useEffect, useState } from "preact/hooks";
import { type DeviceStanding, standingOf } from "../../core/device-state.ts";
import type { Device } from "../model/answers.ts";
import { problemOf } from "../model/api.ts";
import { deviceName, devices, loadDevices } from "../model/devices.ts";
import { folder, head } from "../model/live.ts";
import { browser } from "../model/session.ts";
import { countText, exactTimeText, numberText, timeText } from "../model/words.ts";

const LOOK_MS = 5_000;
/** A device that is on reports at each event, and else every now and then. */
const OFFLINE_AFTER_MS = 10 * 60_000;

export function Devices({ folder: name }: { readonly folder: string }) {
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    const look = () => {
      loadDevices(name)
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
          <Line key={device.device} device={device} />
        ))}
      </ul>
    </section>
  );
}

function Line({ device }: { readonly device: Device }) {
  const { applied, seenTime, held, problems = 0 } = device;
  const isAway = Date.now() - new Date(seenTime).getTime() > OFFLINE_AFTER_MS;
  const isMe = device.device === browser.id;
  const [state, word] = stateOf(device);
  return (
    <li>
      <strong>{isMe ? device.name : deviceName(device.device)}</strong>
      <span class={`state ${state}`}>{word}</span>
      <span class="faint">event {numberText(applied.seq)}</span>
      <span class="faint" title={exactTimeText(seenTime)}>
        {isAway ? "last heard of" : "heard of"} {timeText(seenTime)}
      </span>
      {problems === 0 ? null : (
        <p class="more faint">
          {countText(problems, "path is left alone there", "paths are left alone there")}: synced
          status says why
        </p>
      )}
      {held === undefined ? null : <Held held={held} />}
    </li>
  );
}

function Held({ held }: { readonly held: NonNullable<Device["held"]> }) {
  const where = held.direction === "up" ? "from there to the server" : "from the server to there";
  return (
    <p class="more">
      Held: {held.reason} ({countText(held.count, "change")} {where}). To let it through, on that
      machine: <code>synced approve FOLDER</code>
    </p>
  );
}

function behindOf({ applied }: Device): number {
  const isSame = applied.epoch === folder.value?.epoch;
  return isSame ? Math.max(0, head.value - applied.seq) : head.value;
}

function standing(device: Device): DeviceStanding {
  return standingOf(device, behindOf(device) === 0);
}

/** Its colour and its word. */
function stateOf(device: Device): readonly [string, string] {
  if (device.device === browser.id) return ["me", "this browser"];
  if (device.kind === "page") return ["me", "a browser"];
  switch (standing(device)) {
    case "in_sync":
      return ["fine", "in sync"];
    case "syncing":
      return ["behind", "syncing"];
    case "held":
      return ["held", `holds ${countText(device.held?.count ?? 0, "change")}`];
    case "behind":
      return ["behind", `${numberText(behindOf(device))} behind`];
    case "unknown":
      return ["me", "does not say"];
  }
}
