"""Writes sealed-file.json: a superblock and a block of docs/FORMAT.md section 1, by another implementation than ours.

Needs the package `cryptography`. Run in this folder.
"""

import hashlib
import hmac
import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def aes(key, block):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def xaes_seal(key, nonce, plaintext, aad):
    """XAES-256-GCM: c2sp.org/XAES-256-GCM."""
    subkey = aes(key, bytes(16))
    doubled = (int.from_bytes(subkey, "big") << 1) & ((1 << 128) - 1)
    mask = (doubled ^ (0x87 if subkey[0] >> 7 else 0)).to_bytes(16, "big")
    derived = b"".join(
        aes(key, bytes(a ^ b for a, b in zip(bytes([0, counter]) + b"X\0" + nonce[:12], mask))) for counter in (1, 2)
    )
    return AESGCM(derived).encrypt(nonce[12:], plaintext, aad)


KEK = bytes(range(32))
FILE_ID = bytes(range(0x40, 0x50))
ROOT = bytes(range(0x80, 0xA0))
MAGIC = b"\x93subrosa\r\n\x1a\n\0\0\0\0"
FORMAT = (1).to_bytes(4, "big")
PAGE = 77
PLAINTEXT = "sub rosa, unseen"

nonce = bytes(range(24))
secret = (5).to_bytes(8, "big") + b"\1" + bytes(7) + ROOT
superblock = MAGIC + FORMAT + bytes(4) + FILE_ID + nonce + xaes_seal(KEK, nonce, secret, MAGIC + FORMAT + FILE_ID)
superblock = superblock.ljust(480, b"\0")
superblock += hashlib.sha256(superblock).digest()

nonce = bytes(range(100, 124))
page_key = hmac.new(ROOT, b"subrosa/1 page key" + FILE_ID + b"\1", hashlib.sha256).digest()
page = PLAINTEXT.encode() * 256
block = nonce + xaes_seal(page_key, nonce, page, FILE_ID + PAGE.to_bytes(8, "big"))

with open("sealed-file.json", "w", encoding="ascii") as file:
    vector = {
        "source": "docs/FORMAT.md section 1, written by write_sealed_file.py",
        "kek": KEK.hex(),
        "file_id": FILE_ID.hex(),
        "superblock": superblock.hex(),
        "page": PAGE,
        "plaintext": PLAINTEXT,
        "block": block.hex(),
    }
    json.dump(vector, file, indent=1)
    file.write("\n")
