// Which instruction set is in use. Chosen once, at run time, from what the processor offers.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace kr::ops {

/// The table in use. KRSERVE_ISA in the environment names another than the best one.
/// Throws std::runtime_error if it names one that is unknown or not supported here.
const Kernels& kernels();

/// The tables that this processor can run, best first: "avx512", "avx2", "neon", "scalar".
std::vector<std::string> supported_isas();

/// Changes the table in use; for tests. No operation may be under way.
/// Throws std::invalid_argument if it is unknown or not supported here.
void use_isa(const std::string& name);

}  // namespace kr::ops
