"""Tests mirror the sources: `mlx_serving/x/y.py` has `tests/python/x/test_y.py`, or a reason."""

from __future__ import annotations

from pathlib import Path

import mlx_serving
import pytest

HERE = Path(__file__).parent
PACKAGE = Path(mlx_serving.__file__).parent
DEVELOPMENT = ("families", "formats")

WITHOUT_TEST = {
    "__main__.py": "test_worker.py starts it as a process",
    "calls/definitions.py": "calls/test_history.py and test_needs.py: what templates are shown",
    "calls/events.py": "types alone; calls/test_parser.py compares them",
    "calls/format.py": "types alone; calls/test_families.py looks at every family",
    "calls/probes.py": "calls/test_derive.py: what is asked is right when the answer is",
    "calls/template.py": "types alone; calls/test_needs.py implements it",
    "calls/turn.py": "calls/test_parser.py: events are all that can be seen of it",
    "calls/grammar/braced.py": "calls/grammar/test_arguments.py tries every style",
    "calls/grammar/custom.py": "calls/grammar/test_calls.py tries it in every format",
    "calls/grammar/lark.py": "calls/grammar/test_calls.py: right is what llguidance reads",
    "calls/grammar/values.py": "calls/grammar/test_arguments.py tries every style",
    "calls/readers/enclosed.py": "calls/readers/test_pythonic.py and test_braced.py",
    "calls/readers/reader.py": "types alone; calls/readers/test_tagged.py uses one",
    "engine.py": "types alone; what is_out_of_memory takes for one is in test_loop.py",
    "log.py": "one print; link/test_thread.py reads it",
    "messages.py": "types alone, made of src-ts/worker/messages.ts; link/test_bodies.py reads them",
    "failures.py": "types alone; link/test_preparer.py and link/test_parse.py see each of them",
    "tools.py": "calls/grammar/test_calls.py has the schemas of every kind of tool",
    "families/__main__.py": "a command line; families/test_families.py runs what it calls",
    "families/build.py": "families/test_families.py builds every family",
    "families/compare.py": "families/test_families.py compares a family",
    "families/kv.py": "families/test_families.py compares families by it",
    "families/report.py": "families/test_families.py compares docs/MODELS.md with it",
    "families/run.py": "families/test_families.py runs it",
    "grammar/limits.py": "numbers and options; grammar/test_grammars.py tries what they do",
    "formats/__main__.py": "a command line; formats/test_formats.py runs what it calls",
    "formats/bytes_tokenizer.py": "formats/test_formats.py: the grammar's checks use it",
    "formats/examine.py": "formats/test_formats.py runs every check",
    "formats/read.py": "formats/test_formats.py: what every check reads with",
    "formats/real_template.py": "formats/test_formats.py renders every template",
    "formats/report.py": "formats/test_formats.py compares docs/TOOL-FORMATS.md with it",
    "formats/second_source.py": "formats/test_formats.py: mlx-lm's parsers themselves",
    "fake/text.py": "fake/test_engine.py: all that can be seen of it is text",
    "fast/blocks.py": "fast/test_swap.py: a block is right when a model with it is",
    "fast/layers.py": "fast/test_swap.py: a layer is right when a model with it is",
    "fast/operations.py": "fast/test_attention.py, test_linear.py, test_rowwise.py, one a kind",
    "fast/rebind.py": "fast/test_swap.py: nothing of MLX is changed",
    "fast/report.py": "fast/test_swap.py reads it of every model",
    "kernels/layers.py": "kernels/test_swap.py: layers join siblings when they are swapped",
    "kernels/report.py": "kernels/test_swap.py reads it",
    "link/checks.py": "link/test_bodies.py: each check with values that are wrong",
    "link/garbled.py": "link/test_frames.py: it is reached through a frame alone",
    "mlx/fast_encoder.py": "mlx/test_encoder.py: its vectors are those of numpy",
    "mlx/encoder_runner.py": "mlx/test_encoder.py runs it",
    "mlx/hidden_states.py": "mlx/test_reading.py has the vectors that are made of them",
    "mlx/caches.py": "a protocol; mlx/test_runner.py uses it through adapter.py",
    "mlx/prefix_disk.py": "a protocol, and nothing; mlx/test_disk_store.py has both",
    "mlx/row.py": "a record; mlx/test_admission.py looks at it",
    "models/__main__.py": "a command line; models/test_sources.py runs it",
    "models/config.py": "models/test_sources.py and test_files.py: a configuration has a folder",
    "models/gguf/types.py": "a table; models/gguf/test_codes.py and test_file.py read of it",
    "text/model.py": "a protocol; link/test_active_requests.py implements it",
}

WITHOUT_SOURCE = {
    "fake/test_environment.py": "fake/ as a whole, where there is no MLX",
    "fake/test_reasoning_budget.py": "fake/script.py under a budget, through a real process",
    "text/test_turn_text_limits.py": "text/turn_text.py under a budget, on real templates",
    "test_architecture.py": "about all sources",
    "test_mirror.py": "about all tests",
    "test_worker.py": "the worker as a process",
    "test_worker_native.py": "the worker as a process, on the embedded model",
    "families/test_families.py": "the folder as a whole",
    "formats/test_formats.py": "the folder as a whole, on the templates of real models",
    "fast/test_attention.py": "an operation of krserve_mlx_ops",
    "fast/test_rows.py": "an operation of krserve_mlx_ops, which kv/rows.py is the cache of",
    "fast/test_kv_codes.py": "an operation of krserve_mlx_ops: fast/test_attention.py on codes",
    "fast/test_tiles.py": "an operation of krserve_mlx_ops: fast/test_attention.py packed",
    "fast/test_embedded_model.py": "the folder as a whole, on the embedded model",
    "fast/test_linear.py": "an operation of krserve_mlx_ops",
    "fast/test_rowwise.py": "an operation of krserve_mlx_ops",
    "fast/test_sampling.py": "an operation of krserve_mlx_ops, which mlx/fast_sampler.py calls",
    "link/test_frames_fuzz.py": "frames.py and parse.py with random bytes",
    "mlx/test_mlx_lm.py": "names and behaviours of mlx-lm",
    "mlx/test_prefix_sharing.py": "prompts with one prefix at once, through the runner",
    "mlx/test_native_parts.py": "the engine with and without native parts",
    "models/test_safety.py": "attacks by a model's files",
    "text/test_vocabularies.py": "the folder as a whole, on the vocabularies of real models",
}


def sources() -> set[str]:
    """All but a folder's `__init__` without code of its own."""
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    for folder in DEVELOPMENT:
        files += [
            path.relative_to(PACKAGE.parent) for path in (PACKAGE.parent / folder).rglob("*.py")
        ]
    return {file.as_posix() for file in files if file.name != "__init__.py"}


def files_of_tests() -> set[str]:
    return {path.relative_to(HERE).as_posix() for path in HERE.rglob("test_*.py")}


def namesake(source: str) -> str:
    path = Path(source)
    return path.with_name(f"test_{path.name}").as_posix()


def test_every_source_has_a_namesake_or_a_reason() -> None:
    missing = {source for source in sources() if namesake(source) not in files_of_tests()}
    assert missing == set(WITHOUT_TEST)


def test_every_test_has_a_namesake_or_a_reason() -> None:
    assert files_of_tests() - {namesake(source) for source in sources()} == set(WITHOUT_SOURCE)


@pytest.mark.parametrize("source", sorted(WITHOUT_TEST))
def test_the_test_that_a_reason_names_is_there(source: str) -> None:
    words = WITHOUT_TEST[source].replace(",", " ").replace(":", " ").split()
    named = [word for word in words if word.endswith(".py") and "test_" in word]
    assert named
    folder = Path(source).parent
    for name in named:
        assert (HERE / name).is_file() or (HERE / folder / name).is_file(), name
