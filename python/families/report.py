"""What was seen of the families: the page for people, and the table that `doctor` reads."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from .compare import NEW_TOKENS, PROMPT_TOKENS, Seen
from .run import Result, has_kv, is_right

VERSIONS_OF: Final = ("mlx-lm", "mlx", "transformers")
CELL_CHARACTERS_MAX: Final = 110
PREFIX_WORDS: Final = {"part": "any part", "whole": "whole only", "none": "none"}

HEAD: Final = Path(__file__).with_name("page.md")


def page(results: list[Result]) -> str:
    compared = [result for result in results if result.seen is not None]
    others = [result for result in results if result.seen is None]
    families = [result for result in others if not (result.why or "").startswith("no family")]
    shared = [result for result in others if (result.why or "").startswith("no family")]
    right = sum(result.seen is not None and is_right(result.seen) for result in compared)
    lines = [
        HEAD.read_text("utf-8").format(
            versions=", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS_OF),
            device=device(),
            count=NEW_TOKENS,
            prompts=", ".join(map(str, PROMPT_TOKENS)),
        ),
        f"{len(results)} modules: {len(compared)} families compared, {right} of them as mlx-lm"
        f" alone in everything; {len(families)} that could not be compared; {len(shared)} that hold"
        " no family.\n",
        "| family | also called | requests of a step | prefix | alone | batch | prefix | resume "
        "| KV of 8 bits |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(result.family, result.seen) for result in compared if result.seen is not None),
        "\n## Not compared\n",
        "| family | why |",
        "|---|---|",
        *(f"| {result.family} | {_cell(result.why)} |" for result in families),
        "\n## Modules without a family\n",
        ", ".join(_shared(one) for one in shared) + ".",
    ]
    return "\n".join(lines) + "\n"


def _row(family: str, seen: Seen) -> str:
    abilities = seen.abilities
    how = (
        "together"
        if abilities["batch"]
        else f"**one at a time**: {_cell(abilities['batch_reason'])}"
    )
    prefix = PREFIX_WORDS[abilities["prefix"]]
    if not abilities["pieces"]:
        prefix += f"; **in one piece**: {_cell(abilities['prefix_reason'])}"
    elif abilities["prefix"] == "whole":
        prefix += f": {_cell(abilities['prefix_reason'])}"
    compared = (seen.alone, seen.batch, seen.prefix, seen.resume)
    cells = " | ".join("same" if one is None else f"**{_cell(one)}**" for one in compared)
    names = ", ".join(aliases(family))
    return f"| {family} | {names} | {how} | {prefix} | {cells} | {_kv(seen)} |"


def _kv(seen: Seen) -> str:
    if not has_kv(seen):
        return f"refused: {_cell(seen.kv['refused'])}"
    if seen.kv["differs"] is not None:
        return f"**{_cell(seen.kv['differs'])}**"
    return f"same; {seen.kv['difference']:.2g} from a plain one"


def _shared(result: Result) -> str:
    return f"{result.family} ({(result.why or '').split(': ', 1)[-1]})"


def _cell(text: Any) -> str:
    return str(text)[:CELL_CHARACTERS_MAX].replace("|", "\\|").replace("\n", " ")


def table(results: list[Result]) -> str:
    """By model type, aliases too: whether it decodes together, how it uses prefixes, and whether
    its KV cache can be quantized."""
    families: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.seen is None:
            continue
        entry = {
            "batch": result.seen.abilities["batch"],
            "prefix": result.seen.abilities["prefix"],
            "kv": has_kv(result.seen),
        }
        for name in (result.family, *aliases(result.family)):
            families[name] = entry
    lines = [
        f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(families.items())
    ]
    version = json.dumps(metadata.version("mlx-lm"))
    return '{\n "mlxLm": ' + version + ',\n "families": {\n' + ",\n".join(lines) + "\n }\n}\n"


def aliases(family: str) -> list[str]:
    """Other values of `model_type` that mlx-lm loads as this family."""
    from mlx_lm.utils import MODEL_REMAPPING

    return sorted(name for name, target in MODEL_REMAPPING.items() if target == family)


def device() -> str:
    import mlx.core as mx

    return "GPU" if mx.default_device().type == mx.DeviceType.gpu else "CPU"
