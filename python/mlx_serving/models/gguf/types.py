"""The types of tensors in a GGUF file: how many values stand in a block, and in how many bytes.

All of llama.cpp's have their names here, so that one that can't be read is refused by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Reading = Literal["numbers", "codes", "recoded", "no"]


@dataclass(frozen=True, slots=True)
class BlockType:
    """`reading`: `numbers` are taken as they are; `codes` are an affine quantization and keep their
    bits; `recoded` are one that MLX has no kernels for, and become codes of 8 bits."""

    name: str
    values: int = 256
    bytes: int = 1
    reading: Reading = "no"

    @property
    def is_read(self) -> bool:
        return self.reading != "no"


TYPES: Final = {
    0: BlockType("F32", 1, 4, "numbers"),
    1: BlockType("F16", 1, 2, "numbers"),
    30: BlockType("BF16", 1, 2, "numbers"),
    2: BlockType("Q4_0", 32, 18, "codes"),
    3: BlockType("Q4_1", 32, 20, "codes"),
    6: BlockType("Q5_0", 32, 22, "codes"),
    7: BlockType("Q5_1", 32, 24, "codes"),
    8: BlockType("Q8_0", 32, 34, "codes"),
    12: BlockType("Q4_K", 256, 144, "codes"),
    13: BlockType("Q5_K", 256, 176, "codes"),
    10: BlockType("Q2_K", 256, 84, "recoded"),
    11: BlockType("Q3_K", 256, 110, "recoded"),
    14: BlockType("Q6_K", 256, 210, "recoded"),
    9: BlockType("Q8_1"),
    15: BlockType("Q8_K"),
    16: BlockType("IQ2_XXS"),
    17: BlockType("IQ2_XS"),
    18: BlockType("IQ3_XXS"),
    19: BlockType("IQ1_S"),
    20: BlockType("IQ4_NL"),
    21: BlockType("IQ3_S"),
    22: BlockType("IQ2_S"),
    23: BlockType("IQ4_XS"),
    24: BlockType("I8"),
    25: BlockType("I16"),
    26: BlockType("I32"),
    27: BlockType("I64"),
    28: BlockType("F64"),
    29: BlockType("IQ1_M"),
    34: BlockType("TQ1_0"),
    35: BlockType("TQ2_0"),
    39: BlockType("MXFP4"),
    40: BlockType("NVFP4"),
    41: BlockType("Q1_0"),
}
"""By their numbers in the file."""
