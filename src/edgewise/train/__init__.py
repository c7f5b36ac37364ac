"""Data, batch-norm recalibration, evaluation and fine-tuning: what makes a changed network accurate again."""
