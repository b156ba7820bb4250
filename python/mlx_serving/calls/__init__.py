"""What a model writes in its turn: reasoning, content and calls of tools, in its own format.

The format is derived from the chat template. Knows no model, no tokenizer and no link: it is handed
a function that renders, and texts.
"""
