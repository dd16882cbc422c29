# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas small enough for a prompt, from the type a tool's arguments decode to."""

from typing import Any

import msgspec


def schema_of(arguments: type[msgspec.Struct]) -> msgspec.Raw:
    """The JSON Schema of a struct without what a model does not need (titles, references).

    Field descriptions come from `Annotated[..., msgspec.Meta(description=...)]`. Keys keep the
    order of the fields, so the text is the same in every process.

    >>> class Look(msgspec.Struct):
    ...     path: str
    >>> bytes(schema_of(Look)).decode()
    '{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}'
    """
    (schema,), definitions = msgspec.json.schema_components([arguments])
    return msgspec.Raw(msgspec.json.encode(_flat(schema, definitions)))


def _flat(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_flat(item, definitions) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _flat(definitions[str(node["$ref"]).rsplit("/", 1)[-1]], definitions)  # pyright: ignore[reportUnknownArgumentType]
    kept: dict[str, Any] = {}
    for key, value in node.items():  # pyright: ignore[reportUnknownVariableType]
        if key == "properties":
            kept[key] = {name: _flat(inner, definitions) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        elif key not in ("title", "description") or (key == "description" and "type" in node):
            kept[str(key)] = _flat(value, definitions)  # pyright: ignore[reportUnknownArgumentType]
    if kept.get("type") == "object":
        kept.pop("description", None)
    if not kept.get("required", True):
        kept.pop("required")
    if kept.get("default", 0) in ("", None, 0, False):
        kept.pop("default", None)
    return kept
