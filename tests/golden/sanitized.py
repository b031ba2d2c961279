"""Whether the binaries under test were built with a sanitizer. Numbers take longer there and are no more accurate.
What measures them, and runs no code that other tests do not run, is left to the plain build."""

import os
import unittest

SANITIZED = os.environ["SANITIZER"] != "none"
plain_only = unittest.skipIf(SANITIZED, "a measurement, made with the plain build")
