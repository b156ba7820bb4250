// Attention of a batch whose rows have keys and values of their own (kv_rows.h), for few queries a
// row. What several rows have in the same memory is read once for all of them.
#pragma once

#include "attention.h"

namespace kr::ops {

/// As `attend`, with the same result for each row as for that row alone, to the bit.
void attend_rows(const Attention& attention);

}  // namespace kr::ops
