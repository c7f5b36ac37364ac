"""What everything else stands on: errors, units, files, random generators."""
