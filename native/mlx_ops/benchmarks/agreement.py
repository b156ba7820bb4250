"""Greedy text of the embedded model, or another, with krserve_mlx_ops against MLX's own.

    python native/mlx_ops/benchmarks/agreement.py [--model FOLDER] [--tokens 64]

The accelerated model writes; then MLX's own, on the same quantized weights, says for every place
which token it would have chosen after the same ones. Where it always agrees the texts are equal.
Reports the texts that are, and the largest difference of a logit.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from compare import MODEL
from run_variant import load

PROMPTS = (
    "What is the capital of France?",
    "Count from one to ten.",
    "Write a short poem about the sea.",
    "Explain gravity to a child.",
    "Give me a recipe for pancakes.",
    "What is 17 times 23?",
    "Translate 'good morning' into Spanish.",
    "Name three kinds of clouds.",
    "Why is the sky blue?",
    "Tell me a joke about programmers.",
    "Who wrote Hamlet?",
    "List the planets of the solar system.",
    "Write a Python function that reverses a string.",
    "What should I pack for a hike?",
    "Summarize the story of Little Red Riding Hood.",
    "How do plants make food?",
    "Describe a sunset in one sentence.",
    "What is the difference between a lake and a pond?",
    "Give three tips for better sleep.",
    "Write a haiku about winter.",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    arguments = parser.parse_args()
    fast = load("fast", arguments.model)
    stock = load("blas", arguments.model, keep_quantized=True)
    prompts = prompts_of(arguments.model, PROMPTS[: arguments.prompts])
    start = time.monotonic()
    texts, logits = greedy(fast, prompts, arguments.tokens)
    print(f"accelerated: {time.monotonic() - start:.1f} s", file=sys.stderr)
    equal, agreed, largest = 0, 0, 0.0
    for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        same, difference = check(stock, prompt, text, logits[i])
        equal += same == len(text)
        agreed += same
        largest = max(largest, difference)
        print(f"{i}: {same} of {len(text)}, {difference:.4f}", file=sys.stderr, flush=True)
    total = len(prompts) * arguments.tokens
    print(f"equal texts: {equal} of {len(prompts)}")
    print(f"equal choices: {agreed} of {total}")
    print(f"largest difference of a logit: {largest:.4f}")


def prompts_of(folder: Path, texts: tuple[str, ...]) -> list[list[int]]:
    from mlx_lm.utils import load_tokenizer

    tokenizer = load_tokenizer(folder)
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True
        )
        for text in texts
    ]


def greedy(model: Any, prompts: list[list[int]], count: int) -> tuple[list[list[int]], Any]:
    """`count` tokens for each prompt, decoded together, and their logits [rows, count, ...]."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    rows = []
    for prompt in prompts:
        cache = make_prompt_cache(model)
        model(mx.array([prompt[:-1]]), cache=cache)
        rows.append(cache)
    cache = [layers[0].merge(list(layers)) for layers in zip(*rows, strict=True)]
    tokens = mx.array([prompt[-1] for prompt in prompts])
    logits, drawn = [], []
    for _ in range(count):
        step = model(tokens[:, None], cache=cache)[:, -1]
        tokens = mx.argmax(step, axis=-1)
        mx.eval(tokens)
        logits.append(step)
        drawn.append(tokens)
    return mx.stack(drawn, axis=1).tolist(), mx.stack(logits, axis=1)


def check(stock: Any, prompt: list[int], text: list[int], logits: Any) -> tuple[int, float]:
    """Places at which MLX chooses the same token, and the largest difference of a logit."""
    import mlx.core as mx

    wanted = stock(mx.array([prompt + text[:-1]]))[0, len(prompt) - 1 :]
    same = int((mx.argmax(wanted, axis=-1) == mx.array(text)).sum().item())
    return same, float(mx.abs(wanted - logits).max().item())


if __name__ == "__main__":
    main()
