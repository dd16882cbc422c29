# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts to vectors over a link, as many at a time as the server takes."""

from collections.abc import Callable, Sequence

import msgspec

from haoya.core.errors import Unready
from haoya.core.ports import Embedding
from haoya.models._wire.link import Link


async def embedded(
    link: Link,
    url: str,
    texts: Sequence[str],
    *,
    batch: int,
    body: Callable[[Sequence[str]], bytes],
    read: Callable[[bytes], Embedding],
) -> Embedding:
    """One vector for each text in their order; raises as `Embeds.embed` does."""
    vectors: list[tuple[float, ...]] = []
    tokens = 0
    for i in range(0, len(texts), batch):
        some = texts[i : i + batch]
        answer = await link.ask(url, body(some), some)
        try:
            found = read(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise Unready(f"{link.server} sent no embeddings ({e}); correct base_url") from None
        if len(found.vectors) != len(some):
            text = f"{link.server} sent {len(found.vectors)} vectors for {len(some)} texts"
            raise Unready(f"{text}; look at its log")
        vectors += found.vectors
        tokens += found.tokens
    return Embedding(vectors=tuple(vectors), tokens=tokens)
