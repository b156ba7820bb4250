"""Types of krserve_mlx_ops: fast CPU operations for MLX, lazy like MLX's own.

Arrays of float32, float16 and bfloat16 are taken, of any strides; sums are in float32. An argument
that doesn't fit is a ValueError when the operation is made. Results for a row depend on that row
alone: they are the same, bit for bit, in any batch.
"""

from collections.abc import Sequence
from typing import Final, Literal

import mlx.core as mx

__version__: Final[str]
mlx_version: Final[str]
"""The release of MLX that the module is built for; with another one it must not be used."""

def isa() -> str:
    """The instruction set in use: "avx512", "avx2", "neon" or "scalar". KRSERVE_ISA overrides the
    best one; RuntimeError if it names one that is not there."""

def supported_isas() -> list[str]:
    """Those that this processor has, best first."""

def use_isa(name: str) -> None:
    """Changes the instruction set; for tests, while nothing is being computed. ValueError if it is
    not there."""

def threads() -> int:
    """Threads that share the work, MLX's own included. KRSERVE_THREADS sets their number."""

class Matrix:
    """A quantized matrix, packed for the kernels."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def bits(self) -> int:
        """Of a packed code: 4 or 8."""
    @property
    def group_size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class MatrixStore:
    """Memory for packed matrices, one after the other; they keep it alive."""

    def __init__(self, nbytes: int) -> None: ...
    def pack(
        self, weight: mx.array, scales: mx.array, biases: mx.array, group_size: int, bits: int
    ) -> Matrix:
        """Packs what `mx.quantize(mode="affine")` gives, of 2, 3, 4, 5, 6 or 8 bits. ValueError if
        it doesn't fit into what is left of the store."""
    @property
    def used(self) -> int:
        """Bytes."""

def packed_bytes(
    weight: mx.array, scales: mx.array, biases: mx.array, group_size: int, bits: int
) -> int:
    """Bytes that a matrix takes in a store."""

def linear(x: mx.array, matrix: Matrix, bias: mx.array | None = None) -> mx.array:
    """x [..., cols] . matrix [rows, cols]^T + bias [rows]. The activations are rounded to 16 bits
    in groups of 32; the result differs from the exact one by about 2e-5 |x| |w| at most."""

def embedding(ids: mx.array, matrix: Matrix) -> mx.array:
    """Rows of the matrix, [..., cols]. Negative ids count from the end; others beyond it give
    zeros."""

def rms_norm(x: mx.array, weight: mx.array | None, eps: float) -> mx.array: ...
def add_layer_norm(
    x: mx.array,
    addend: mx.array | None,
    shift: mx.array | None,
    weight: mx.array,
    bias: mx.array,
    eps: float,
) -> mx.array:
    """(s - mean(s)) / sqrt(variance(s) + eps) * weight + bias over the last axis, where s is
    x + addend [..., cols] + shift [cols]."""

def add_gelu(x: mx.array, shift: mx.array | None) -> mx.array:
    """s / 2 * (1 + erf(s / sqrt(2))), where s is x [..., cols] + shift [cols]; erf is off by 4e-7 at
    most."""

def swiglu(gate: mx.array, up: mx.array) -> mx.array:
    """gate / (1 + exp(-gate)) * up"""

class Rotary:
    """Rotary embedding. `turns`: full turns per position, one a pair of elements; `magnitude`: a
    factor on what is rotated."""

    def __init__(
        self, turns: Sequence[float], traditional: bool = False, magnitude: float = 1.0
    ) -> None: ...
    @property
    def dims(self) -> int: ...
    def __call__(self, x: mx.array, offset: int | mx.array = 0) -> mx.array:
        """x [batch, heads, length, head_dim]. `offset`: position of the first token, one for all
        or one per row of the batch."""

def can_attend(q: mx.array, k: mx.array, v: mx.array) -> bool:
    """Whether `attention` covers these shapes and types: heads of a multiple of 16 elements."""

def attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    scale: float,
    mask: Literal["causal"] | mx.array | None = None,
) -> mx.array:
    """softmax(scale q k^T + mask) v for q [batch, heads, queries, head_dim], k [batch, kv_heads,
    keys, head_dim], v [batch, kv_heads, keys, value_dim]. A mask broadcasts to [batch, heads,
    queries, keys]; bool (true: seen), or float, added. A query that sees no key gives zeros."""

def attention_on_codes(
    q: mx.array,
    k: Sequence[mx.array],
    v: Sequence[mx.array],
    scale: float,
    mask: Literal["causal"] | mx.array | None = None,
    *,
    group_size: int,
    bits: int,
) -> mx.array:
    """The same where k and v are what `mx.quantize` gives of them: codes, scales and biases, of 4 or
    8 bits in groups of 32, 64 or 128."""

def use_tiles(use: bool, always: bool = False) -> None:
    """Whether `attention` and blocks pack keys and values where many queries share many of them,
    which is faster and gives the same bits; always: of few too, for tests. Of the whole process;
    they do unless told otherwise."""

def uses_tiles() -> bool: ...

class Norm:
    def __init__(self, weight: Sequence[float], eps: float) -> None: ...

class Projection:
    """Matrices side by side, and a bias for all of their rows (or none)."""

    def __init__(self, matrices: Sequence[Matrix], bias: Sequence[float] = ...) -> None: ...

class Block:
    """A transformer block of the Llama family. A norm without weights is left out."""

    def __init__(
        self,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        scale: float,
        rotary: Rotary | None,
        input_norm: Norm,
        output_norm: Norm,
        q_norm: Norm,
        k_norm: Norm,
        qkv: Projection,
        out: Projection,
        gate_up: Projection,
        down: Projection,
    ) -> None:
        """ValueError if the parts don't fit together."""
    def enter(
        self, x: mx.array, offset: int | mx.array
    ) -> tuple[mx.array, mx.array, mx.array]:
        """q, k and v, each [batch, heads, length, head_dim], for x [batch, length, hidden]."""
    def leave(
        self,
        x: mx.array,
        q: mx.array,
        k: mx.array,
        v: mx.array,
        mask: Literal["causal"] | mx.array | None,
    ) -> mx.array:
        """The block's result; k and v are what the KV cache made of `enter`'s."""

    def step(
        self,
        x: mx.array,
        keys: mx.array,
        values: mx.array,
        start: int,
        offset: int | mx.array,
        mask: Literal["causal"] | mx.array | None,
    ) -> tuple[mx.array, mx.array, mx.array, int | mx.array]:
        """The whole block on a cache [batch, kv_heads, capacity, head_dim] that holds `start`
        tokens: the result, the keys and values with those of x, and the offset behind x. Keys and
        values take over the memory of the old ones, if nothing else uses that, else they are
        copies."""
    def step_on_codes(
        self,
        x: mx.array,
        keys: Sequence[mx.array],
        values: Sequence[mx.array],
        group_size: int,
        bits: int,
        start: int,
        offset: int | mx.array,
        mask: Literal["causal"] | mx.array | None,
    ) -> tuple[mx.array, list[mx.array], list[mx.array], int | mx.array]:
        """The same on a cache that is quantized: keys and values are codes, scales and biases."""
    def dtype_for(self, x: mx.array) -> mx.Dtype:
        """Of the results, of k and of v."""

class KvPieces:
    """Keys and values of consecutive tokens of one row, each [1, kv_heads, tokens, head_dim], which
    nobody changes. Waits for them."""

    def __init__(
        self, keys: Sequence[mx.array], values: Sequence[mx.array], tokens: Sequence[int]
    ) -> None:
        """`tokens`: so many of each, from its first on. ValueError if they don't fit together."""
    @property
    def tokens(self) -> int: ...

def step_rows(
    block: Block,
    x: mx.array,
    pieces: Sequence[KvPieces | None],
    keys: Sequence[mx.array],
    values: Sequence[mx.array],
    used: Sequence[int],
) -> tuple[mx.array, list[mx.array], list[mx.array]]:
    """The whole block for x [rows, length, hidden], on rows that have keys and values of their own:
    pieces, then the first `used` tokens of an array [1, kv_heads, capacity, head_dim], which gets
    those of x. The result, and the new arrays, which take over the memory of the old ones, if
    nothing else uses that. What several rows have of the same pieces is read once. The result of a
    row is that of the row alone, bit for bit, and that of `Block.step`."""

class Draw:
    """How one row is drawn. Temperature 0: the likeliest token. `uniform`: 0 <= uniform < 1."""

    def __init__(
        self,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        uniform: float = 0.0,
    ) -> None: ...

def sample(logits: mx.array, draws: Sequence[Draw]) -> mx.array:
    """Tokens [rows] of uint32 for logits [rows, vocabulary]: where the cumulative probability first
    exceeds `uniform`, after temperature, top_k, top_p and min_p, in this order."""

def sample_masked(
    logits: mx.array, draws: Sequence[Draw], masks: mx.array, mask_of_row: Sequence[int]
) -> mx.array:
    """The same where row i draws only what mask `mask_of_row[i]` of masks [masks, words] allows, a
    bit of uint32 for every token, lowest first; -1: anything."""

def log_softmax(logits: mx.array) -> mx.array:
    """Over the last axis, in float32."""

def top_logprobs(
    logits: mx.array, tokens: mx.array, top: int
) -> tuple[mx.array, mx.array, mx.array]:
    """Log-probabilities of tokens [rows], and the `top` largest: tokens and values [rows, top],
    largest first."""
