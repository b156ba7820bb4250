"""RMSNorm, alone and after the addition of a residual, each one kernel, with gradients.

    rms_norm(x, weight, eps)                -> x / sqrt(mean(x²) + eps) * weight
    add_rms_norm(x, residual, weight, eps)  -> x + residual, and its rms_norm

`x` is (…, width), `weight` (width,), of float32, float16 or bfloat16; the result has the type that
MLX promotes the two to, and sums are float32. Off the GPU both are plain operations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import mlx.core as mx

from .device import backend, include, source

DTYPES: Final = (mx.float32, mx.float16, mx.bfloat16)
THREADS_MAX: Final = 1024
VECTOR_BYTES: Final = 16
Arrays = tuple[mx.array, ...]


def rms_norm(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    dtype = _common_dtype(x, weight)
    x, weight = x.astype(dtype), weight.astype(dtype)
    if not _has_kernel(x):
        return rms_norm_reference(x, weight, eps)
    return cast(mx.array, _functions(eps)[0](x, weight))


def add_rms_norm(
    x: mx.array, residual: mx.array, weight: mx.array, eps: float
) -> tuple[mx.array, mx.array]:
    dtype = _common_dtype(x, residual, weight)
    x, residual, weight = x.astype(dtype), residual.astype(dtype), weight.astype(dtype)
    x, residual = mx.broadcast_arrays(x, residual)
    if not _has_kernel(x):
        return add_rms_norm_reference(x, residual, weight, eps)
    total, normed = _functions(eps)[1](x, residual, weight)
    return total, normed


def rms_norm_reference(x: mx.array, weight: mx.array, eps: float) -> mx.array:
    wide = x.astype(mx.float32)
    factor = mx.rsqrt(mx.mean(wide * wide, axis=-1, keepdims=True) + eps)
    return (wide * factor * weight.astype(mx.float32)).astype(mx.result_type(x, weight))


def add_rms_norm_reference(
    x: mx.array, residual: mx.array, weight: mx.array, eps: float
) -> tuple[mx.array, mx.array]:
    total = x + residual
    return total, rms_norm_reference(total, weight, eps)


def _common_dtype(*arrays: mx.array) -> mx.Dtype:
    width = arrays[-1].shape
    if arrays[-1].ndim != 1 or arrays[0].ndim < 1 or arrays[0].shape[-1] != width[0]:
        raise ValueError(f"weight {width} doesn't fit x {arrays[0].shape}")
    return mx.result_type(*arrays)


def _has_kernel(x: mx.array) -> bool:
    return x.size > 0 and x.dtype in DTYPES and backend() is not None


@cache
def _functions(eps: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Both functions with their gradients, for one eps."""

    @mx.custom_function
    def norm(x: mx.array, weight: mx.array) -> mx.array:
        return _forward(eps, x, None, weight)[0]

    @norm.vjp
    def norm_vjp(primals: Arrays, gradient: mx.array, _: mx.array) -> Arrays:
        x, weight = primals
        return _backward(eps, x, weight, gradient)

    @mx.custom_function
    def add_norm(x: mx.array, residual: mx.array, weight: mx.array) -> Arrays:
        normed, total = _forward(eps, x, residual, weight)
        return total, normed

    @add_norm.vjp
    def add_norm_vjp(primals: Arrays, gradients: Arrays, outputs: Arrays) -> Arrays:
        of_total, of_normed = gradients
        through, of_weight = _backward(eps, outputs[0], primals[2], of_normed)
        of_total = of_total + through
        return of_total, of_total, of_weight

    return norm, add_norm


# --- kernels ---


def _forward(eps: float, x: mx.array, residual: mx.array | None, weight: mx.array) -> Arrays:
    """The normed array, and the sum if there is a residual."""
    width = x.shape[-1]
    rows = x.size // width
    adds = residual is not None
    inputs = [x.reshape(rows, width), weight, _scalar(eps)]
    if residual is not None:
        inputs.append(residual.reshape(rows, width))
    vector = VECTOR_BYTES // x.dtype.size
    threads = _threads(width // vector if width % vector == 0 else width)
    outputs = _kernel("forward", adds)(
        inputs=inputs,
        template=[("T", x.dtype), ("N", vector)],
        grid=(rows * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[(rows, width)] * (2 if adds else 1),
        output_dtypes=[x.dtype] * (2 if adds else 1),
    )
    return tuple(output.reshape(x.shape) for output in outputs)


def _backward(eps: float, x: mx.array, weight: mx.array, gradient: mx.array) -> Arrays:
    width = x.shape[-1]
    rows = x.size // width
    threads = _threads(width)
    of_x, scaled = _kernel("backward", False)(
        inputs=[
            x.reshape(rows, width),
            weight,
            _scalar(eps),
            gradient.astype(x.dtype).reshape(rows, width),
        ],
        template=[("T", x.dtype)],
        grid=(rows * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[(rows, width)] * 2,
        output_dtypes=[x.dtype, mx.float32],
    )
    return of_x.reshape(x.shape), scaled.sum(axis=0).astype(weight.dtype)


def _threads(values: int) -> int:
    """Whole groups of 32 threads, one value each as far as that goes."""
    return min(THREADS_MAX, -(-values // 32) * 32)


@cache
def _scalar(value: float) -> mx.array:
    return mx.array([value], dtype=mx.float32)


@cache
def _kernel(name: str, adds: bool) -> Callable[..., list[mx.array]]:
    second = {"forward": ["residual"] if adds else [], "backward": ["g"]}[name]
    outputs = {
        "forward": ["out", "total"] if adds else ["out"],
        "backward": ["dx", "scaled"],
    }[name]
    metal = backend() == "metal"
    make = mx.fast.metal_kernel if metal else mx.fast.cuda_kernel
    bodies = METAL_BODIES if metal else CUDA_BODIES
    kernel = make(
        name=f"mlx_serving_rms_norm_{name}_{'add' if adds else 'plain'}",
        input_names=["x", "weight", "eps", *second],
        output_names=outputs,
        header=source("norm.metal") if metal else include("norm.cuh"),
        source=bodies[name, adds],
    )
    return cast(Callable[..., list[mx.array]], kernel)


def _cuda_forward(adds: bool) -> str:
    residual, total = ("residual", "total") if adds else ("x", "out")
    flag = "true" if adds else "false"
    # A view of MLX's may start anywhere.
    return f"""
    const int width = x_shape[1];
    const unsigned long long places = (unsigned long long)x | (unsigned long long){residual} |
        (unsigned long long)weight;
    if (width % N == 0 && places % (sizeof(T) * N) == 0)
      rms_norm::forward<T, N, {flag}>(x, {residual}, weight, eps[0], {total}, out, width);
    else
      rms_norm::forward<T, 1, {flag}>(x, {residual}, weight, eps[0], {total}, out, width);
    """


CUDA_BODIES: Final = {
    ("forward", False): _cuda_forward(False),
    ("forward", True): _cuda_forward(True),
    ("backward", False): ("rms_norm::backward<T>(x, weight, g, eps[0], dx, scaled, x_shape[1]);"),
}

_METAL_START: Final = """
    threadgroup float parts[32];
    const uint width = x_shape[1];
    const uint start = threadgroup_position_in_grid.x * width;
    const uint thread = thread_position_in_threadgroup.x;
    const uint threads = threads_per_threadgroup.x;
    const uint lane = thread_index_in_simdgroup;
    const uint simdgroup = simdgroup_index_in_threadgroup;
    const uint simdgroups = simdgroups_per_threadgroup;
"""


def _metal_forward(adds: bool) -> str:
    value = "T(float(x[start + i]) + float(residual[start + i]))" if adds else "x[start + i]"
    keep = "total[start + i] = value;" if adds else ""
    again = "total[start + i]" if adds else "x[start + i]"
    return f"""{_METAL_START}
    float squares = 0.0f;
    for (uint i = thread; i < width; i += threads) {{
      T value = {value};
      {keep}
      squares += float(value) * float(value);
    }}
    squares = group_sum(squares, parts, thread, lane, simdgroup, simdgroups);
    const float factor = metal::precise::rsqrt(squares / float(width) + eps[0]);
    for (uint i = thread; i < width; i += threads)
      out[start + i] = T(float({again}) * factor * float(weight[i]));
    """


METAL_BODIES: Final = {
    ("forward", False): _metal_forward(False),
    ("forward", True): _metal_forward(True),
    ("backward", False): f"""{_METAL_START}
    float squares = 0.0f, products = 0.0f;
    for (uint i = thread; i < width; i += threads) {{
      float value = float(x[start + i]);
      squares += value * value;
      products += float(weight[i]) * float(g[start + i]) * value;
    }}
    squares = group_sum(squares, parts, thread, lane, simdgroup, simdgroups);
    products = group_sum(products, parts, thread, lane, simdgroup, simdgroups);
    const float r = metal::precise::rsqrt(squares / float(width) + eps[0]);
    const float along = r * r * products / float(width);
    for (uint i = thread; i < width; i += threads) {{
      float value = float(x[start + i]), gradient = float(g[start + i]);
      dx[start + i] = T(r * (float(weight[i]) * gradient - value * along));
      scaled[start + i] = gradient * value * r;
    }}
    """,
}
