/** Makes a share link, and shows its address once. */
import { useEffect, useRef, useState } from "preact/hooks";
import { LINK_PASSWORD_LENGTH_MIN } from "../../core/limits.ts";
import { problemOf } from "../model/api.ts";
import { loadLinks, makeLink } from "../model/links.ts";
import { numberText } from "../model/words.ts";
import { CopyLine } from "../parts/CopyLine.tsx";
import { Dialog } from "../parts/Dialog.tsx";

const DAY_MS = 86_400_000;

const LIVES: readonly (readonly [number, string])[] = [
  [DAY_MS, "a day"],
  [7 * DAY_MS, "a week"],
  [30 * DAY_MS, "30 days"],
  [365 * DAY_MS, "a year"],
];

interface ShareProps {
  readonly folder: string;
  /** "" is all of the folder. */
  readonly path: string;
  /** The moment that is looked at; undefined is now. */
  readonly at: number | undefined;
  readonly onClose: () => void;
}

export function Share({ folder, path, at, onClose }: ShareProps) {
  const [follows, setFollows] = useState(false);
  const [lifeMs, setLife] = useState(7 * DAY_MS);
  const [password, setPassword] = useState("");
  const [address, setAddress] = useState<string | undefined>(undefined);
  const [trouble, setTrouble] = useState("");
  const primary = useRef<HTMLButtonElement>(null);
  // Enter makes the link as it is proposed, and Enter again closes.
  useEffect(() => primary.current?.focus(), [address]);
  const make = async () => {
    try {
      setAddress(await makeLink({ path, at, follows, lifeMs, password }));
      await loadLinks(folder);
    } catch (error) {
      setTrouble(problemOf(error).message);
    }
  };
  const name = path === "" ? folder : path.slice(path.lastIndexOf("/") + 1);
  return (
    <Dialog title={`Share ${name}`} onClose={onClose}>
      {address === undefined ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void make();
          }}
        >
          <label for="shown">Whoever has the link sees it</label>
          <select
            id="shown"
            value={follows ? "follows" : "pinned"}
            onChange={(event) => setFollows(event.currentTarget.value === "follows")}
          >
            <option value="pinned">
              {at === undefined ? "as it is now" : `as it was at event ${numberText(at)}`}
            </option>
            <option value="follows">as it is whenever they look</option>
          </select>
          <label for="life">for</label>
          <select
            id="life"
            value={lifeMs}
            onChange={(event) => setLife(Number(event.currentTarget.value))}
          >
            {LIVES.map(([ms, says]) => (
              <option key={ms} value={ms}>
                {says}
              </option>
            ))}
          </select>
          <label for="link-password">with a password (may be left empty)</label>
          <input
            id="link-password"
            type="password"
            autocomplete="new-password"
            minLength={LINK_PASSWORD_LENGTH_MIN}
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
          {trouble === "" ? null : (
            <p class="trouble" role="alert">
              {trouble}
            </p>
          )}
          <div class="dialog-buttons">
            <button type="button" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" class="primary" ref={primary}>
              Make the link
            </button>
          </div>
        </form>
      ) : (
        <>
          <CopyLine text={address} />
          <p class="faint below">It is shown this once. Links lists it, and ends it.</p>
          <div class="dialog-buttons">
            <button type="button" class="primary" ref={primary} onClick={onClose}>
              Close
            </button>
          </div>
        </>
      )}
    </Dialog>
  );
}
