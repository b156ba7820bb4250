// A page without a build step: one response, drawn as it comes, which a reload of the page takes up again.
//   ?server=http://127.0.0.1:8088 names the server
import { createResponseStore } from "mlx-serving/browser";

const server = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8088";
const store = createResponseStore(server);
const element = (id) => document.getElementById(id);

store.subscribe(() => {
  const { text, status, running, usage, error, responseId } = store.getSnapshot();
  element("text").textContent = text;
  const tokens = usage === null ? "" : `, ${usage.output_tokens} tokens`;
  element("status").textContent = error === undefined ? status + tokens : `${error.code}: ${error.message}`;
  element("stop").disabled = !running;
  // The server goes on with it for a while (--resume-grace) when this page is gone.
  if (responseId !== undefined) sessionStorage.setItem("responseId", responseId);
});

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void store.send({ input: element("question").value });
});
element("stop").addEventListener("click", store.stop);

const responseId = sessionStorage.getItem("responseId");
if (responseId !== null) {
  await store.resume(responseId);
  // The server has forgotten it meanwhile.
  if (store.getSnapshot().error?.status === 404) store.reset();
}
