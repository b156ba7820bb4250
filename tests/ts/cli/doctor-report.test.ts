import { expect, it } from "vitest";
import { bugReport, type ReportSources } from "../../../src-ts/cli/doctor-report.js";
import type { DoctorReport } from "../../../src-ts/environment/doctor.js";

const report = {
  python: {
    path: "/home/maria/.cache/mlx/bin/python",
    version: "3.12",
    problem: "//x:y@host said sk-topsecret",
  },
  models: [{ id: "mine", path: "/data/maria/models/mine" }],
} as unknown as DoctorReport;

const sources: ReportSources = {
  home: "/home/maria",
  user: "maria",
  env: {
    MLX_SERVING_API_KEY: "sk-topsecret",
    MLX_SERVING_API_KEY_FILE: "/home/maria/keys.txt",
    MLX_SERVING_CONTROL_TOKENS: "parse",
    HF_TOKEN: "hf_abcdefgh",
    HF_ENDPOINT: "https://maria:pw@mirror.example/x",
    https_proxy: "http://u:p@proxy.example:3128",
    AWS_SECRET_ACCESS_KEY: "never-shown",
    PATH: "/never/shown",
  },
  config: '{"apiKey": "sk-other-secret", "api-key": "x", "port": 9001, "controlTokens": "text"}',
};

it("has the machine, the settings and what doctor says", () => {
  const text = bugReport(report, sources);
  const [, json] = /^### mlx-serving doctor\n\n```json\n(.*)\n```\n$/s.exec(text) ?? [];
  expect(JSON.parse(json!)).toMatchObject({
    system: { platform: process.platform, arch: process.arch, cpus: expect.any(Number) },
    variables: {
      MLX_SERVING_API_KEY: "(set)",
      MLX_SERVING_API_KEY_FILE: "~/keys.txt",
      MLX_SERVING_CONTROL_TOKENS: "parse",
      HF_TOKEN: "(set)",
      HF_ENDPOINT: "https://(secret)@mirror.example/x",
      https_proxy: "http://(secret)@proxy.example:3128",
    },
    config: { apiKey: "(set)", "api-key": "(set)", port: 9001, controlTokens: "text" },
    doctor: { python: { path: "~/.cache/mlx/bin/python" } },
  });
});

it("has no secret, and not whose machine it is", () => {
  for (const config of [sources.config, "{ sk-other-secret", undefined]) {
    const text = bugReport(report, { ...sources, config });
    for (const hidden of ["topsecret", "other-secret", "hf_abc", "maria", "pw@", "u:p", "never"])
      expect(text).not.toContain(hidden);
  }
});
