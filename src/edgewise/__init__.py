"""edgewise makes a convolutional network fast on the device you have, and tells you why."""

__version__ = "0.1.0"
