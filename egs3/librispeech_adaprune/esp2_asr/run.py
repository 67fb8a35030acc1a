"""Stages of an ESPnet3 recipe: ``python run.py --stages train ...``."""

from espnet3.systems.esp2_asr.system import ASRSystem
from espnet3.systems.launch import launch

if __name__ == "__main__":
    launch(ASRSystem)
