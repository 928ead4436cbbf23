"""A multilayer perceptron as an ONNX graph. Knows weights and biases; imports onnx only when it is called."""

from __future__ import annotations

from collections.abc import Iterable

from gossipfl.errors import LocalError
from gossipfl.model.schema import Vector

OPSET = 17
"""Of ONNX 1.12 (2022): old enough for the runtimes that devices have."""
IR = 8
"""Of the same."""


def classifier(layers: Iterable[tuple[Vector, Vector]]) -> bytes:
    """The model file of ReLU layers with a softmax behind the last one.

    Input `inputs`, shape (n, features), and output `outputs`, shape (n, classes), are float32.

    Args:
        layers: weight (fan_in, fan_out) and bias (fan_out,) of each.

    Raises:
        LocalError: onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415
    except ImportError:
        raise LocalError("onnx is not installed; pip install 'gossipfl[export]'") from None
    layers = list(layers)
    nodes, weights, at = [], [], "inputs"
    for number, (weight, bias) in enumerate(layers):
        names = f"{number}.weight", f"{number}.bias"
        weights += [
            numpy_helper.from_array(array.copy(), name) for array, name in zip((weight, bias), names, strict=True)
        ]
        nodes.append(helper.make_node("Gemm", [at, *names], [f"{number}.sum"]))
        last = number == len(layers) - 1
        nodes.append(
            helper.make_node("Softmax", [f"{number}.sum"], ["outputs"], axis=1)
            if last
            else helper.make_node("Relu", [f"{number}.sum"], [f"{number}.out"])
        )
        at = f"{number}.out"
    ends = (("inputs", layers[0][0].shape[0]), ("outputs", layers[-1][1].shape[0]))
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in ends)
    graph = helper.make_graph(nodes, "perceptron", [inputs], [outputs], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    content: bytes = made.SerializeToString()
    return content
