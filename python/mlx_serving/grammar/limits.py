"""What a grammar may take to compile and to follow, and how it is written. Owns the options that
llguidance is given: all of them, so that nothing in a request decides one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llguidance import LLParserLimits
    from llguidance._lib import JsonCompileOptions

SYMBOLS_MAX: Final = 300_000
"""Of a grammar's productions."""
ITEMS_IN_ROW_MAX: Final = 2_000
"""Places of the grammar that one byte may be at."""
START_FUEL: Final = 1_000_000
"""Steps of taking the regular expressions apart: 50,000 are about 1 ms."""
TOOL_FUEL: Final = 20_000
"""The same, more for each tool that is offered."""
STEP_FUEL: Final = 200_000
"""The same for one mask: 14,000 are about 1 ms."""
STEP_ITEMS_MAX: Final = 50_000
"""Items of the parser for one mask: 20,000 are about 1 ms."""
LEXER_STATES_MAX: Final = 100_000
"""About 2 kB each."""
SILENT: Final = 0

WHITESPACE: Final = r"\x20{1,2}|\n(?:\x20{0,32}|\t{0,12})"
"""At each place where JSON may have it: enough to indent, too little to go on for ever."""

JSON_OPTIONS: Final[JsonCompileOptions] = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": WHITESPACE,
    "coerce_one_of": False,
    "lenient": False,
    # A name that is spelled with \\u escapes is taken for another name than the one that it is.
    "json_allowed_escapes": 'nrbtf\\"',
    "json_allow_general_unicode_escapes": False,
}


def parser_limits(tools: int = 0) -> LLParserLimits:
    from llguidance import LLParserLimits

    return LLParserLimits(
        max_items_in_row=ITEMS_IN_ROW_MAX,
        initial_lexer_fuel=START_FUEL + tools * TOOL_FUEL,
        step_lexer_fuel=STEP_FUEL,
        step_max_items=STEP_ITEMS_MAX,
        max_lexer_states=LEXER_STATES_MAX,
        max_grammar_size=SYMBOLS_MAX,
        precompute_large_lexemes=False,
        verbose_errors=False,
    )
