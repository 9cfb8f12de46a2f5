"""The key of the server's own administrator."""

from caxton.api.services import Services
from caxton.domain.key_text import hash_key, new_key
from caxton.domain.permissions import KeyGrant, Role
from caxton.runtime.data_folder import DataFolder, write_private


async def ensure_admin_key(services: Services, folder: DataFolder, customer: str) -> None:
    """Makes the first key. Its file is written before its hash, so that a crash between leaves no key that nobody has."""
    path = folder.admin_key
    text = path.read_text().strip() if path.exists() else ""
    if not text:
        text = new_key()
        write_private(path, text + "\n")
    known = await services.keys.records.read(lambda transaction: transaction.find_key(hash_key(text)))
    if known is None:
        await services.keys.create_for(customer, "admin", [KeyGrant(role=Role.ADMIN)], text)
