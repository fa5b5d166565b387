/** A name or path: text only, with each character that does not show written out. */
import { printableName, printablePieces } from "../../core/printable.ts";

/** The extension stays in sight when the rest is cut. */
export function Name({ name }: { readonly name: string }) {
  const dot = name.lastIndexOf(".");
  const hasExtension = dot > 0 && name.length - dot <= 12;
  const [stem, extension] = hasExtension ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  return (
    <span class="name" title={printableName(name)}>
      <bdi class="stem">{pieces(stem)}</bdi>
      {extension === "" ? null : <bdi class="extension">{pieces(extension)}</bdi>}
    </span>
  );
}

/** A whole path, which may break between names. */
export function Path({ path }: { readonly path: string }) {
  return (
    <bdi class="path" title={printableName(path)}>
      {pieces(path)}
    </bdi>
  );
}

function pieces(text: string) {
  return printablePieces(text).map((piece) =>
    piece.kind === "text" ? piece.text : <span class="code">{piece.text}</span>,
  );
}
