"""Files of packed and of published models."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_adaptive_dropout.experiments.experiment import first_line


def unpacked(path: Path, root: Path) -> Mapping[str, Any]:
    """Unpack a file of ESPnet's stage 14.

    Args:
        path: the file.
        root: directory to unpack into, absolute.

    Returns:
        Its configs and checkpoints by the names under which they were packed.

    Raises:
        ValueError: it cannot be unpacked.
    """
    from espnet2.main_funcs.pack_funcs import unpack

    try:
        return unpack(path.absolute(), root, use_cache=False)
    except (
        *(zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, KeyError),
        *(AssertionError, UnicodeDecodeError, yaml.YAMLError, NotImplementedError),
    ) as error:
        raise ValueError(
            f"{path}: cannot be unpacked as a model of ESPnet's stage 14 "
            f"({first_line(error)[:150]}); copy it again, or give the experiment "
            f"directory"
        ) from None


def fetched(name: str) -> Mapping[str, Any]:
    """Fetch a published model into the cache of its service, as ESPnet does.

    Raises:
        ValueError: there is no such model, or no connection.
    """
    from espnet_model_zoo.downloader import ModelDownloader
    from huggingface_hub import errors

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return ModelDownloader().download_and_unpack(name)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        reason = "not on the Hugging Face hub (or not public: log in with 'hf auth')"
    except errors.HFValidationError:
        reason = "not a name that the Hugging Face hub has (USER/MODEL)"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise ValueError(
                f"{name}: cannot be fetched, the Hugging Face hub answers "
                f"'{first_line(error.__cause__)[:150]}'"
            ) from None
        raise ValueError(
            f"{name}: no file or directory of this name, and it cannot be fetched: no "
            f"connection to the Hugging Face hub, and it is not in the cache; fetch it "
            f"where there is a connection, or give the packed file"
        ) from None
    except Exception as error:  # of requests, httpx, the model zoo, ...
        raise ValueError(
            f"{name}: cannot be fetched ({type(error).__name__}: "
            f"{first_line(error)[:150]})"
        ) from None
    raise ValueError(f"{name}: no file or directory of this name, and {reason}")
