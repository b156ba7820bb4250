"""What was measured of each kernel, and whether it is in use therefore.

The rule: under 5 % of gain isn't worth a kernel's complexity, from 10 % on it is kept. `gain` is
that of the whole decode step, or of the operation where no step uses it; the tables are in
docs/decisions/0010-gpu-kernels.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Verdict:
    kernel: str
    backend: str
    gain: float | None
    """New speed over old, minus 1; None where it is not measured."""
    on: bool


# On an H100. Of a step at 8 rows, the least of 8, 32 and 64; and of one at 32 rows.
VERDICTS: Final = (
    Verdict("4-bit product", "cuda", 0.86, True),
    Verdict("attention over a padded cache", "cuda", 0.12, True),
    Verdict("RMSNorm", "cuda", -0.71, False),
    Verdict("sum and RMSNorm", "cuda", -0.21, False),
    Verdict("RMSNorm", "metal", None, False),
    Verdict("sum and RMSNorm", "metal", None, False),
)
