// One response in a component: what it shows, and what becomes of it, is the hook's.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useResponse } from "mlx-serving/react";

const server = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8088";

function Chat() {
  const [question, setQuestion] = useState("Why is the sky blue?");
  const { text, reasoning, status, running, usage, error, send, stop } = useResponse(server);
  const onSubmit = (event) => {
    event.preventDefault();
    void send({ input: question });
  };
  return (
    <form onSubmit={onSubmit}>
      <label>
        Question <input value={question} onChange={(event) => setQuestion(event.target.value)} required />
      </label>
      <button>Send</button>
      <button type="button" onClick={stop} disabled={!running}>
        Stop
      </button>
      {reasoning !== "" && <details><summary>Thoughts</summary>{reasoning}</details>}
      <p id="text" style={{ whiteSpace: "pre-wrap" }} aria-live="polite">{text}</p>
      <small id="status">{error?.message ?? status}{usage && `, ${usage.output_tokens} tokens`}</small>
    </form>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
