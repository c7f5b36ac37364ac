"""What tests need: known-answer devices and the run-time type check. Shipped; nothing here imports it."""
