"""A packed model as ONNX with standard operators: weights stay packed in the file, products are of integers."""

from pathlib import Path

import numpy as np

from lowbit.inference import check, file
from lowbit.inference.grid import WIDEST, Matrix, grid
from lowbit.quantizers import packing
from lowbit.registry import InputError, parse

OPSET = 17  # of the operators
VERSION = 8  # of the file format
BITS = 8  # of activations: what MatMulInteger takes
TOP = 2.0 ** (BITS - 1) - 1  # of a rounded activation
UNIT = 2.0 ** (1 - BITS)  # of a rounded h
SMALL = 63  # of levels whose products with unsigned bytes, two and two, stay in 16 bits, as x86 sums them


def export(path: str | Path, out: str | Path) -> Path:
    """Writes one step of a packed model as ONNX; raises `InputError` without onnx, and for a model with no such form.

    Inputs `x` (batch), symbols, or (batch, inputs), features, and the state `h` and, of an LSTM, `c`, each (layers,
    batch, units); outputs `y` (batch, outputs) and the next state, `h_next`, `c_next`. Where the first steps have norm
    statistics of their own, `t` (batch), the steps since the start, is part of the state. Codes are packed as in the
    packed file, unpacked by a division and a remainder, which a runtime folds into constants when it loads. A tool that
    folds constants into the file makes it about four times larger (`findings/simplifiers_unfold_packed_weights.sh`). h
    is rounded to 8 bits as `lowbit.load(path, bits=8)` does.
    """
    onnx = _onnx()
    arrays, about = check.read(path)
    graph = Graph(onnx)
    cell = parse(about["cell"], "cell")[0]
    x, units = "x", about["units"]
    coded = about["symbols"]
    if coded and file.has("embedding", arrays):
        x, coded = graph.add("Gather", [graph.weights(file.matrix("embedding", arrays)), x], axis=0), False
    ends: dict[str, list[str]] = {"h": [], "c": []}
    slots = len(arrays["layers.0.scale_h"])
    slot = graph.add("Min", ["t", graph.constant(slots - 1, np.int64)]) if slots > 1 else ""
    for n in range(about["layers"]):
        layer = Layer(graph, n, file.layer(n, arrays, str(BITS)), slot)
        x = layer.step(cell, x, coded and n == 0, ends)
    logits = graph.add("MatMul", [x, graph.transposed(graph.weights(file.matrix("readout.weight", arrays)))])
    graph.add("Add", [logits, graph.constant(arrays["readout.bias"])], "y")
    helper, kinds = onnx.helper, onnx.TensorProto
    state = {name: (kinds.FLOAT, [about["layers"], "batch", units]) for name in ends if ends[name]}
    for name in state:
        graph.add("Concat", ends[name], f"{name}_next", axis=0)
    if slot:
        state["t"] = kinds.INT64, ["batch"]
        graph.add("Add", ["t", graph.constant(1, np.int64)], "t_next")
    info = helper.make_tensor_value_info
    kind = (kinds.INT64, ["batch"]) if about["symbols"] else (kinds.FLOAT, ["batch", about["inputs"]])
    inputs = [info("x", *kind), *(info(name, *kind) for name, kind in state.items())]
    outputs = [info("y", kinds.FLOAT, ["batch", about["outputs"]])]
    outputs += [info(f"{name}_next", *kind) for name, kind in state.items()]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "lowbit", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=VERSION,
    )
    onnx.checker.check_model(proto)
    Path(out).write_bytes(proto.SerializeToString())
    return Path(out)


class Graph:
    """Nodes and constants as they are added; methods return the names of results."""

    def __init__(self, onnx):
        self.onnx, self.nodes, self.constants = onnx, [], []

    def add(self, operator: str, inputs: list[str], name: str = "", **settings) -> str:
        """One operator with one result."""
        return self.split(operator, inputs, 1, name, **settings)[0]

    def split(self, operator: str, inputs: list[str], count: int, name: str = "", **settings) -> list[str]:
        """One operator with several results."""
        names = [name or f"{operator}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, names, **settings))
        return names

    def constant(self, values, kind=np.float32) -> str:
        """An array of the file."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, matrix: Matrix) -> str:
        """Values in float32; codes are packed and their levels looked up."""
        if matrix.codes is None:
            return self.constant(matrix.book)
        if len(matrix.book) > 1 or matrix.codes.dtype != np.uint8:
            return self.constant(matrix.values)
        codes = self.add("Cast", [self.codes(matrix)], to=self.onnx.TensorProto.INT64)
        return self.add("Gather", [self.constant(matrix.book[0]), codes], axis=0)

    def codes(self, matrix: Matrix) -> str:
        """Codes (rows cols) out of bytes that hold a few digits each."""
        levels = matrix.book.shape[1]
        digits = packing.per_byte(levels)
        packed = self.constant(packing.pack(matrix.codes, levels)[:, None], np.uint8)
        wide = self.add("Cast", [packed], to=self.onnx.TensorProto.INT32)
        powers = self.constant(levels ** np.arange(digits), np.int32)
        codes = self.add("Mod", [self.add("Div", [wide, powers]), self.constant(levels, np.int32)])
        flat = self.add("Reshape", [codes, self.constant([-1], np.int64)])
        ends = [self.constant([end], np.int64) for end in (0, matrix.codes.size)]
        return self.add("Reshape", [self.add("Slice", [flat, *ends]), self.constant(matrix.codes.shape, np.int64)])

    def transposed(self, name: str) -> str:
        """Columns as rows."""
        return self.add("Transpose", [name], perm=[1, 0])


class Layer:
    """The nodes of one layer."""

    def __init__(self, graph: Graph, number: int, arrays: dict[str, np.ndarray], slot: str):
        self.graph, self.number, self.arrays, self.slot = graph, number, arrays, slot
        if "first" in arrays:
            raise InputError(
                "ONNX takes its first state as an input: this model learned its start, train with start=zero"
            )

    def step(self, cell: str, x: str, coded: bool, ends: dict[str, list[str]]) -> str:
        """h after the step, (batch units); `ends` collects the state."""
        add, h = self.graph.add, self._state("h")
        above = self._input(x, coded)
        below = self._product("recurrent", h, self.graph.constant(UNIT))
        below = self._affine(below, "scale_h", "shift_h")
        if cell == "lstm":
            parts = self.graph.split("Split", [add("Add", [above, below])], 4, "", axis=1)
            i, f, o = (add("Sigmoid", [parts[k]]) for k in (0, 1, 3))
            remembered = add("Mul", [f, self._state("c")])
            c = add("Add", [remembered, add("Mul", [i, add("Tanh", [parts[2]])])])
            ends["c"].append(self._stacked(c))
            h = add("Mul", [o, add("Tanh", [self._affine(c, "scale_c", "shift_c")])])
        elif cell == "gru":
            (x_r, x_z, x_n), (h_r, h_z, h_n) = (
                self.graph.split("Split", [part], 3, "", axis=1) for part in (above, below)
            )
            r, z = add("Sigmoid", [add("Add", [x_r, h_r])]), add("Sigmoid", [add("Add", [x_z, h_z])])
            candidate = add("Tanh", [add("Add", [x_n, add("Mul", [r, h_n])])])
            h = add("Add", [candidate, add("Mul", [z, add("Sub", [h, candidate])])])
        else:
            h = add("Tanh", [add("Add", [above, below])])
        ends["h"].append(self._stacked(h))
        return h

    def _input(self, x: str, coded: bool) -> str:
        add, constant = self.graph.add, self.graph.constant
        if coded:
            weights = self.graph.weights(file.matrix("input", self.arrays))
            z = add("Gather", [self.graph.transposed(weights), x], axis=0)
        elif self.number == 0:
            largest = add("ReduceMax", [add("Abs", [x])], axes=[1], keepdims=1)
            least, top = constant(np.finfo(np.float32).tiny * 2.0**13), constant(TOP)
            z = self._product("input", x, add("Div", [add("Max", [largest, least]), top]))
        else:
            z = self._product("input", x, constant(UNIT))
        return self._affine(z, "scale_x", "shift_x")

    def _product(self, part: str, x: str, unit: str) -> str:
        """A product of rounded activations in units of `unit`, of integers where the weights are a grid."""
        add, constant, kinds = self.graph.add, self.graph.constant, self.graph.onnx.TensorProto
        matrix = file.matrix(part, self.arrays)
        weights = grid(matrix, WIDEST)
        if weights is None:
            return add("MatMul", [x, self.graph.transposed(self.graph.weights(matrix))])
        rounded = add("Clip", [add("Round", [add("Div", [x, unit])]), constant(-TOP), constant(TOP)])
        if not weights.narrow:
            z = add("MatMul", [rounded, self.graph.transposed(self.graph.weights(matrix))])
            return add("Mul", [z, unit])
        codes = add("Cast", [self.graph.codes(matrix)], to=kinds.INT64)
        # Activations count from 128, as unsigned bytes: the one kind that every version takes with signed weights.
        bytes_ = add("Cast", [add("Add", [rounded, constant(128)])], to=kinds.UINT8)
        zero = constant(128, np.uint8)
        if max(map(abs, weights.levels)) > SMALL:  # processors without VNNI would saturate: slower, and exact
            levels, zeros = constant(np.array(weights.levels) + 128, np.uint8), [zero, zero]
        else:
            levels, zeros = constant(weights.levels, np.int8), [zero]
        whole = add("Gather", [levels, codes], axis=0)
        y = add("MatMulInteger", [bytes_, self.graph.transposed(whole), *zeros])
        return add("Mul", [add("Cast", [y], to=kinds.FLOAT), add("Mul", [unit, constant(weights.scale)])])

    def _affine(self, z: str, scale: str, shift: str) -> str:
        """A value times its scale plus its shift, where the layer has them, by the slot of the step."""
        for operator, name in (("Mul", scale), ("Add", shift)):
            if name in self.arrays:
                table = self.graph.constant(self.arrays[name] if self.slot else self.arrays[name][0])
                row = self.graph.add("Gather", [table, self.slot], axis=0) if self.slot else table
                z = self.graph.add(operator, [z, row])
        return z

    def _state(self, name: str) -> str:
        return self.graph.add("Gather", [name, self.graph.constant(self.number, np.int64)], axis=0)

    def _stacked(self, value: str) -> str:
        return self.graph.add("Unsqueeze", [value, self.graph.constant([0], np.int64)])


def _onnx():
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ModuleNotFoundError as error:
        raise InputError("export to ONNX needs onnx: pip install 'lowbit[bench]'") from error
    return onnx
