// Everything in this file, and only in it, is compiled for avx512: see CMakeLists.txt. Nothing here
// may have external linkage but the table, or the linker could give such code to other files too.
#include "vec_avx512.h"
// The order matters: each uses what stands above it.
#include "rowwise.h"
#include "rotary.h"
#include "attention.h"
#include "attention_tile.h"
#include "codes.h"
#include "quantize.h"
#include "product_avx512.h"
#include "table.h"

namespace kr::ops {
const Kernels kAvx512Kernels = table("avx512");
}  // namespace kr::ops
