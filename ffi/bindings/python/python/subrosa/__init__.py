"""Subrosa: an embedded, end-to-end encrypted, local-first database.

key = subrosa.Key.generate()
with subrosa.Device.create("app-data", key) as device:
    notes = device.create_vault("personal").collection("notes")
    id = notes.insert({"title": "Call Anna", "done": False})
    print(notes.get(id))
"""

from ._ffi import ABI_VERSION, lib, text
from .collection import Collection, Delete, Import, Insert, Put, Replace, Row, record_id
from .device import Device, SpaceReport, VaultInfo, VerifyReport
from .errors import NotStorable, SubrosaError
from .events import Change, ChangeKind, SyncEvent, SyncEventKind, SyncEvents, SyncState, Watch
from .keys import Key, KeyProvider, KeyProviderError, Profile, PublicKey, Session
from .log import log_off, log_to
from .pairing import PairJoin, PairOffer, PairRequest
from .record import Kind, Record
from .status import Status
from .sync import Failure, Sync, SyncStatus, VaultAtRelay
from .values import Json
from .vault import Delivery, DeviceInfo, ForksOfDevice, HeldGroups, HeldOfDevice, Role, Tx, Vault
from .waiting import Cancel


def version() -> str:
    """The library's version."""
    return text(lib.subrosa_version())


__all__ = [
    "ABI_VERSION", "Cancel", "Change", "ChangeKind", "Collection", "Delete", "Delivery", "Device", "DeviceInfo",
    "Failure", "ForksOfDevice", "HeldGroups", "HeldOfDevice", "Import", "Insert", "Json", "Key", "KeyProvider",
    "KeyProviderError", "Kind", "NotStorable", "PairJoin", "PairOffer", "PairRequest", "Profile", "PublicKey", "Put",
    "Record", "Replace", "Role", "Row", "Session", "SpaceReport", "Status", "SubrosaError", "Sync", "SyncEvent",
    "SyncEventKind", "SyncEvents", "SyncState", "SyncStatus", "Tx", "Vault", "VaultAtRelay", "VaultInfo", "VerifyReport",
    "Watch", "log_off", "log_to", "record_id", "version",
]  # fmt: skip
