"""A chat template as a worker renders it: by transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, Final

from mlx_serving.calls.template import Template

BEGIN: Final = "<s>"
END: Final = "</s>"


@cache
def _tokenizer() -> Any:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), bos_token=BEGIN, eos_token=END
    )


def real_template(source: str) -> Template:
    def render(
        messages: Sequence[dict[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        arguments: Mapping[str, Any],
        generation_prompt: bool,
    ) -> str:
        text = _tokenizer().apply_chat_template(
            deepcopy(list(messages)),
            tools=None if tools is None else deepcopy(list(tools)),
            chat_template=source,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **arguments,
        )
        return str(text)

    return Template(source, render, frozenset({END}))
