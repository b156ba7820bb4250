"""Real chat templates, and what is made of them: how each calls tools and reasons, whether parser
and grammar agree with it, and with mlx-lm's own parsers. Writes docs/TOOL-FORMATS.md."""
