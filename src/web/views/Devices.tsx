/** The folder's devices: how far each of them is. */
import { useEffect, useState } from "preact/hooks";
import type { Device } from "../model/answers.ts";
import { problemOf } from "../model/api.ts";
import { deviceName, devices, loadDevices } from "../model/devices.ts";
import { head } from "../model/live.ts";
import { browser } from "../model/session.ts";
import { countText, exactTimeText, numberText, timeText } from "../model/words.ts";

const LOOK_MS = 5_000;
/** A device that is on reports at each event, and else every now and then. */
const OFFLINE_AFTER_MS = 10 * 60_000;

export function Devices({ folder }: { readonly folder: string }) {
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    const look = () => {
      loadDevices(folder)
        .then(() => setTrouble(""))
        .catch((error: unknown) => setTrouble(problemOf(error).message));
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [folder]);
  const machines = devices.value.filter(({ device }) => device !== browser.id);
  const inSync = machines.filter(({ applied }) => applied.seq >= head.value).length;
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
            synced sync ~/{folder} --server {location.origin} --folder {folder}
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
  const { applied, seenTime } = device;
  const behind = Math.max(0, head.value - applied.seq);
  const isAway = Date.now() - new Date(seenTime).getTime() > OFFLINE_AFTER_MS;
  const isMe = device.device === browser.id;
  const [state, word] = isMe
    ? ["me", "this browser"]
    : behind === 0
      ? ["fine", "in sync"]
      : ["behind", `${numberText(behind)} behind`];
  return (
    <li>
      <strong>{isMe ? device.name : deviceName(device.device)}</strong>
      <span class={`state ${state}`}>{word}</span>
      <span class="faint">event {numberText(applied.seq)}</span>
      <span class="faint" title={exactTimeText(seenTime)}>
        {isAway ? "last heard of" : "heard of"} {timeText(seenTime)}
      </span>
    </li>
  );
}
