/** Small things that whoever starts programs needs: a port for one, a signal to all that it has started. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * One of loopback that nobody listens on now.
 * @returns {Promise<number>}
 */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/**
 * To a program that was started `detached`, and to what it has started.
 * @param {number | undefined} pid Undefined: it never was.
 * @param {NodeJS.Signals} name
 */
export function signalGroup(pid, name) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch (error) {
    // ESRCH: it has ended already.
    if (error.code !== "ESRCH") throw error;
  }
}

/**
 * Has a program that was started `detached`, and what it has started, end with this process, however that ends: by a
 * signal nobody gets to tidy up.
 * @param {number | undefined} pid
 * @returns {() => void} Lets it go.
 */
export function endWithUs(pid) {
  if (pid === undefined) return () => {};
  const watch = spawn("sh", ["-c", 'cat > /dev/null; kill -s KILL -- "-$0"', String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watch.unref();
  // @ts-expect-error Node's pipes are sockets, and keep the process alive as those do.
  watch.stdin.unref();
  return () => signalGroup(watch.pid, "SIGKILL");
}
