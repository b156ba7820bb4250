/** The client has gone: found out in one way, whatever its answer is. */
import type { FastifyReply } from "fastify";

type Answer = Pick<FastifyReply, "raw">;

/** Aborted once, when the client leaves before it has its whole answer. */
export function goneSignal(reply: Answer): AbortSignal {
  return watch(reply).signal;
}

/** For work before the answer: what listens to its signal is not kept any longer than that takes. */
export async function unlessGone<T>(
  reply: Answer,
  work: (gone: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, forget } = watch(reply);
  try {
    return await work(signal);
  } finally {
    forget();
  }
}

function watch({ raw }: Answer): { signal: AbortSignal; forget(): void } {
  const gone = new AbortController();
  const closed = () => {
    if (!raw.writableFinished) gone.abort();
  };
  if (raw.destroyed) closed();
  else raw.once("close", closed);
  return { signal: gone.signal, forget: () => raw.off("close", closed) };
}
