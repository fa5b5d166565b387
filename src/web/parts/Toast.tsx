/** Tells of the last action, and the step that takes it back. */
import { X } from "lucide";
import { dismiss, toast } from "../model/toast.ts";
import { Icon } from "./Icon.tsx";

export function Toast() {
  const { value: message } = toast;
  return (
    <div class="toasts" role="status" aria-live="polite">
      {message === undefined ? null : (
        <div class={message.isTrouble === true ? "toast trouble" : "toast"}>
          <span>{message.text}</span>
          {message.action === undefined ? null : (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                dismiss();
                message.action?.run();
              }}
            >
              {message.action.label}
            </button>
          )}
          <button type="button" class="quiet icon-only" aria-label="Close" onClick={dismiss}>
            <Icon of={X} />
          </button>
        </div>
      )}
    </div>
  );
}
