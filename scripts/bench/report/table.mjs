/** The result as Markdown: a table a scenario, with what could not be measured and why. */
import { digits, formatSpread, formatValue, timesBetter } from "./format.mjs";

/** Of other work on the machine; below it a figure is as good as it gets. */
const busyShareMax = 0.1;

/**
 * @param {import("./result.mjs").Result} result
 * @returns {string}
 */
export function tableOf(result) {
  const parts = [headOf(result), ...result.scenarios.map((one) => scenarioOf(one, result.servers))];
  return `${parts.join("\n\n")}\n`;
}

function headOf({ machine, scenarios, servers }) {
  const { cpu, cpus, memoryBytes, platform, arch, node } = machine;
  const memory = `${Math.round(memoryBytes / 2 ** 30)} GiB`;
  const lines = [
    `${cpus} × ${cpu ?? "unknown processor"}, ${memory}, ${platform} ${arch}, Node ${node}.`,
  ];
  const busy = scenarios.map(({ busyBefore }) => busyBefore);
  if (Math.max(...busy) > busyShareMax)
    lines.unshift(
      `**The machine was not quiet: other work had ${percent(Math.min(...busy))} to ${percent(Math.max(...busy))} of its processors before the scenarios began. ` +
        "Ratios were measured side by side; single figures are too low, and all are to be made again: `npm run bench`.**",
    );
  const list = servers.map(({ title, version, command }) => {
    const which = version === undefined ? "" : `, ${version}`;
    return `- ${title}${which}: \`${command}\``;
  });
  return `${lines.join("\n\n")}\n\n${list.join("\n")}`;
}

const percent = (share) => `${Math.round(share * 100)} %`;

function scenarioOf(scenario, servers) {
  const { id, about, cases, measuredAt, commit, command, rounds, busyBefore, size } = scenario;
  const measured = servers.filter((server) =>
    cases.some((one) => hasFigures(one.servers[server.id])),
  );
  const small = size === "full" ? "" : `, ${size} loads`;
  const when = `${measuredAt.slice(0, 10)}, commit ${commit?.slice(0, 7) ?? "unknown"}`;
  const lines = [
    `### ${id}: ${about}`,
    "",
    `\`${command}\`; ${when}, ${rounds} round${rounds === 1 ? "" : "s"}${small}, other work ${percent(busyBefore)}.`,
    "",
  ];
  if (measured.length > 0) lines.push(...tableLines(cases, measured), "");
  lines.push(...reasonLines(cases, servers));
  return lines.join("\n").trimEnd();
}

const hasFigures = (cell) => cell !== undefined && Object.keys(cell.figures).length > 0;

function tableLines(cases, servers) {
  const head = ["load", "figure", ...servers.map(({ title }) => title)];
  const rows = cases.flatMap((one) => caseRows(one, servers));
  return [row(head), row(head.map(() => "---")), ...rows.map(row)];
}

const row = (cells) => `| ${cells.join(" | ")} |`;

function caseRows(one, servers) {
  const title = one.light ? `${one.title}, light` : one.title;
  const rows = one.figures
    .filter(({ id }) => servers.some((server) => one.servers[server.id]?.figures[id]))
    .map((figure) => [
      figure.title,
      ...servers.map((server) => figureCell(one, figure, server.id)),
    ]);
  const of = (read) => servers.map(({ id }) => read(one.servers[id]) ?? "–");
  rows.push(["tokens an answer", ...of(answerTokensOf)]);
  const memory = of((cell) => cell?.peakMemoryBytes && formatValue(cell.peakMemoryBytes, "bytes"));
  if (memory.some((cell) => cell !== "–")) rows.push(["peak memory", ...memory]);
  const failed = of((cell) => failuresOf(cell));
  if (failed.some((cell) => cell !== "–")) rows.push(["failed requests", ...failed]);
  return rows.map((cells, index) => [index === 0 ? title : "", ...cells]);
}

function figureCell({ servers, ratios }, { id, unit, better }, server) {
  const spread = servers[server]?.figures[id];
  if (spread === undefined) return "–";
  const ratio = ratios[server]?.[id];
  const text = formatSpread(spread, unit);
  return ratio === undefined
    ? text
    : `${text}; **${formatSpread(timesBetter(ratio, better), "ratio")}**`;
}

/** An answer may end before its limit: then loads are not quite the same. */
function answerTokensOf({ requests, failures, completionTokens } = absentCell) {
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  return completionTokens > 0 ? digits(completionTokens / (requests - failed)) : undefined;
}

const absentCell = { requests: 0, failures: {}, completionTokens: 0 };

function failuresOf(cell) {
  const kinds = Object.entries(cell?.failures ?? {}).map(([kind, count]) => `${count} × ${kind}`);
  return kinds.length === 0 ? undefined : `${kinds.join(", ")} of ${cell.requests}`;
}

/** One line a server and reason. */
function reasonLines(cases, servers) {
  const titles = new Map();
  for (const { id, title } of servers) {
    for (const one of cases) {
      const reason = one.servers[id]?.reason;
      if (reason === undefined) continue;
      const key = `${title}\n${reason}`;
      titles.set(key, [...(titles.get(key) ?? []), one.title]);
    }
  }
  return [...titles].map(([key, list]) => {
    const [title, reason] = key.split("\n");
    const all = list.length === cases.length;
    return `- ${title}${all ? "" : `, ${list.join("; ")}`}: ${reason}.`;
  });
}
