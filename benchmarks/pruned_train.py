"""ESPnet's ASR training with ``encoder: torch_pruned_conformer`` known to it."""

from __future__ import annotations


def main(cmd=None) -> None:
    """Register the encoder, then run espnet2.bin.asr_train."""
    from espnet2.bin import asr_train

    from benchmarks import pruned_encoder

    pruned_encoder.register()
    asr_train.main(cmd)


if __name__ == "__main__":
    main()
