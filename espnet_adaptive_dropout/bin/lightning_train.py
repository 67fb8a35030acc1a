"""ESPnet's ``espnet2.bin.lightning_train`` with the plugin registered.

Lightning starts the processes of further GPUs with the name of the main module, for
which the runner gives this one.
"""

from __future__ import annotations

import espnet_adaptive_dropout  # noqa: F401  (registers the classes)


def main() -> None:
    """Run ``espnet2.bin.lightning_train``."""
    from espnet2.bin import lightning_train

    lightning_train.main()


if __name__ == "__main__":
    main()
