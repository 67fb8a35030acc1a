"""ESPnet3's ASR stages, with a tokenizer that can be trained again after a mistake."""

from __future__ import annotations

import re
from pathlib import Path

from espnet3.systems.esp2_asr.system import ASRSystem


class RecipeSystem(ASRSystem):
    """ASRSystem whose stage ``train_tokenizer`` says what to change if it fails."""

    def train_tokenizer(self, *args, **kwargs) -> None:
        """As ESPnet's stage.

        Raises:
            SystemExit: the text is too small for ``tokenizer.vocab_size``.
        """
        if not self._has_tokenizer():
            self._remove_leftovers()
        try:
            super().train_tokenizer(*args, **kwargs)
        except RuntimeError as error:
            limit = re.search(r"value <= (\d+)", str(error))
            if limit is None:
                raise
            raise SystemExit(
                f"conf/training.yaml: tokenizer.vocab_size: "
                f"{self.training_config.tokenizer.vocab_size} is more than the text "
                f"has; set it to {limit.group(1)} or less"
            ) from None

    def _remove_leftovers(self) -> None:
        """Remove what a failed attempt has left, which ESPnet does not overwrite."""
        config = self.training_config
        save_path, kind = Path(config.tokenizer.save_path), config.tokenizer.model_type
        texts = [save_path / "train.txt"]
        if config.get("data_dir"):
            texts.append(Path(config.data_dir) / "train_tokenizer" / "train.txt")
        for path in (*texts, save_path / f"{kind}.model", save_path / f"{kind}.vocab"):
            path.unlink(missing_ok=True)
