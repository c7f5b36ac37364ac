"""Times real runtimes, honestly, and keeps every sample.

Nothing is imported here, so that listing devices or reading the database costs no import
of a runtime.
"""
