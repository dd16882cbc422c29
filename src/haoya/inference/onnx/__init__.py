# SPDX-License-Identifier: AGPL-3.0-or-later
"""ONNX Runtime as an engine: a child process that speaks the dialect of llama.cpp's server.

`child` is the program; nothing else of the house imports this package. Threads: one accepts
connections, each connection has its own, and one (`slots`) alone touches the model.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""The official wheels report to their maker from the moment they are loaded; only this, set
before, keeps them silent for good (onnxruntime-genai, docs/Privacy.md)."""
