"""Stages of an ESPnet3 recipe: ``python run.py --stages train ...``."""

from espnet3.systems.launch import launch
from src.system import RecipeSystem

if __name__ == "__main__":
    # The default configs are those of ESPnet's ASRSystem.
    launch(RecipeSystem, conf_package="egs3.TEMPLATE.esp2_asr")
