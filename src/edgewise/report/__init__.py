"""What people look at: one-file HTML reports, tables for the terminal, and pictures."""

from edgewise.report.data import BenchRow, Profile, RunReport
from edgewise.report.reading import from_json, profile_from_json
from edgewise.report.render import render_bench, render_comparison, render_profile, render_run

__all__ = [
    "BenchRow",
    "Profile",
    "RunReport",
    "from_json",
    "profile_from_json",
    "render_bench",
    "render_comparison",
    "render_profile",
    "render_run",
]
