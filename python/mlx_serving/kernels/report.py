"""What the kernels took over in a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Report:
    """`on` is False when the model stays as it was, for `reason`."""

    on: bool = True
    reason: str | None = None
    backend: str | None = None
    products: int = 0
    """Quantized layers that have a product of ours for few rows."""
    attentions: int = 0
    kept: int = 0
    """Quantized layers that stay MLX's own."""

    def describe(self) -> str:
        """One line for the log."""
        if not self.on:
            return f"GPU kernels off: {self.reason}"
        kept = f"; {self.kept} quantized layers not" if self.kept else ""
        return (
            f"GPU kernels on: {self.backend}, {self.products} products, "
            f"{self.attentions} attentions{kept}"
        )
