"""The names that ESPnet3 configs use; see ``plugin/egs3.py``."""

from espnet_adaptive_dropout.plugin.egs3 import *  # noqa: F403
