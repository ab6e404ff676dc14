"""The tables of the G4Seg paper: what each run needs, and its figure beside ours."""
