"""KV caches of our own, beside mlx-lm's. They know no request and no model."""
