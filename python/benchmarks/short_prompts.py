"""Short prompts that come at once, computed in shared passes and one by one. Prints JSON.

    python python/benchmarks/short_prompts.py FOLDER [--device cpu] [--prompts 16 64] [--tokens 40]

FOLDER has a model. It is loaded twice by the engine, once with shared passes and once without; the
two serve the same prompts in turn, each round others, random ones without a common beginning, and
with `--head` so many tokens that all have in common. Figures are medians of the rounds, in
milliseconds, with the smallest and the largest: when the median and the last prompt had its first
token, and when all had all of theirs. `equal`: prompts with the same answer both ways, of all.

With `--beside ROWS` so many rows decode meanwhile; `gap` is the longest wait between two of their
tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from families.compare import Silent
from mlx_serving.engine import Runner
from mlx_serving.messages import Admission, LoadOptions, ModelSource, Sampling
from mlx_serving.mlx.engine import MlxEngine

CHUNK_TOKENS = 512
BESIDE_TOKENS = 20
FIRST_BESIDE = 1_000_000


@dataclass
class Round:
    """Milliseconds, and the answers."""

    first: float = 0.0
    last: float = 0.0
    whole: float = 0.0
    gap: float = 0.0
    answers: dict[int, list[int]] = field(default_factory=dict)


def load(folder: Path, options: argparse.Namespace, shares_passes: bool) -> Runner:
    load_options = LoadOptions(
        max_batch=max(options.prompts) + options.beside,
        context_max=4096,
        memory_budget_bytes=0,
        device=options.device,
        prefill_chunk_tokens=CHUNK_TOKENS,
        prefix_cache_bytes=options.prefix_cache_mib << 20,
        prefix_cache_share=0.5,
        prefix_disk_folder="",
        prefix_disk_bytes=0,
        kv_bits=0,
        unacked_steps_max=4,
        deterministic=False,
        control_tokens="text",
        fake_tokens_per_second=0.0,
        fake_load_ms=0.0,
    )
    engine = MlxEngine(shares_passes=shares_passes)
    return engine.load(ModelSource("measured", "folder", str(folder)), load_options, Silent())[1]


def play(runner: Runner, prompts: list[list[int]], answer_tokens: int, beside: int) -> Round:
    never_ends = Sampling(temperature=1.0, seed=1)
    for i in range(beside):
        prompt = [7 + i] * BESIDE_TOKENS
        runner.insert(Admission(FIRST_BESIDE + i, prompt, [], 4000 - BESIDE_TOKENS, never_ends))
    while beside and runner.figures().running < beside:
        runner.step()
    for _ in range(5 if beside else 0):
        runner.step()
    played = Round()
    start = before = time.monotonic()
    for id, prompt in enumerate(prompts):
        runner.insert(Admission(id, prompt, [], answer_tokens, Sampling()))
        played.answers[id] = []
    firsts: list[float] = []
    open_ids = set(played.answers)
    while open_ids:
        output = runner.step()
        now = time.monotonic()
        for id, _, token, _ in output.rows:
            if id >= FIRST_BESIDE:
                played.gap, before = max(played.gap, 1000 * (now - before)), now
                continue
            if not played.answers[id]:
                firsts.append(1000 * (now - start))
            played.answers[id].append(token)
        for end in output.ends:
            if end.finish == "failed":
                raise RuntimeError(end.message)
            open_ids.discard(end.id)
    played.whole = 1000 * (time.monotonic() - start)
    played.first, played.last = statistics.median(firsts), max(firsts)
    for i in range(beside):
        runner.remove(FIRST_BESIDE + i)
    return played


def spread(values: list[float]) -> dict[str, float]:
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 1) for name, value in figures.items()}


def measure(
    runners: dict[str, Runner], count: int, options: argparse.Namespace, vocabulary: int
) -> dict[str, Any]:
    rounds: dict[str, list[Round]] = {name: [] for name in runners}
    equal = 0
    for number in range(options.rounds + 1):
        chance = random.Random(1000 * count + number)
        head = [chance.randrange(vocabulary) for _ in range(options.head)]
        prompts = [
            head + [chance.randrange(vocabulary) for _ in range(options.tokens - options.head)]
            for _ in range(count)
        ]
        order = list(runners) if number % 2 else list(reversed(runners))
        for name in order:
            played = play(runners[name], prompts, options.answer_tokens, options.beside)
            rounds[name].append(played)
        both = [played[-1].answers for played in rounds.values()]
        if number:
            equal += sum(both[0][id] == both[1][id] for id in both[0])
    # The first round compiles, and learns what a pass costs.
    kept = {name: played[1:] for name, played in rounds.items()}
    figures: dict[str, Any] = {
        name: {
            what: spread([getattr(one, what) for one in played])
            for what in ("first", "last", "whole", *(("gap",) if options.beside else ()))
        }
        for name, played in kept.items()
    }
    return {"prompts": count, **figures, "equal": [equal, count * options.rounds]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--prompts", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--head", type=int, default=0)
    parser.add_argument("--answer-tokens", type=int, default=8)
    parser.add_argument("--beside", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefix-cache-mib", type=int, default=256)
    options = parser.parse_args()
    config = json.loads((options.folder / "config.json").read_text())
    vocabulary = int(config["vocab_size"])
    runners = {
        "shared": load(options.folder, options, True),
        "one_by_one": load(options.folder, options, False),
    }
    found = [measure(runners, count, options, vocabulary) for count in options.prompts]
    print(json.dumps({**vars(options), "folder": options.folder.name, "found": found}, indent=1))


if __name__ == "__main__":
    main()
