"""How fast the encoders are: stock, adaptive, compact, int8, ONNX, Torch-Pruning's.

``python -m benchmarks.speed`` measures and ``python -m benchmarks.speed.report``
writes tables and plots of what is there. ``rows`` says what is compared, ``build``
makes it, ``turns`` times it; ``device`` alone knows CPU from GPU.
"""
