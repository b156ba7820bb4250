// The kernels in plain C++, for any processor. As in the tables of the instruction sets, nothing
// here may have external linkage but the table, or the linker could give such code to other files
// too.
#include "vec_scalar.h"
// The order matters: each uses what stands above it.
#include "rowwise.h"
#include "rotary.h"
#include "attention.h"
#include "attention_tile.h"
#include "codes.h"
#include "quantize.h"
#include "product_scalar.h"
#include "table.h"

namespace kr::ops {
const Kernels kScalarKernels = table("scalar");
}  // namespace kr::ops
