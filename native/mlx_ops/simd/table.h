// Fills a table of kernels from the functions of the instruction set that included it.
#pragma once

namespace kr::ops {
namespace {

constexpr Kernels table(const char* name) {
  return {name,        quantize_row, product,       unpack_row,   rms_norm,    layer_norm,
          gelu,        swiglu,       cos_sin,       rotate_halves, rotate_pairs, attend,
          merge_parts, pack_tile,    pack_query,    attend_tile,  read_codes,  write_codes,
          add,         scale,        shift_scale,   to_float,     from_float,  largest,
          exp_sum};
}

}  // namespace
}  // namespace kr::ops
