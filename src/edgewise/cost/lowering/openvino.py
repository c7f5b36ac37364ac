"""OpenVINO's CPU plug-in: channels-last throughout, batch norm, addition and activation inside the convolution.

Read off the plug-in's run-time graphs (2026.4) of VGG-16, ResNet-56 and MobileNetV2: every
convolution is one ``brgconv`` primitive with its batch norm, residual addition and
activation as post-operations, and no layout change stands between two convolutions.
Hard sigmoid alone is run by itself, behind convolutions and behind linear layers.
"""

from edgewise.cost.lowering.groups import ACTIVATIONS, FusionRules

_FUSED_ACTIVATIONS = ACTIVATIONS - {"hardsigmoid"}

OPENVINO_RULES = FusionRules(
    norm=True,
    norm_after_linear=True,
    add=True,
    conv_activations=_FUSED_ACTIVATIONS,
    linear_activations=_FUSED_ACTIVATIONS,
)
