/** An icon of lucide, drawn from its data. It says nothing: the text beside it does. */
import type { IconNode } from "lucide";
import { h } from "preact";

export function Icon({ of, size = 16 }: { readonly of: IconNode; readonly size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      {of.map(([tag, attributes]) => h(tag, { ...attributes }))}
    </svg>
  );
}
