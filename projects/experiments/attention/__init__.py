"""How well a prior's cross-attention says where a class is."""
