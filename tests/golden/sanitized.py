"""Whether the binaries under test were built with a sanitizer. Numbers take longer there and are no more accurate, and
words are the same. What looks at these, and runs no code that other tests do not run, is left to the plain build."""

import os
import unittest

SANITIZED = os.environ["SANITIZER"] != "none"
plain_only = unittest.skipIf(SANITIZED, "left to the plain build: other tests run the same code")
