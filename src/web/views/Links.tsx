/** Share links: what each shows and until when, and the button that ends it. */
import { useEffect } from "preact/hooks";
import type { LinkInfo } from "../../protocol/link-messages.ts";
import { problemOf } from "../model/api.ts";
import { links, linksProblem, loadLinks, revokeLink } from "../model/links.ts";
import { at, hrefOf } from "../model/route.ts";
import { dialog } from "../model/screen.ts";
import { tell, tellProblem } from "../model/toast.ts";
import { countText, exactTimeText, numberText, timeText } from "../model/words.ts";
import { Path } from "../parts/Name.tsx";

export function Links({ folder }: { readonly folder: string }) {
  useEffect(() => void loadLinks(folder), [folder]);
  const { value: all } = links;
  const { value: problem } = linksProblem;
  return (
    <section class="view" aria-label="Links">
      <header>
        <h1>Links</h1>
        <span class="faint" role="status">
          {all === undefined || all.length === 0 ? "" : countText(all.length, "link")}
        </span>
      </header>
      {problem === undefined ? null : (
        <div class="empty" role="alert">
          <p>{problem.message}</p>
          <button type="button" onClick={() => void loadLinks(folder)}>
            Retry
          </button>
        </div>
      )}
      {all?.length === 0 ? <None folder={folder} /> : null}
      <ul class="devices links">
        {all?.map((link) => (
          <Link key={link.id} link={link} folder={folder} />
        ))}
      </ul>
    </section>
  );
}

function None({ folder }: { readonly folder: string }) {
  return (
    <div class="empty">
      <p>
        Nothing is shared. A link shows one file or folder to whoever has it, until it ends; choose
        one in Files, then Share.
      </p>
      <span class="buttons">
        <a class="button" href={hrefOf({ folder })}>
          Files
        </a>
        <button
          type="button"
          onClick={() => {
            dialog.value = { kind: "share", path: "", at: at.value };
          }}
        >
          Share all of {folder}…
        </button>
      </span>
    </div>
  );
}

function Link({ link, folder }: { readonly link: LinkInfo; readonly folder: string }) {
  const { id, path, at: moment, created, expires, hasPassword, over } = link;
  const revoke = () =>
    revokeLink(folder, id).then(
      () => tell({ text: "Revoked: it opens nothing any more" }),
      (error: unknown) => tellProblem(problemOf(error).message),
    );
  return (
    <li>
      <strong>
        <Path path={path === "" ? folder : path} />
      </strong>
      <span class={over === undefined ? "state fine" : "state me"}>
        {over === undefined
          ? hasPassword
            ? "with a password"
            : "open"
          : over === "expired"
            ? "expired"
            : "its token ended"}
      </span>
      <span class="faint">
        {moment === undefined ? "follows changes" : `event ${numberText(moment)}`}
      </span>
      <span class="faint" title={`Made ${exactTimeText(created)}`}>
        {over === "expired" ? "ended" : "until"} {timeText(expires)}
      </span>
      <span class="buttons">
        <button
          type="button"
          aria-label={`Revoke the link to ${path === "" ? folder : path}`}
          onClick={() => void revoke()}
        >
          Revoke
        </button>
      </span>
    </li>
  );
}
