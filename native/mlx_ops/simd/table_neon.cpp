// Everything in this file, and only in it, is compiled for neon: see CMakeLists.txt. Nothing here
// may have external linkage but the table, or the linker could give such code to other files too.
#include "vec_neon.h"
// The order matters: each uses what stands above it.
#include "rowwise.h"
#include "rotary.h"
#include "attention.h"
#include "attention_tile.h"
#include "codes.h"
#include "quantize.h"
#include "product_neon.h"
#include "table.h"

namespace kr::ops {
const Kernels kNeonKernels = table("neon");
}  // namespace kr::ops
