"""Times encoders: ESPnet's, ours before and after pruning, int8, ONNX, Torch-Pruning.

``python -m benchmarks.speed`` measures, ``python -m benchmarks.speed.report`` writes
tables and plots. ``choices`` names rows and settings, ``build`` and ``work`` make the
encoders in all forms, ``steps`` and ``from_disk`` measure them with ``timing``.
"""
