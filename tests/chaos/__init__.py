"""Nothing is lost when anything dies: the hub as real processes, killed at random, and a checker that knows none of them.

`python -m tests.chaos` (`make chaos`) runs it for minutes; `ROUNDS=` lengthens, `SEED=` repeats the same decisions;
`--planted` shows that planted bugs are caught. `test_chaos.py` is the run of two minutes that `make test` has.

`stage` runs the processes, `loadgen` writes and keeps a journal of what it was answered, `partners` receive and keep a
journal of what reached them, `nemesis` kills, and afterwards `evidence` reads databases, log and journals, which
`checker` holds against the invariants of the reliability plan. Neither of these two imports any code of the hub.
"""
