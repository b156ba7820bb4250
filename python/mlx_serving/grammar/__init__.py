"""Grammars that an answer is kept to. Owns llguidance: nothing else imports it."""
