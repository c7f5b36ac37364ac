"""End-to-end runs: each joins the parts into one capability. Importing it loads nothing heavy."""
