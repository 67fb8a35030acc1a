#!/usr/bin/env python3
"""Finds asr.sh and what it calls: ESPnet's egs2/TEMPLATE/asr1 and tools.

ESPnet's wheel has no recipes. They come from a checkout (--espnet_root), or else from
the source distribution of the installed ESPnet, which pip downloads once; the parts
that the recipe needs are kept beside the Python environment.

Prints two lines: the directory to use as ESPNET_ROOT, and the directory whose Python
modules must go before those installed (empty, unless the checkout has another version).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

TEMPLATE = "egs2/TEMPLATE/asr1"
PACKAGES = ("espnet_adaptive_dropout", "torch", "sentencepiece", "yaml")
PACKAGES += ("soundfile", "editdistance", "jiwer")
# Packages that format_wav_scp.py needs; which ones depends on the release.
SCRIPT_PACKAGES = ("humanfriendly", "kaldiio", "omniio")
# Parts of the source distribution. db.sh is left out: users edit it, so it must not
# be a link into the environment.
_PARTS = (
    *(f"{TEMPLATE}/{name}/" for name in ("utils", "scripts", "pyscripts")),
    f"{TEMPLATE}/asr.sh",
    "tools/extra_path.sh",
    "tools/sentencepiece_commands/",
    "version.txt",
    "LICENSE",
)
_CLONE = "git clone https://github.com/espnet/espnet"


class ScriptsError(Exception):
    """No usable ESPnet scripts or environment; the message is one line."""


def missing(names) -> list[str]:
    """Return the top-level modules that cannot be found."""
    # find_spec refuses modules that replaced themselves when they were imported.
    return [n for n in names if n not in sys.modules and find_spec(n) is None]


def installed_version() -> str | None:
    """Return the version of the installed ESPnet, or None."""
    try:
        return version("espnet")
    except PackageNotFoundError:
        return None


def version_of(root: Path) -> str | None:
    """Return the version of an ESPnet source tree, or None where it is not stated."""
    for name in ("version.txt", "espnet/version.txt"):  # newer and older releases
        if (root / name).is_file():
            return (root / name).read_text(encoding="utf-8").strip()
    return None


def use_checkout(root: Path) -> Path | None:
    """Check a user's checkout.

    Returns:
        The checkout where its modules must go first, otherwise None.

    Raises:
        ScriptsError: It is no checkout, its scripts need a package that is missing, or
            there is no ESPnet.
    """
    template = root / TEMPLATE
    if not (template / "asr.sh").is_file():
        raise ScriptsError(
            f"ESPNET_ROOT={root}: no {TEMPLATE}/asr.sh in it; it must be a checkout "
            "of ESPnet"
        )
    script = template / "pyscripts/audio/format_wav_scp.py"
    text = script.read_text(encoding="utf-8") if script.is_file() else ""
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    absent = missing(sorted(imported.intersection(SCRIPT_PACKAGES)))
    if absent:
        raise ScriptsError(
            f"{root}: its scripts import {', '.join(absent)}, which {sys.executable} "
            f"lacks: {sys.executable} -m pip install {' '.join(absent)}"
        )
    own, installed = version_of(root), installed_version()
    if own is None and installed is None:
        raise ScriptsError(f"neither {root} nor {sys.executable} has ESPnet")
    if own is None or own == installed:
        return None
    print(
        f"path.sh: ESPNET_ROOT is ESPnet {own}: its modules are used, not the "
        f"installed ESPnet {installed}",
        file=sys.stderr,
    )
    return root


def unpack(archive: Path, target: Path) -> None:
    """Unpack the needed parts of a source distribution.

    Args:
        archive: The tar file; everything in it lies in one directory.
        target: The directory to make; it appears when it is complete.

    Raises:
        ScriptsError: A part is missing.
        OSError, tarfile.TarError: The archive cannot be read or unpacked.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".espnet.") as scratch:
        with tarfile.open(archive) as tar:
            wanted = []
            for member in tar:
                name = member.name.partition("/")[2]
                if member.isfile() and name.startswith(_PARTS):
                    member.name = name
                    wanted.append(member)
            if hasattr(tarfile, "data_filter"):
                tar.extractall(scratch, wanted, filter="data")
            else:  # Python 3.9 and 3.10 without security updates
                tar.extractall(scratch, wanted)
        root = Path(scratch)
        lost = [part for part in _PARTS if not (root / part).exists()]
        if lost:
            raise ScriptsError(f"{archive.name} has no {lost[0]}")
        found = version_of(root)
        if f"-{found}." not in archive.name:
            raise ScriptsError(f"{archive.name} says that it is version {found}")
        root.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)
        root.mkdir()  # for TemporaryDirectory to remove


def download(release: str, folder: Path) -> Path:
    """Download ESPnet's source distribution with pip.

    pip honours the user's index, mirrors and proxies, resumes and checks the file.

    Raises:
        ScriptsError: pip fails.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "espnet", "--no-build-isolation"]
    command += ["--dest", str(folder), f"espnet=={release}"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(folder.glob("espnet-*.tar.*"))
    if done.returncode or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise ScriptsError(
            f"the source distribution of ESPnet {release}, which has asr.sh, cannot be "
            f"downloaded: {errors[-1] if errors else 'pip said nothing'}; try again, "
            f"or set ESPNET_ROOT to a checkout ({_CLONE})"
        )
    return found[0]


def kept_scripts() -> Path:
    """Return the directory with the scripts of the installed ESPnet.

    They are downloaded first where they are not there yet.

    Raises:
        ScriptsError: There is no ESPnet, or its scripts are not to be had.
    """
    release = installed_version()
    if release is None:
        raise ScriptsError(f"{sys.executable} has no ESPnet: pip install espnet")
    target = Path(sys.prefix) / f"espnet-{release}"
    if (target / TEMPLATE / "asr.sh").is_file():
        return target
    if int(release[:6]) < 202604:
        raise ScriptsError(
            f"ESPnet {release} has no asr.sh on PyPI: set ESPNET_ROOT to a checkout of "
            f"that version ({_CLONE} -b v.{release})"
        )
    print(f"fetching asr.sh of ESPnet {release} (36 MB, once)", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="espnet.") as folder:
            unpack(download(release, Path(folder)), target)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ScriptsError(
            f"{target} cannot be made: {error}; set ESPNET_ROOT to a checkout "
            f"({_CLONE})"
        ) from None
    return target


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--espnet_root", default="", help="a checkout, if there is one")
    args = parser.parse_args()
    try:
        absent = missing(PACKAGES)
        if absent:
            raise ScriptsError(
                f"{sys.executable} lacks {', '.join(absent)}: install the plugin "
                "there, pip install 'espnet-adaptive-dropout[recipe]' or 'DIR[recipe]' "
                "with DIR its repository, or name another environment with "
                "ADAPRUNE_VENV"
            )
        if args.espnet_root:
            root = Path(args.espnet_root)
            print(root, use_checkout(root) or "", sep="\n")
        else:
            print(kept_scripts(), "", sep="\n")
    except ScriptsError as error:
        sys.exit(f"path.sh: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
