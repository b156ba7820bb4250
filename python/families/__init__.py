"""Every family of mlx-lm as a tiny random model, served and compared with mlx-lm alone."""
