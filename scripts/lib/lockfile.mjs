/** What package-lock.json must hold so that `npm ci` takes it on every platform. */

const systems = [
  "darwin",
  "linux",
  "win32",
  "android",
  "freebsd",
  "netbsd",
  "openbsd",
  "sunos",
  "aix",
  "openharmony",
];
const processors = [
  "arm64",
  "x64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
];

/**
 * Packages that another one names as optional, with an exact version, and that have no entry.
 * @param {{ packages: Record<string, any> }} lock
 * @returns {{ key: string, entry: object }[]}
 */
export function missingOptional({ packages }) {
  const missing = new Map();
  for (const [parent, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const key = `node_modules/${name}`;
      const isPinned = /^\d+\.\d+\.\d+\S*$/.test(version);
      if (!isPinned || key in packages || `${parent}/${key}` in packages) continue;
      missing.set(key, { key, entry: entryOf(name, version, dev) });
    }
  }
  return [...missing.values()];
}

/** Names of such packages end in their platform: `@biomejs/cli-linux-x64-musl`. */
function entryOf(name, version, dev) {
  const words = name.split(/[/-]/);
  const one = (values) => values.filter((value) => words.includes(value));
  return {
    version,
    cpu: one(processors),
    ...(dev ? { dev: true } : {}),
    ...(words.includes("musl") ? { libc: ["musl"] } : {}),
    optional: true,
    os: one(systems),
  };
}
