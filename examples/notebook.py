# %% [markdown]
# Notes that are encrypted here, and follow their owner to other devices. Run the cells in a notebook, or the whole
# file: `python examples/notebook.py`. With a relay's URL in SUBROSA_RELAY the notes are synced at the end.

# %% Open: a key pair is all it takes. A real application keeps it in the keystore of its platform.
import asyncio
import os
import tempfile
from pathlib import Path

import subrosa

folder = Path(tempfile.mkdtemp()) / "app-data"
key = subrosa.Key.generate()
device = subrosa.Device.create(folder, key, "notebook")
vault = device.create_vault("personal")
notes = vault.collection("notes")

# %% Write: durable when it returns. Whole numbers, floats and bytes stay what they are.
anna = notes.insert({"title": "Call Anna", "done": False, "minutes": 15})
notes.put(anna, {"done": True})  # this field only; the others may change elsewhere meanwhile
photo = notes.insert({"title": "Garden", "rating": 4.5, "thumbnail": b"\x89PNG\r\n"})
settings = subrosa.record_id("settings")  # the same id on every device
notes.put(settings, {"title": "Settings", "theme": "dark"})

# %% Several at once: all of them, or none
with vault.write() as tx:
    groceries = notes.insert({"title": "Groceries", "items": ["bread", "roses"], "minutes": 40}, tx=tx)
    notes.put(anna, {"next": str(groceries)}, tx=tx)

notes.insert_many({"title": f"Chapter {number}", "minutes": 30 * number} for number in range(1, 6))

# %% Query: a scan reads in pages, so Python's own tools do the rest
print(notes.get(anna))
long = [note["title"] for _, note in notes.scan() if note.get("minutes", 0) > 60]
print("more than an hour:", sorted(long))
total = sum(note.get("minutes", 0) for _, note in notes.scan())
print(f"{notes.count()} notes, {total} minutes")


# %% Watch: changes from here and from other devices, as they happen
async def watch() -> list[str]:
    seen = []
    async with notes.watch() as changes:
        notes.put(groceries, {"items": ["bread", "roses", "salt"]})
        notes.delete(photo)
        async for change in changes:
            seen.append(change.kind.value)
            if len(seen) == 2:
                break
    return seen


# In a notebook, which has a loop already: `await watch()`.
print("seen:", asyncio.run(watch()))


# %% Sync: in the background, whenever there is a network
async def sync(relay: str) -> None:
    async with device.sync(relay) as syncing:
        await syncing.wait(idle=30)
        print("synced:", syncing.reason())


if relay := os.environ.get("SUBROSA_RELAY"):
    asyncio.run(sync(relay))

# %% Close. The same key opens it again; no other does.
device.close()
with subrosa.Device.open(folder, key) as again:
    print("after reopening:", again.vault("personal").collection("notes").count(), "notes")
try:
    subrosa.Device.open(folder, subrosa.Key.generate())
except subrosa.SubrosaError as error:
    print("with another key:", error.name)
