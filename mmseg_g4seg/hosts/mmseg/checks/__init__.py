"""One examiner of data. `examine` finds, as data, what there is; `wording` says what is wrong with it.

Three ask: a data set class that stops at once (`datasets.checked_pairs`), `tools/test.py` before a run (`test_set`) and
the report of `tools/check_dataset.py` (`full_check`).
"""
