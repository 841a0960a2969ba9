"""How fast lastbit is, always as a ratio of two things measured in one run: machines are noisy.

`make bench` prints all of them beside the figures to reach; `python -m benchmarks.messages` prints one.
"""
