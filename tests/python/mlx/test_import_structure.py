"""What is kept of transformers' own search is what it would find, and is found once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlx_serving.mlx import import_structure
from mlx_serving.mlx.import_structure import Structure, kept

FOUND: Structure = {
    frozenset(): {"llama.configuration_llama": {"LlamaConfig"}, "auto": set()},
    frozenset(("tokenizers", "torch")): {"llama.tokenization_llama": {"A", "B"}},
}
# A worker's import, and what is found out anew with the library's own function.
COMPARE = """
import json, sys
from pathlib import Path
from mlx_serving.mlx.adapter import import_libraries
import_libraries()
import transformers
from transformers.utils import import_utils
replaced = import_utils.define_import_structure
own = replaced.__closure__
assert own is not None and not hasattr(replaced, "cache_clear"), "nothing is replaced"
define = next(c.cell_contents for c in own if hasattr(c.cell_contents, "cache_clear"))
models = Path(transformers.__file__).parent / "models"
for arguments in ((models, "models"), (str(models / "__init__.py"),)):
    assert replaced(*arguments) == define(*arguments), arguments
print(json.dumps([sum(map(len, replaced(models).values())), define.cache_info().currsize]))
transformers.AutoTokenizer, transformers.PreTrainedTokenizerFast
"""


class Definition:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, module_path: Any, prefix: str | None = None) -> Structure:
        self.calls.append((module_path, prefix))
        return FOUND


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_SERVING_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "transformers" / "models"
    (folder / "auto").mkdir(parents=True)
    return folder


def only_file(models: Path) -> Path:
    [file] = (models.parents[1] / "cache" / "imports").iterdir()
    return file


def test_it_is_found_once_for_all_processes(models: Path) -> None:
    first, second = Definition(), Definition()
    for define in (first, second):
        function = kept(define, models)
        assert function(models, prefix="models") == {
            frozenset(): {
                "models.llama.configuration_llama": {"LlamaConfig"},
                "models.auto": set(),
            },
            frozenset(("tokenizers", "torch")): {"models.llama.tokenization_llama": {"A", "B"}},
        }
        assert function(str(models / "__init__.py")) == FOUND
    assert len(first.calls) == 1 and second.calls == []
    only_file(models)


def test_other_folders_are_the_librarys_matter(models: Path) -> None:
    define = Definition()
    function = kept(define, models)
    for path in (models / "auto", models / "auto" / "__init__.py", models / "auto.py"):
        function(str(path), "x")
    assert define.calls == [
        (str(models / name), "x") for name in ("auto", "auto/__init__.py", "auto.py")
    ]


def test_another_state_of_the_library_is_found_anew(models: Path) -> None:
    kept(Definition(), models)(models)
    os.utime(models, ns=(1, 1))
    define = Definition()
    kept(define, models)(models)
    assert len(define.calls) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[3]", '[[[], ["a"]]]', "[[[[]], {}]]"]
)
def test_what_is_not_whole_is_found_anew(models: Path, text: str) -> None:
    kept(Definition(), models)(models)
    only_file(models).write_text(text)
    define = Definition()
    assert kept(define, models)(models) == FOUND
    assert len(define.calls) == 1
    assert json.loads(only_file(models).read_text())


def test_without_a_cache_it_is_found_out(models: Path) -> None:
    (models.parents[1] / "cache").write_text("no folder")
    define = Definition()
    assert kept(define, models)(models) == FOUND


def test_a_library_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    finders = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", finders)
    monkeypatch.setitem(sys.modules, import_structure.LIBRARY, sys)
    import_structure.keep_import_structure()
    assert sys.meta_path == finders


def test_the_pinned_library_is_imported_alike(tmp_path: Path) -> None:
    pytest.importorskip("mlx_lm")
    python = Path(import_structure.__file__).parents[2]
    environment = {**os.environ, "MLX_SERVING_CACHE": str(tmp_path), "PYTHONPATH": str(python)}
    said = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", COMPARE], env=environment, check=True, capture_output=True
            ).stdout
        )
        for _ in range(2)
    ]
    modules = said[0][0]
    assert modules > 500 and said[1][0] == modules
