"""The sparse convolution: C++ sources, how they are compiled, and their bindings."""
