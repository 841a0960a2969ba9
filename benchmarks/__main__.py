"""All benchmarks, one after another: `make bench`."""

from benchmarks import audit, decisions, inference, long_run, messages, network_loop, scaling

for benchmark in (messages, decisions, network_loop, scaling, inference, long_run, audit):
    benchmark.main()
