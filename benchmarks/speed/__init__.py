"""Times encoders: ESPnet's, ours before and after pruning, int8, ONNX, Torch-Pruning.

``python -m benchmarks.speed`` measures, ``python -m benchmarks.speed.report`` writes
tables and plots. ``encoders`` names the rows, ``build`` and ``forms`` make them,
``forward``, ``loading``, ``training`` and ``decoding`` measure them with ``timing``.
"""
