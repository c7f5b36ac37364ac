"""``edgewise explore``: one Pareto front of accuracy against latency over widths, dynamic sparsity and searched networks."""
