"""Paddle Lite's optimiser and engine as a command. Runs alone, in Python 3.7: its last wheels are for that Python.

    python paddle_lite_tool.py optimise PROGRAM WEIGHTS TARGET OUTPUT     writes OUTPUT.nb; TARGET: arm or x86
    python paddle_lite_tool.py run MODEL.nb SIDE INPUTS OUTPUTS           raw float32 files; prints the outputs' shapes

INPUTS holds images of 3 × SIDE × SIDE; OUTPUTS gets, image after image, all outputs of the network.
"""

from __future__ import annotations

import array
import json
import sys


def optimise(program: str, weights: str, target: str, output: str) -> None:
    """The tool ends the process itself when it meets an operator it does not know."""
    from paddlelite import lite

    tool = lite.Opt()
    tool.set_model_file(program)
    tool.set_param_file(weights)
    tool.set_valid_places(target)
    tool.set_model_type("naive_buffer")
    tool.set_optimize_out(output)
    tool.run()


def run(model: str, side: str, inputs: str, outputs: str) -> None:
    """One image a run: the engine on x86 is for checking, not for speed."""
    from paddlelite import lite

    config = lite.MobileConfig()
    config.set_model_from_file(model)
    predictor = lite.create_paddle_predictor(config)
    count = 3 * int(side) ** 2
    shapes = []
    with open(inputs, "rb") as source, open(outputs, "wb") as sink:  # noqa: PTH123 - plain Python 3.7
        while True:
            image = array.array("f")
            image.frombytes(source.read(4 * count))
            if not image:
                break
            tensor = predictor.get_input(0)
            tensor.resize([1, 3, int(side), int(side)])
            tensor.set_float_data(image.tolist())
            predictor.run()
            found = [predictor.get_output(index) for index in range(len(predictor.get_output_names()))]
            shapes = [list(output.shape()) for output in found]
            for output in found:
                sink.write(array.array("f", output.float_data()).tobytes())
    sys.stdout.write("\n" + json.dumps(shapes) + "\n")


if __name__ == "__main__":
    {"optimise": optimise, "run": run}[sys.argv[1]](*sys.argv[2:])
