"""Whole networks that prune their maps for each input while they run: in PyTorch, in OpenVINO, as ONNX.

Every way keeps exactly what :func:`edgewise.dynamic.gate_masks` keeps by attention, and computes only the
rest; ONNX multiplies by masks with standard operators, for correctness.
"""

from edgewise.dynamic.running.costs import KernelCost, kernel_costs
from edgewise.dynamic.running.onnx_file import export_onnx
from edgewise.dynamic.running.openvino_file import export_openvino
from edgewise.dynamic.running.openvino_session import OpenVinoDynamicSession
from edgewise.dynamic.running.torch_module import as_torch, masked_gates

__all__ = ["KernelCost", "OpenVinoDynamicSession", "as_torch", "export_onnx", "export_openvino", "kernel_costs", "masked_gates"]
