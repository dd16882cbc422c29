# SPDX-License-Identifier: AGPL-3.0-or-later
"""The text of a PDF. Started only for one, for this needs the package pypdf."""

import io

from pypdf import PdfReader
from pypdf.errors import PyPdfError

PAGES = 500


def pdf(body: bytes, order: dict[str, str]) -> dict[str, str]:
    """Text page by page. ValueError in words where there is none."""
    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("the PDF is locked with a password")
        pages = [one.extract_text().strip() for one in reader.pages[:PAGES]]
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except PyPdfError as error:
        raise ValueError(f"the PDF is broken ({type(error).__name__})") from None
    text = "\n\n".join(
        f"[page {number}]\n{words}" for number, words in enumerate(pages, 1) if words
    )
    if not text:
        raise ValueError("the PDF has no text in it, only pictures")
    return {"title": title, "text": text, "charset": "pdf"}
