"""Log records and spans as Prometheus series: a rule names them as it would behind an OpenTelemetry Collector.

`names` says which series there are and loads nothing; `LogSeries` (`logs`) and `SpanSeries` (`spans`) answer PromQL on
them. Must never turn a count that is not whole into a number.
"""
