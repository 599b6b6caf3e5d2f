"""What PromQL's functions take and give, and which of them this engine refuses.

Must never import numpy.
"""

from __future__ import annotations

NATIVE = frozenset(
    {"histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar", "histogram_quantiles"}
)
EXPERIMENTAL = frozenset(
    {
        "end",
        "mad_over_time",
        "max_of",
        "min_of",
        "range",
        "sort_by_label",
        "sort_by_label_desc",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
    }
)
EXPERIMENTAL_AGGREGATIONS = frozenset({"limitk", "limit_ratio"})
AGGREGATIONS = (
    frozenset(
        {
            "sum",
            "avg",
            "count",
            "min",
            "max",
            "group",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "count_values",
            "quantile",
        }
    )
    | EXPERIMENTAL_AGGREGATIONS
)
ALIASES = {"holt_winters": "double_exponential_smoothing"}
DATES = frozenset({"days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year"})
KEEPS_NAME = frozenset(
    {"first_over_time", "last_over_time", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc"}
)
SCALARS = frozenset({"time", "pi", "scalar"})
FUNCTIONS = DATES | frozenset(
    {
        "abs",
        "absent",
        "absent_over_time",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "avg_over_time",
        "ceil",
        "changes",
        "clamp",
        "clamp_max",
        "clamp_min",
        "cos",
        "cosh",
        "count_over_time",
        "deg",
        "delta",
        "deriv",
        "double_exponential_smoothing",
        "exp",
        "first_over_time",
        "floor",
        "histogram_fraction",
        "histogram_quantile",
        "holt_winters",
        "idelta",
        "increase",
        "irate",
        "label_join",
        "label_replace",
        "last_over_time",
        "ln",
        "log10",
        "log2",
        "max_over_time",
        "min_over_time",
        "pi",
        "predict_linear",
        "present_over_time",
        "quantile_over_time",
        "rad",
        "rate",
        "resets",
        "round",
        "scalar",
        "sgn",
        "sin",
        "sinh",
        "sort",
        "sort_desc",
        "sqrt",
        "stddev_over_time",
        "stdvar_over_time",
        "sum_over_time",
        "tan",
        "tanh",
        "time",
        "timestamp",
        "vector",
    }
)
