"""Ray Data: the images of a dataset, or of a folder, over the processes and machines of a cluster.

    dataset.py       refine_dataset: a `ray.data.Dataset` in and out
    folder.py        refine_folder_on_cluster: the folder host with Ray's processes in place of its own
    pairs.py         generate_folder_on_cluster: the generate host likewise
      files.py       their jobs as rows
      pipeline.py    which operators, on which resources
      operators.py   the coarse source and the refiner of a row
      rows.py        the columns of a row, and the operator that they go through
      attempts.py    images that end their process: asked again alone, and given up after three times
    cluster.py       to a cluster, or one of this machine

Operators exchange rows, never files: only `folder.py` and `pairs.py` read and write them, by the workers and the state
of these hosts.
"""

from importlib.util import find_spec

if not (find_spec('ray') and find_spec('pyarrow')):
    raise ImportError('Ray Data is not installed: pip install "mmseg_g4seg[ray]"')
