/** The last frames of one client, as little of each as explains a broken promise. */

const framesMax = 20_000;
const shownMax = 40;

export class Recorder {
  #frames = [];

  /** The platform's ports, with every frame noted on its way. */
  ports(platform) {
    return {
      ...platform,
      openSocket: (url, options, handlers) => {
        this.#note("open", {});
        const socket = platform.openSocket(url, options, this.#listening(handlers));
        const send = (text) => {
          this.#note("sent", JSON.parse(text));
          socket.send(text);
        };
        return wrapped(socket, { send });
      },
    };
  }

  /** What was said in a lane, or of the connection itself; runs of deltas in one line. */
  of(lane) {
    const wanted = this.#frames.filter((frame) => frame.lane === lane || frame.lane === undefined);
    const joined = wanted.filter(
      ({ type }, i) => !type.endsWith(".delta") || type !== wanted[i + 1]?.type,
    );
    return joined.slice(-shownMax).map(textOf);
  }

  #listening(handlers) {
    return wrapped(handlers, {
      onText: (text) => {
        this.#note("got", JSON.parse(text));
        handlers.onText(text);
      },
      onClose: (code, reason) => {
        this.#note(`closed ${code}`, {});
        handlers.onClose(code, reason);
      },
    });
  }

  #note(what, message) {
    const { type = "", stream_id: lane, sequence_number: number, response_id, response } = message;
    const id = response_id ?? response?.id;
    const code = message.error?.code ?? response?.error?.code;
    this.#frames.push({ at: performance.now(), what, type, lane, number, id, code });
    if (this.#frames.length > framesMax) this.#frames.shift();
  }
}

/** The same object with some methods of ours in front. */
function wrapped(object, methods) {
  return new Proxy(object, {
    get: (target, name) => methods[name] ?? target[name]?.bind(target),
  });
}

function textOf({ at, what, type, number, id, code }) {
  const parts = [(at / 1000).toFixed(2), what, type, number, id?.slice(-6), code];
  return parts.filter((part) => part !== undefined && part !== "").join(" ");
}
