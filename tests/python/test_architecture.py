"""The arrows between the parts of the worker: which part may import which, and no import circle.

A part is a folder of `mlx_serving`, or a file beside the folders. docs/ARCHITECTURE.md has the same
table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import mlx_serving
import pytest

PACKAGE = Path(mlx_serving.__file__).parent
ARCHITECTURE = PACKAGE.parents[1] / "docs" / "ARCHITECTURE.md"

# Each part may import those above it that its line names.
MAY_IMPORT: dict[str, set[str]] = {
    "log": set(),
    "messages": set(),
    "failures": {"messages"},
    "tokens": set(),
    "tools": {"messages"},
    "native": {"messages"},
    "kernels": set(),
    "kv": set(),
    "fast": {"kv", "messages", "native"},
    "grammar": {"failures", "messages"},
    "calls": {"failures", "messages", "tools"},
    "text": {"calls", "failures", "grammar", "messages", "tokens", "tools"},
    "engine": {"grammar", "messages", "text"},
    "acceleration": {"failures", "fast", "kernels", "messages", "native"},
    "models": {"engine", "failures", "log", "messages"},
    "mlx": {
        "acceleration",
        "engine",
        "failures",
        "fast",
        "grammar",
        "kernels",
        "kv",
        "log",
        "messages",
        "models",
        "text",
        "tokens",
    },
    "loop": {"acceleration", "engine", "failures", "grammar", "messages"},
    "link": {
        "acceleration",
        "engine",
        "failures",
        "grammar",
        "log",
        "loop",
        "messages",
        "native",
        "text",
        "tokens",
    },
    "fake": {
        "calls",
        "engine",
        "failures",
        "grammar",
        "link",
        "log",
        "messages",
        "text",
        "tokens",
        "tools",
    },
    "doctor": {"acceleration", "fast", "mlx", "native"},
    "__main__": {"engine", "fake", "link", "loop", "messages", "mlx"},
}
# The others start and serve without MLX.
USES_MLX = {"doctor", "fast", "kernels", "kv", "mlx", "models"}


def modules() -> dict[str, Path]:
    """Every module by its name inside the package; a folder's `__init__` by the folder's."""
    names: dict[str, Path] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del names[""]
    return names


MODULES = modules()
PARTS = sorted({name.partition(".")[0] for name in MODULES})


def package_of(name: str) -> list[str]:
    parts = name.split(".")
    return parts if MODULES[name].name == "__init__.py" else parts[:-1]


@cache
def imports(name: str) -> tuple[tuple[str, bool], ...]:
    """What a module imports, inside functions too: modules of ours, and names of libraries."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[tuple[str, bool]]:
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for imported in node.names:
                yield imported.name, False
        elif isinstance(node, ast.ImportFrom):
            own = package_of(name)
            base = own[: len(own) - node.level + 1] if node.level else []
            target = ".".join(base + (node.module.split(".") if node.module else []))
            if not node.level:
                yield target, False
                continue
            for imported in node.names:
                whole = f"{target}.{imported.name}".lstrip(".")
                yield (whole if whole in MODULES else target), True


def own_imports(name: str) -> set[str]:
    return {target for target, own in imports(name) if own}


def modules_of(part: str) -> list[str]:
    return [name for name in MODULES if name.partition(".")[0] == part]


def parts_imported(part: str) -> set[str]:
    targets = {target for name in modules_of(part) for target in own_imports(name)}
    return {target.partition(".")[0] for target in targets} - {part}


def test_the_table_has_every_part() -> None:
    assert sorted(MAY_IMPORT) == PARTS


def test_the_table_has_no_circle() -> None:
    above: set[str] = set()
    for part, allowed in MAY_IMPORT.items():
        assert allowed <= above, part
        above.add(part)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_what_its_line_names(part: str) -> None:
    """No more, and no less: a line that names too much would forbid nothing."""
    assert parts_imported(part) == MAY_IMPORT[part]


def test_no_module_imports_itself_by_way_of_others() -> None:
    # A folder's `__init__` is run before its modules: those may import from it, and it from them.
    graph = {
        name: {target for target in own_imports(name) if target != package_name(name)}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def package_name(name: str) -> str:
    return ".".join(package_of(name))


def test_no_module_names_the_package_from_outside() -> None:
    """Relative imports only, which is what this test reads."""
    outside = [
        name
        for name in MODULES
        for target, own in imports(name)
        if not own and target.partition(".")[0] == "mlx_serving"
    ]
    assert outside == []


def test_the_engine_knows_the_prompt_cache_by_its_port_alone() -> None:
    """Which implementation it is, one file says. The tier on disk is one below its blocks."""
    tier = {"mlx.disk_lookup", "mlx.disk_store", "mlx.disk_tier"}
    for implementation, others in (("mlx.block_cache", tier), ("mlx.whole_cache", set())):
        users = {name for name in MODULES if implementation in own_imports(name)}
        assert users - others == {"mlx.prefix_store"}
    # And the engine knows that by its port.
    for name in tier - {"mlx.disk_store"}:
        assert {user for user in MODULES if name in own_imports(user)} <= tier


@pytest.mark.parametrize("part", PARTS)
def test_only_some_parts_know_mlx(part: str) -> None:
    targets = [target for name in modules_of(part) for target, own in imports(name) if not own]
    libraries = {target.partition(".")[0] for target in targets}
    assert bool(libraries & {"mlx", "mlx_lm"}) == (part in USES_MLX)


def test_the_document_has_the_same_table() -> None:
    rows = re.findall(
        r"^\| `(\w+)(?:/|\.py)` \| [^|]+ \|([^|]*)\|$", ARCHITECTURE.read_text("utf-8"), re.M
    )
    told = {part: set(re.findall(r"\w+", allowed)) for part, allowed in rows}
    assert told == MAY_IMPORT
