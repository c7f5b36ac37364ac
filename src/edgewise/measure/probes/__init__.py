"""Timing one kernel call alone, the way it runs inside a network.

A probe is a small graph of several copies of one kernel call, each with weights of its
own and all reading one input. Copies do three things: they make the call long enough to
time, they keep the weights as far from the processor as they lie in a whole network
(the *footprint*; where their own weights do not fill it, other bytes are read between two
runs), and they let each result's memory be reused at once, as it is there.
"""

from edgewise.measure.probes.build import Prober, open_prober

__all__ = ["Prober", "open_prober"]
