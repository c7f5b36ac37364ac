"""The run-time type check used by the tests (``--jaxtyping-packages=edgewise,strict_types.checked``)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""beartype that, like mypy, takes an ``int`` where a ``float`` is asked for."""
