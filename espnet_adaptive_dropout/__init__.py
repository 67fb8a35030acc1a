"""Adaptive dropout for pruning Conformers (arXiv 2412.04836) as an ESPnet plugin.

Importing the package makes its classes known to ESPnet's class registries:
``encoder: adaptive_dropout_conformer``, ``encoder: compact_conformer`` and
``model: adaptive_dropout``.
"""

from espnet_adaptive_dropout.plugin import registry

__version__ = "0.1.0"

registry.install()
