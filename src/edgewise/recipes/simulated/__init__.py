"""Recipes on devices that are not here: every figure they give is simulated, and says so."""
