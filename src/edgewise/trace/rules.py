"""Which rule judges which operation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgewise.trace import rules_layout, rules_pointwise, rules_weights
from edgewise.trace.context import Context
from edgewise.trace.ledger import Value

Rule = Callable[[Context], Value | tuple[Value, ...]]
"""Says what is known of an operation's results: one answer for all of them, or one for each."""

SAME_VALUE = frozenset({"contiguous", "clone", "to", "detach", "alias", "dropout", "feature_dropout", "lift_fresh", "type_as"})
"""Operations that do no work in a network that only computes its result."""
MOVES_PARAMETERS = frozenset(
    {"view", "flatten", "squeeze", "unsqueeze", "expand", "expand_as", "permute", "transpose", "t", "movedim", "numpy_T"}
)
"""Changes of shape that are followed on parameters too."""
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_MOVES = ("permute", "transpose", "t", "movedim", "numpy_T", "unsqueeze", "squeeze", "select", "narrow", "expand", "expand_as", "repeat")
_MOVES_ELSEWHERE = ("roll", "index", "index_select", "flip", "repeat_interleave", "tile", "rot90", "as_strided", "unfold")
_REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean", "norm", "linalg_vector_norm")
_MORE_REDUCTIONS = ("logsumexp", "prod", "any", "all", "argmax", "argmin", "median")
_SPATIAL = (
    *(f"{kind}_pool{axes}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for axes in (1, 2, 3)),
    *("interpolate", "grid_sampler", "grid_sampler_2d", "roi_align", "roi_pool", "lp_pool2d", "fractional_max_pool2d"),
)
_POINTWISE = (
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "relu6",
    "copy",
    "where",
    "masked_fill",
    "softplus",
    "selu",
    "lerp",
    "addcmul",
    "rsub",
)
_LIKE = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like")

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(_CONVOLUTIONS, rules_weights.convolve),
        **dict.fromkeys(("matmul", "mm", "bmm", "addmm"), rules_weights.multiply_matrices),
        **dict.fromkeys(("layer_norm", "rms_norm"), rules_weights.normalise_layer),
        **dict.fromkeys(("batch_norm", "instance_norm"), rules_weights.normalise_batch),
        **dict.fromkeys(("softmax", "log_softmax", "cumsum", "softmin"), rules_pointwise.normalise_along),
        **dict.fromkeys((*_REDUCTIONS, *_MORE_REDUCTIONS), rules_pointwise.reduce),
        **dict.fromkeys(_SPATIAL, rules_pointwise.spatial),
        **dict.fromkeys(_POINTWISE, rules_pointwise.combine),
        **dict.fromkeys((*SAME_VALUE, *_LIKE, "zero", "fill"), rules_pointwise.keep),
        **dict.fromkeys(_MOVES, rules_layout.move),
        **dict.fromkeys(_MOVES_ELSEWHERE, rules_layout.move_elsewhere),
        **dict.fromkeys(("split", "chunk", "split_with_sizes", "tensor_split"), rules_layout.split),
        **dict.fromkeys(("view", "flatten"), rules_layout.reshape),
        "linear": rules_weights.linear,
        "group_norm": rules_weights.normalise_groups,
        "scaled_dot_product_attention": rules_weights.attend,
        "glu": rules_pointwise.gate_halves,
        "prelu": rules_pointwise.prelu,
        "slice": rules_layout.slice_axis,
        "unbind": rules_layout.unbind,
        "cat": rules_layout.concatenate,
        "stack": rules_layout.stack,
        "pad": rules_layout.pad,
        "pixel_shuffle": rules_layout.shuffle_pixels,
        "pixel_unshuffle": rules_layout.unshuffle_pixels,
        "channel_shuffle": rules_layout.shuffle_channels,
        "unfold_windows": rules_layout.unfold_windows,
    }
)
"""Rules by the name of the operation; others are judged by :func:`rule_of`."""


def rule_of(context: Context) -> Rule:
    """The rule for an operation that reads at least one tensor with channels."""
    known = RULES.get(context.step.name)
    if known is not None:
        return known
    return rules_pointwise.combine if context.step.pointwise else rules_pointwise.unknown
