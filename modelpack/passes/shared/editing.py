"""Graphs changed in place: other nodes, further constants, nothing kept that is not read, and nodes under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Constants = Mapping[str, NDArray[Any] | np.generic]


def set_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """These nodes and no others."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name; what is left out is not there."""
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def add_constants(graph: onnx.GraphProto, constants: Constants, below: str = "") -> None:
    """Initializers by name; called `<below>.<name>` where that is given."""
    from onnx import numpy_helper

    for name, array in constants.items():
        own = f"{below}.{name}" if below else name
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), own))


def drop_unread(graph: onnx.GraphProto) -> None:
    """No initializers that neither a node nor a caller reads."""
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for tensor in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(tensor)


def nodes_below(name: str) -> Callable[..., onnx.NodeProto]:
    """A maker of nodes all of whose values are called `<name>.<word>`."""
    from onnx import helper

    def node(operator: str, given: Sequence[str], made: str, **attributes: Any) -> onnx.NodeProto:
        below = [f"{name}.{one}" for one in given]
        return helper.make_node(operator, below, [f"{name}.{made}"], f"{name}.{made}.of", **attributes)

    return node
