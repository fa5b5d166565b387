/** The frame: which folder, which view, whether the server is there. */
import {
  Files as FilesIcon,
  Folders,
  GitFork,
  HelpCircle,
  History,
  Link as LinkIcon,
  LogOut,
  MonitorSmartphone,
  X,
} from "lucide";
import { isSignedOut, token } from "../model/api.ts";
import { conflicts } from "../model/conflicts.ts";
import { heldCount } from "../model/devices.ts";
import { connection, folder, head } from "../model/live.ts";
import { hrefOf, route, VIEWS, type View } from "../model/route.ts";
import { dialog } from "../model/screen.ts";
import { folders, signOut, start, startProblem } from "../model/session.ts";
import { numberText, timeText } from "../model/words.ts";
import { Icon } from "../parts/Icon.tsx";
import { Toast } from "../parts/Toast.tsx";
import { Activity } from "./Activity.tsx";
import { Conflicts } from "./Conflicts.tsx";
import { Devices } from "./Devices.tsx";
import { Dialogs } from "./Dialogs.tsx";
import { Files } from "./Files.tsx";
import { Links } from "./Links.tsx";
import { SignIn } from "./SignIn.tsx";

export function Page() {
  if (isSignedOut.value) return <SignIn />;
  const { folder: name } = route.value;
  const isStarting = name === undefined || startProblem.value !== undefined;
  if (folders.value === undefined && isStarting) return <Starting />;
  if (name === undefined) return <ChooseFolder />;
  return (
    <div class="frame">
      <Rail name={name} />
      <main>
        <Offline />
        <Shown name={name} />
      </main>
      <Dialogs folder={name} />
      <Toast />
    </div>
  );
}

function Shown({ name }: { readonly name: string }) {
  switch (route.value.view) {
    case "files":
      return <Files folder={name} />;
    case "activity":
      return <Activity folder={name} />;
    case "devices":
      return <Devices folder={name} />;
    case "conflicts":
      return <Conflicts folder={name} />;
    case "links":
      return <Links folder={name} />;
  }
}

function Starting() {
  const { value: problem } = startProblem;
  if (problem === undefined) return <div class="skeleton whole" aria-busy="true" />;
  return (
    <main class="sign-in">
      <h1>synced</h1>
      <p class="trouble" role="alert">
        {problem.message}
      </p>
      <button type="button" onClick={() => void start()}>
        Retry
      </button>
    </main>
  );
}

function ChooseFolder() {
  const { value: all = [] } = folders;
  return (
    <main class="sign-in">
      <h1>synced</h1>
      {all.length === 0 ? (
        <>
          <p>This server has no folder yet. On the machine whose files you want to sync:</p>
          <p class="command">
            <code>
              synced sync ~/notes --server {location.origin} --folder notes
              {token.value === "" ? "" : " --token-file token"}
            </code>
          </p>
          <button type="button" onClick={() => void start()}>
            Look again
          </button>
        </>
      ) : (
        <ul class="folders">
          {all.map(({ name, head: seq }) => (
            <li key={name}>
              <a href={hrefOf({ folder: name })}>
                <strong>{name}</strong>
                <span class="faint">event {numberText(seq)}</span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </main>
  );
}

const RAIL: Readonly<Record<View, { readonly title: string; readonly icon: typeof FilesIcon }>> = {
  files: { title: "Files", icon: FilesIcon },
  activity: { title: "Activity", icon: History },
  devices: { title: "Devices", icon: MonitorSmartphone },
  conflicts: { title: "Conflicts", icon: GitFork },
  links: { title: "Links", icon: LinkIcon },
};

function Rail({ name }: { readonly name: string }) {
  const { view } = route.value;
  const { value: all = [] } = folders;
  return (
    <nav class="rail" aria-label="Views">
      <div class="rail-top">
        <FolderChoice name={name} names={all.map((each) => each.name)} />
        {VIEWS.map((target) => (
          <a
            key={target}
            href={hrefOf({ view: target, folder: name })}
            aria-current={view === target ? "page" : undefined}
          >
            <Icon of={RAIL[target].icon} size={18} />
            <span>{RAIL[target].title}</span>
            <Badge of={target} />
          </a>
        ))}
        {all.length < 2 ? null : (
          <a class="all-folders" href={hrefOf({})}>
            <Icon of={Folders} size={18} />
            <span>Folders</span>
          </a>
        )}
      </div>
      <div class="rail-bottom">
        <span class="connection">
          <Dot /> event {numberText(head.value)}
        </span>
        <button
          type="button"
          class="quiet keys-button"
          onClick={() => {
            dialog.value = { kind: "help" };
          }}
        >
          <Icon of={HelpCircle} size={18} />
          <span>Keys</span>
        </button>
        {token.value === "" ? null : (
          <button type="button" class="quiet" onClick={signOut}>
            <Icon of={LogOut} size={18} />
            <span>Sign out</span>
          </button>
        )}
      </div>
    </nav>
  );
}

/** How many things in the view wait for a person. */
function Badge({ of: view }: { readonly of: View }) {
  const waiting =
    view === "conflicts" ? conflicts.value.length : view === "devices" ? heldCount.value : 0;
  return waiting === 0 ? null : <span class="badge wants">{numberText(waiting)}</span>;
}

function FolderChoice({
  name,
  names,
}: {
  readonly name: string;
  readonly names: readonly string[];
}) {
  if (names.length < 2) return <strong class="folder-name">{name}</strong>;
  return (
    <select
      class="folder-name"
      aria-label="Folder"
      value={name}
      onChange={(event) => {
        location.hash = hrefOf({ folder: event.currentTarget.value });
      }}
    >
      {names.map((each) => (
        <option key={each} value={each}>
          {each}
        </option>
      ))}
    </select>
  );
}

function Dot() {
  const { kind } = connection.value;
  const says = { connecting: "Connecting", connected: "Connected", cut: "No connection" }[kind];
  return <span class={`dot ${kind}`} role="img" aria-label={says} title={says} />;
}

function Offline() {
  const { value: state } = connection;
  if (state.kind !== "cut" || folder.value === undefined) return null;
  return (
    <div class="offline" role="status">
      <Icon of={X} /> No connection since {timeText(state.since)}. Shown as of event{" "}
      {numberText(head.value)}; it goes on by itself.
    </div>
  );
}
