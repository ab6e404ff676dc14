"""The folder host: a folder of images and a folder of masks in, a folder of refined masks out.

The way of an image and its mask to a written file:

    cli/refine_masks.py       arguments -> FolderTask
    hosts/folder/run.py       FolderTask -> plan and state, built once
    hosts/folder/shares.py    shares of the jobs to processes
    hosts/folder/refine.py    one Job: reads image and mask, refines, encodes
      io/images.py, io/*_files.py    read and encode
      refiners/                      refine
    hosts/folder/run_state.py the record of an image beside its result
    io/atomic.py              a file, whole or not at all

Another host that spreads masks over machines takes the same pieces: `begin`, a `MaskWorker` in each of its processes,
called with one `Job` after the other, and `finish`. Another tool that writes a folder takes `shares`, `run_state` and
`lock`.
"""
