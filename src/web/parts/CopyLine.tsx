/** A line of text that is to be typed or sent elsewhere, with a button that copies it. */
import { Copy } from "lucide";
import { tell } from "../model/toast.ts";
import { Icon } from "./Icon.tsx";

export function CopyLine({ text }: { readonly text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <button type="button" onClick={(event) => copy(text, event.currentTarget)}>
        <Icon of={Copy} /> Copy
      </button>
    </div>
  );
}

/**
 * `navigator.clipboard` is missing on plain http. Beside the button, since nothing outside an open
 * dialog can be selected.
 */
function copy(text: string, beside: Element): void {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  beside.after(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  tell({ text: isCopied ? "Copied" : "Select the line to copy it" });
}
