"""Every error that edgewise raises on purpose.

Each carries the broken rule, the argument and the value received. The command line turns
any of them into exit status 2 and one line on standard error::

    EdgewiseError
    ├── SpecError         (ValueError)    a network, layer or file does not describe what it should
    ├── PlanError         (ValueError)    a plan does not fit the network it is applied to
    ├── UsageError        (ValueError)    an argument, flag or unit is wrong
    ├── UnknownNameError  (LookupError)   no such model, device, data set or table
    ├── UnknownLayerError (LookupError)   no such layer, or no price for it
    ├── TargetError       (ValueError)    the latency target cannot be reached
    ├── WeightsError      (ValueError)    weights are unreadable, hostile, or do not fit
    ├── DataError         (ValueError)    a data set is unreadable or unusable
    ├── DeviceError       (RuntimeError)  a runtime is missing or refuses the network
    ├── ExportError       (RuntimeError)  an exported file differs from the network
    ├── RunError          (RuntimeError)  a run folder is missing, half-written or of another version
    ├── DatabaseError     (RuntimeError)  the latency database cannot be used
    └── StorageError      (OSError)       the disk is full or not writable
"""

import difflib
from collections.abc import Iterable


class EdgewiseError(Exception):
    """Base of all errors that edgewise raises on purpose."""


class SpecError(EdgewiseError, ValueError):
    """A network, a layer or a file does not describe what it should."""


class PlanError(EdgewiseError, ValueError):
    """A plan does not fit the network it is applied to."""


class UsageError(EdgewiseError, ValueError):
    """An argument, a flag or a unit is wrong."""


class UnknownNameError(EdgewiseError, LookupError):
    """No model, device, data set or table has this name."""


class UnknownLayerError(EdgewiseError, LookupError):
    """No layer has this name, or the device has no price for it."""


class TargetError(EdgewiseError, ValueError):
    """The latency target cannot be reached with the widths allowed."""


class WeightsError(EdgewiseError, ValueError):
    """Weights are unreadable, hostile, or do not fit the network."""


class DataError(EdgewiseError, ValueError):
    """A data set is unreadable or unusable."""


class DeviceError(EdgewiseError, RuntimeError):
    """A runtime is missing, or refuses the network."""


class ExportError(EdgewiseError, RuntimeError):
    """An exported file is wrong, or differs from the network."""


class RunError(EdgewiseError, RuntimeError):
    """A run folder is missing, half-written, or from another version."""


class DatabaseError(EdgewiseError, RuntimeError):
    """The latency database cannot be used."""


class StorageError(EdgewiseError, OSError):
    """The disk is full or not writable."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among the known ones, with the nearest of them.

    Args:
        kind: What the name should have named, as a noun with its article left out.
        name: The name received.
        known: All names that would have been right.

    Returns:
        An error to raise; its text names up to three near matches, or else all names.

    Example:
        >>> print(unknown_name("model", "resnet57", ["resnet56", "vgg16"]))
        unknown model 'resnet57'; did you mean resnet56?
        >>> print(unknown_name("device", "toaster", ["cuda", "torch-cpu"]))
        unknown device 'toaster'; known: cuda, torch-cpu
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
