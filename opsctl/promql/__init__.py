"""PromQL: text to our own tree, to a plan, to numbers.

This package imports no numpy: `store`, `engine` and what they use do, and are imported by those who evaluate. Must
never do I/O, read a clock or log.
"""

from opsctl.promql.ast import Expr, Matcher, Selector
from opsctl.promql.errors import PromqlError, UnsupportedError
from opsctl.promql.lower import parse
from opsctl.promql.render import render

__all__ = ["Expr", "Matcher", "PromqlError", "Selector", "UnsupportedError", "parse", "render"]
