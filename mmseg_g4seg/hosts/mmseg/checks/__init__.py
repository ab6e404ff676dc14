"""One examiner of data. `examine` finds, as data, what there is; `wording` says what is wrong with it.

Two ask: `tools/test.py` before a run (`test_set`) and the report of `tools/check_dataset.py` (`full_check`). A data set
class that stops at once (`datasets.checked_pairs`) stands below and shares what they look at: `datasets.pairs`,
`datasets.settings` and `datasets.file_wording`.
"""
