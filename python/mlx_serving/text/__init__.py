"""From text to tokens and back. Knows no model and no link."""
