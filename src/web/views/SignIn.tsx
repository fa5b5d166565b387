/** Asks for the token, where the server wants one. */
import { useState } from "preact/hooks";
import { problemOf } from "../model/api.ts";
import { signIn, startProblem } from "../model/session.ts";

export function SignIn() {
  const [text, setText] = useState("");
  const [isWrong, setWrong] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const enter = async () => {
    setBusy(true);
    setWrong(!(await signIn(text)));
    setBusy(false);
  };
  const reason = startProblem.value;
  return (
    <main class="sign-in">
      <img src={icon()} alt="" width={48} height={48} />
      <h1>synced</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          enter().catch((error) => problemOf(error));
        }}
      >
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          aria-describedby="token-help"
          aria-invalid={isWrong}
        />
        <button type="submit" class="primary" disabled={text.trim() === "" || isBusy}>
          Sign in
        </button>
      </form>
      {isWrong ? (
        <p class="trouble" role="alert">
          {reason?.status === 401
            ? "The server does not know this token."
            : (reason?.message ?? "")}
        </p>
      ) : null}
      <p id="token-help" class="faint">
        It is the text in the file that <code>--token-file</code> names for <code>synced sync</code>
        . It stays in this tab and is forgotten when you close it.
      </p>
    </main>
  );
}

function icon(): string {
  return document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.href ?? "";
}
