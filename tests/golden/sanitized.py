"""Whether the binaries under test were built with a sanitizer. Numbers take longer there and are no more accurate, and
words are the same. What looks at these, and runs no code that other tests do not run, is left to the plain build."""

import os
import unittest

SANITIZED = os.environ["SANITIZER"] != "none"
plain_only = unittest.skipIf(SANITIZED, "left to the plain build: other tests run the same code")

# To ask for leaks takes half of the life of a process that does little, and these tests start thousands. Unit tests and the
# corpora ask the same code; the program is asked at night.
if SANITIZED and "GOLDEN_LEAKS" not in os.environ:
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
