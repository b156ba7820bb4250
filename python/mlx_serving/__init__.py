"""The worker of mlx-serving: one process that runs a language model behind a framed link."""
