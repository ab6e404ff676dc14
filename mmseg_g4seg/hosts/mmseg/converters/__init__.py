"""Label maps of data sets, from the files of their releases to what mmseg reads; needs no host."""
