/** Asks for a key. It goes to the server once, and is in no storage and no address. */
import { useState } from "preact/hooks";
import { ApiError, isKey, signIn, wasSignedIn } from "../server/session.js";
import { t } from "../strings.js";
import { Logo } from "./nav.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    const given = key.trim();
    if (given === "") return setProblem(t.signIn.empty);
    if (!isKey(given)) return setProblem(t.signIn.notAKey);
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(given);
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  return (
    <div class="sign-in">
      <form class="card" onSubmit={submit}>
        <Logo />
        <h1>{t.signIn.title}</h1>
        <p class="muted">{wasSignedIn.value ? t.signIn.ended : t.signIn.why}</p>
        <label class="field">
          <span>{t.signIn.key}</span>
          <input
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            value={key}
            aria-invalid={problem !== undefined}
            aria-describedby="sign-in-problem"
            onInput={({ currentTarget }) => setKey(currentTarget.value)}
          />
        </label>
        <p id="sign-in-problem" class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="primary" disabled={busy}>
          {t.signIn.submit}
        </button>
      </form>
    </div>
  );
}

function problemOf(error: unknown): string {
  if (error instanceof ApiError)
    return error.status === 401 ? t.signIn.unknown : t.signIn.failed(error.message);
  return t.connection.unreachable;
}
