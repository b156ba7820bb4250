// Attention of a prompt's chunk: so many queries share keys and values that packing these pays.
#pragma once

#include "attention.h"

namespace kr::ops {

/// Whether the mask is one that needs no look at each entry.
bool tiles_suit(const Attention& attention);

/// Whether packing pays.
bool tiles_gain(const Attention& attention);

/// As `attend`, with the same result to the bit.
void attend_tiles(const Attention& attention);

}  // namespace kr::ops
