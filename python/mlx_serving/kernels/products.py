"""The product of a few rows and 4-bit matrices on CUDA, `x Wᵀ`, with the tensor cores.

MLX's own takes (rows, 1, width), the activations of a decode step, for as many products, and reads
the matrix again for each. Weights stay as MLX packs them. Sums are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple, cast

import mlx.core as mx

from .device import include

DTYPES: Final = (mx.float16, mx.bfloat16)
GROUP_SIZES: Final = (32, 64, 128)
CHUNK: Final = 128
TILES_MAX: Final = 8
ROWS_OF_TILE: Final = 8
SUM_THREADS: Final = 256


class Shape(NamedTuple):
    """How a block divides its work: warps along the matrix's rows and along k, 16 x `tiles` rows
    of the matrix a warp, stages in shared memory."""

    warps_n: int
    warps_k: int
    tiles: int
    stages: int

    @property
    def threads(self) -> int:
        return self.warps_n * self.warps_k * 32

    @property
    def rows(self) -> int:
        return self.warps_n * self.tiles * 16

    def shared_bytes(self, tiles_x: int, group_size: int) -> int:
        weights = self.rows * CHUNK // 2
        activations = tiles_x * ROWS_OF_TILE * CHUNK * 2
        scales = self.rows * 2 * (8 if group_size == 32 else 4)
        stages = self.stages * self.warps_k * (weights + activations + scales)
        sums = self.warps_k * tiles_x * ROWS_OF_TILE * (self.rows + 4) * 4
        return max(stages, sums)


def fits(out_features: int, in_features: int, bits: int, group_size: int, mode: str) -> bool:
    """Whether there is a kernel for such a matrix."""
    whole = 2 * group_size if group_size == 128 else CHUNK
    return (
        mode == "affine"
        and bits == 4
        and group_size in GROUP_SIZES
        and in_features % whole == 0
        and out_features >= 16
    )


class Matrix(NamedTuple):
    """As MLX packs it: (out, in / 8), and twice (out, in / group size)."""

    weight: mx.array
    scales: mx.array
    biases: mx.array


MATRICES_MAX: Final = 3
# rows, out, in -> how the work is divided, and in how many parts of `in`; a second kernel adds them
Planner = Callable[[int, int, int], tuple[Shape, int]]


@dataclass(slots=True)
class Call:
    kernel: Callable[..., list[mx.array]]
    options: dict[str, Any]
    sum_options: dict[str, Any] | None
    ends: list[int]


class Product:
    """`x Wᵀ` for up to three matrices that share x, in one kernel.

    What a call needs is worked out once for each number of rows: a decode step makes hundreds of
    calls, and their cost in Python is that of a kernel.
    """

    def __init__(self, matrices: Sequence[Matrix], group_size: int, plan: Planner) -> None:
        self.width = matrices[0].scales.shape[1] * group_size
        self.dtype = matrices[0].scales.dtype
        self._sizes = tuple(matrix.weight.shape[0] for matrix in matrices)
        # The kernel has three places; no block comes to those behind the last matrix.
        places = [*matrices, *[matrices[0]] * (MATRICES_MAX - len(matrices))]
        self._arrays = [array for matrix in places for array in matrix]
        self._group_size = group_size
        self._plan = plan
        self._calls: dict[int, Call] = {}

    def __call__(self, x: mx.array) -> list[mx.array]:
        """(…, in) -> (…, out) for each matrix."""
        rows = x.size // self.width
        call = self._calls.get(rows)
        if call is None:
            call = self._calls[rows] = self._call(rows)
        (out,) = call.kernel(inputs=[x, *self._arrays], **call.options)
        if call.sum_options is not None:
            (out,) = _sum_kernel()(inputs=[out, _sizes(self._sizes)], **call.sum_options)
        leading = x.shape[:-1]
        if not call.ends:
            return [out.reshape(*leading, self._sizes[0])]
        return [
            part.reshape(*leading, size)
            for part, size in zip(mx.split(out, call.ends), self._sizes, strict=True)
        ]

    def _call(self, rows: int) -> Call:
        total = sum(self._sizes)
        shape, split = self._plan(rows, total, self.width)
        tiles = tiles_of(rows)
        blocks = sum(-(-size // shape.rows) for size in self._sizes)
        values = rows * total
        common = {"template": [("T", self.dtype)], "output_dtypes": [self.dtype]}
        return Call(
            _kernel(self._group_size, tiles, shape),
            {
                **common,
                "grid": (blocks * shape.threads, split, -(-rows // (tiles * ROWS_OF_TILE))),
                "threadgroup": (shape.threads, 1, 1),
                # Parts of a sum are float32: two places each.
                "output_shapes": [(split, rows, total * 2) if split > 1 else (values,)],
            },
            {
                **common,
                "grid": (-(-values // SUM_THREADS) * SUM_THREADS, 1, 1),
                "threadgroup": (SUM_THREADS, 1, 1),
                "output_shapes": [(values,)],
            }
            if split > 1
            else None,
            list(accumulate(size * rows for size in self._sizes))[:-1],
        )


def tiles_of(rows: int) -> int:
    """Tiles of 8 rows, a power of two of them: so there are only four kernels to compile."""
    tiles = 1
    while tiles * ROWS_OF_TILE < rows and tiles < TILES_MAX:
        tiles *= 2
    return tiles


@cache
def _kernel(group_size: int, tiles: int, shape: Shape) -> Callable[..., list[mx.array]]:
    numbers = f"{group_size}, {tiles}, {shape.warps_n}, {shape.warps_k}, {shape.tiles}"
    names = [(f"w{i}", f"s{i}", f"b{i}") for i in range(MATRICES_MAX)]
    matrices = ", ".join(f"product::Matrix<T>{{{w}, {s}, {b}, {w}_shape[0]}}" for w, s, b in names)
    kernel = mx.fast.cuda_kernel(
        name="mlx_serving_product",
        input_names=["x", *(name for three in names for name in three)],
        output_names=["out"],
        header=include("product.cuh"),
        source=(
            "int m = 1; for (int i = 0; i < x_ndim - 1; ++i) m *= x_shape[i];\n"
            f"product::run<T, {numbers}, {shape.stages}>("
            f"x, {matrices}, out, m, x_shape[x_ndim - 1]);"
        ),
        shared_memory=shape.shared_bytes(tiles, group_size),
    )
    return cast(Callable[..., list[mx.array]], kernel)


@cache
def _sizes(sizes: tuple[int, ...]) -> mx.array:
    return mx.array([*sizes, *[0] * (MATRICES_MAX - len(sizes))], dtype=mx.int32)


@cache
def _sum_kernel() -> Callable[..., list[mx.array]]:
    kernel = mx.fast.cuda_kernel(
        name="mlx_serving_product_sum",
        input_names=["parts", "ns"],
        output_names=["out"],
        header=include("product.cuh"),
        source=(
            "product::add_parts<T>("
            "parts, ns, out, parts_shape[0], parts_shape[1], parts_shape[2] / 2);"
        ),
    )
    return cast(Callable[..., list[mx.array]], kernel)
