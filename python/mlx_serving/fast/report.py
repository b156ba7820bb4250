"""What was made fast in a model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """`on` is False when the model stays as it was, for `reason`."""

    on: bool = True
    reason: str | None = None
    isa: str | None = None
    matrices: int = 0
    """Quantized layers that are packed."""
    packed_bytes: int = 0
    """Memory that they take, in place of the original weights."""
    blocks: int = 0
    """Transformer blocks that are fused."""
    kept: dict[str, int] = field(default_factory=dict)
    """Quantized layers that stay MLX's own: how many, by reason."""

    def describe(self) -> str:
        """One line for the log."""
        if not self.on:
            return f"fast CPU mathematics off: {self.reason}"
        kept = "".join(f"; {count} not ({reason})" for reason, count in self.kept.items())
        return (
            f"fast CPU mathematics on: {self.isa}, {self.matrices} matrices packed, "
            f"{self.blocks} blocks fused{kept}"
        )
