"""The engine that computes with MLX."""
