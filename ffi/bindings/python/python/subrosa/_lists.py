"""Lists of the library."""

from __future__ import annotations

from ._ffi import CData, call, ffi, lib
from ._handles import Handle


class Texts(Handle):
    """A list of the library, by its texts."""

    __slots__ = ()
    _slot = ffi.typeof("subrosa_list **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_list_close(ptr)

    def __len__(self) -> int:
        return int(lib.subrosa_list_len(self._ptr))

    def text(self, index: int) -> str:
        text, length = ffi.new("const char **"), ffi.new("size_t *")
        call(lib.subrosa_list_text_view, self._ptr, index, text, length)
        decoded: str = ffi.buffer(text[0], length[0])[:].decode("utf-8") if length[0] else ""
        return decoded
