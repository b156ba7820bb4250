"""Scores the tasks of this folder with lm-eval, through a server or by mlx-lm directly, and writes what came
out: the metrics, and of each question what was measured of it. Started by `npm run lm-eval`, in this folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

HERE = Path(__file__).parent
REQUESTS_AT_ONCE = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="of a server's /v1/completions; without it, mlx-lm")
    parser.add_argument("--model", help="its id there")
    parser.add_argument("--folder", required=True, help="of the model, for its tokenizer")
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    results = lm_eval.simple_evaluate(
        model=through_server(flags) if flags.url else directly(flags),
        tasks=sorted(f"mlx_serving_{path.stem}" for path in HERE.glob("*.yaml")),
        task_manager=TaskManager(include_path=str(HERE), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    flags.out.write_text(json.dumps({name: said_of(name, results) for name in results["results"]}))


def through_server(flags: Any) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    return LocalCompletionsAPI(
        base_url=flags.url,
        model=flags.model,
        tokenizer=flags.folder,
        tokenizer_backend="huggingface",
        num_concurrent=REQUESTS_AT_ONCE,
        max_retries=1,
    )


def directly(flags: Any) -> Any:
    from mlx_lm.evaluate import MLXLM

    return MLXLM(flags.folder)


def said_of(name: str, results: dict[str, Any]) -> dict[str, Any]:
    metrics = {
        key.partition(",")[0]: value
        for key, value in results["results"][name].items()
        if isinstance(value, float) and "stderr" not in key
    }
    # One answer to each request of a question.
    answers = [[answer for (answer,) in one["resps"]] for one in results["samples"][name]]
    return {"metrics": metrics, "answers": answers}


if __name__ == "__main__":
    main()
