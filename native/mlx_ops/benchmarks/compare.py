"""Tokens per second of the embedded model, or another, with and without krserve_mlx_ops.

    python native/mlx_ops/benchmarks/compare.py [--model FOLDER] [--variants stock fast fast:avx2]

Variants run in processes of their own, alternating, `--rounds` times; the table shows the best of
each and its ratio to the first variant. `fast:avx2` overrides the instruction set. `--llama-bench`
names the program of that name of llama.cpp and a GGUF, to be run in turn with the others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = Path.home() / ".cache/mlx-serving/models/smollm2-135m-instruct"
Results = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--variants", nargs="+", default=["stock", "fast", "fast:avx2"])
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 8, 16])
    parser.add_argument("--prefill", type=int, default=300)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-bench", nargs=2, metavar=("PROGRAM", "GGUF"))
    arguments = parser.parse_args()
    results: Results = {}
    for _ in range(arguments.rounds):
        for variant in arguments.variants:
            collect(results, variant, measure(variant, arguments))
        if arguments.llama_bench:
            collect(results, "llama.cpp", measure_llama(arguments))
    print_table(results)


def measure(variant: str, arguments: argparse.Namespace) -> dict[str, float]:
    name, _, isa = variant.partition(":")
    environment = {**os.environ, **({"KRSERVE_ISA": isa} if isa else {})}
    command = [sys.executable, str(HERE / "run_variant.py"), "--variant", name]
    command += ["--model", str(arguments.model), "--prefill", str(arguments.prefill)]
    command += ["--context", str(arguments.context), "--rows", *map(str, arguments.rows)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["what"]: line["tokens_per_second"] for line in lines}


def measure_llama(arguments: argparse.Namespace) -> dict[str, float]:
    """Prefill and one stream; llama-bench decodes no batch."""
    program, gguf = arguments.llama_bench
    threads = str(len(os.sched_getaffinity(0)))
    command = [program, "-m", gguf, "-t", threads, "-ngl", "0", "-o", "json", "-r", "3"]
    command += ["-p", str(arguments.prefill), "-n", "32"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    runs = json.loads(done.stdout)
    return {"prefill" if run["n_prompt"] else "1 rows": max(run["samples_ts"]) for run in runs}


def collect(results: Results, variant: str, measured: dict[str, float]) -> None:
    for what, value in measured.items():
        results.setdefault(what, {}).setdefault(variant, []).append(value)


def print_table(results: Results) -> None:
    variants = list(dict.fromkeys(name for row in results.values() for name in row))
    print("| tok/s |" + "".join(f" {name} |" for name in variants))
    print("|---|" + "---|" * len(variants))
    for what, row in results.items():
        first = max(row[variants[0]]) if variants[0] in row else None
        cells = [cell(row.get(name), first) for name in variants]
        print(f"| {what} |" + "".join(f" {text} |" for text in cells))


def cell(values: list[float] | None, first: float | None) -> str:
    if not values:
        return ""
    ratio = f", {max(values) / first:.1f} x" if first else ""
    return f"{max(values):.1f} ({min(values):.1f} to {max(values):.1f}{ratio})"


if __name__ == "__main__":
    main()
