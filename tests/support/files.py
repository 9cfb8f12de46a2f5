"""Files of all kinds, as small as they may be."""

import base64
import hashlib
import io
import wave

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
CSV = b"month,sales\n2025-01,10\n2025-02,12\n"


def wav() -> bytes:
    """A recording of a moment of silence."""
    with io.BytesIO() as written:
        with wave.open(written, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(16))
        return written.getvalue()


def digest(content: bytes) -> str:
    """The address of a file."""
    return hashlib.sha256(content).hexdigest()


def data_uri(content: bytes, media_type: str) -> str:
    """A file as a text."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
