"""GPUs that are not here: a latency model of tiles, waves and bandwidth, fitted to measured convolutions."""
