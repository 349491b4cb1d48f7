"""A model of scale: the pipeline on a virtual clock, with modelled latencies, quotas and prices.

It imports what decides in `lambdas/` and `infra/`, and models only what answers: it is no measurement, so it does not
lie among the benchmarks.
"""
