"""Single-path search: one over-parameterised network whose weights decide which network it becomes."""
