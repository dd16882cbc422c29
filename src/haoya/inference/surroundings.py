# SPDX-License-Identifier: AGPL-3.0-or-later
"""The environment of the programs this room starts: made of known names, so that no secret of
ours is in it. Never our own with something taken out."""

import os

_RUN = (
    "GOMP_SPINCOUNT",
    *("PATH", "HOME", "TMPDIR", "TEMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *(
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
    ),
)
"""Where libraries are, and which GPUs may be used."""

_PYTHON = ("PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "LC_CTYPE")
"""For programs of our own."""

_BUILD = (
    *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "PKG_CONFIG_PATH"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
)
_BUILD_FAMILIES = ("PIP_", "CMAKE_", "CUDA_", "CUDACXX", "HIP_", "ROCM_", "VULKAN_", "GGML_")
"""For compilers, and for pip, which fetches what is built: how the owner has set them up."""


def running() -> dict[str, str]:
    """For an engine."""
    return _passed(_RUN)


def working() -> dict[str, str]:
    """For a child of our own code."""
    return _passed((*_RUN, *_PYTHON))


def building() -> dict[str, str]:
    """For a build of an engine, started by the owner."""
    families = [name for name in os.environ if name.startswith(_BUILD_FAMILIES)]
    return _passed((*_RUN, *_PYTHON, *_BUILD, *families))


def _passed(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
