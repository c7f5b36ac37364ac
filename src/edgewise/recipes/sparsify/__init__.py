"""``edgewise sparsify``: a network that prunes its feature maps for each input, end to end."""
