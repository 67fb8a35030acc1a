"""``python -m espnet_adaptive_dropout -m espnet2.bin.asr_train ...``."""

import importlib.util

# Workers that ESPnet spawns for several GPUs import the parent's main module again,
# unless its name ends in ``__main__``. Under the runner's name they import the
# package, and with it the registrations.
__spec__ = importlib.util.find_spec("espnet_adaptive_dropout.plugin.runner")

if __name__ == "__main__":
    from espnet_adaptive_dropout.plugin.runner import main

    main()
