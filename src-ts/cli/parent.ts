/**
 * Notices that the npm which runs us has ended. npx and `npm run` start `sh -c mlx-serving …` and pass SIGTERM
 * to that shell alone: it dies of it, npm after it, and nobody tells us.
 *
 * Only where npm's own shell is what started us: whoever makes a daemon (`mlx-serving serve &`, nohup, a
 * program that starts us and ends) wants it to go on, and elsewhere a parent may go as it likes.
 */

const lookEveryMs = 500;

export interface Parent {
  env: NodeJS.ProcessEnv;
  /** The process id of the present parent. */
  id(): number;
}

const ourParent: Parent = { env: process.env, id: () => process.ppid };
/** Read as early as can be, before anything may have happened to it. */
const firstId = process.ppid;

/** What npm was told to run, if it was told to run us, and to wait for us. */
export function isRunByNpm(env: NodeJS.ProcessEnv): boolean {
  const script = env.npm_lifecycle_event === undefined ? "" : (env.npm_lifecycle_script ?? "");
  const words = script.replace(/["']/g, "").split(/\s+/);
  const namesUs = words.some((word) => /(^|\/)mlx-serving(@.*)?$/.test(word));
  const letsGo = /(^|[^&>])&(?![&>])|\b(nohup|setsid|disown|daemonize)\b/.test(script);
  return namesUs && !letsGo;
}

/** Calls `onGone` once the parent has gone, until the result is called. Keeps no process alive. */
export function followParent(
  onGone: () => void,
  { env, id }: Parent = ourParent,
  first = firstId,
): () => void {
  // Nobody inherits from the first process: it is npm itself, in a container.
  if (!isRunByNpm(env) || first === 1) return () => {};
  const timer = setInterval(() => {
    if (id() === first) return;
    clearInterval(timer);
    onGone();
  }, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
