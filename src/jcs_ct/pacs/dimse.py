"""What peers send within an association, kept within limits: one that breaks them is hung up on, and leaves nothing.

pynetdicom decodes messages in a thread of the association. A message that it cannot decode ends that thread, and the
file that it had opened stays open; whatever is no image is gathered in memory, whatever its length. Here each error
aborts the association in good order, and its files are closed and deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from jcs_ct.errors import JcsError

MESSAGE_BYTES = 1024**2
"""Of a message that is no image, and of the command of any message."""
_WAITING = 8
"""Requests that a peer may send ahead. Without asynchronous operations, which are not negotiated, it is one."""
_ABORT = "Evt19"
"""The event of the upper layer's state machine (PS3.8 table 9-10) for what is no proper PDU: A-P-ABORT, and the end."""


class _MessageError(JcsError):
    """A peer sends what no peer sends."""


class GuardedDimse(DIMSEServiceProvider):
    """A DIMSE provider that survives what it receives.

    Args:
        association: Whose messages.
        longest_pdu: Bytes; the first PDU of an image may hold so much beside its command.
        tell: Called with the reason before the association is aborted.
    """

    def __init__(self, association: Association, longest_pdu: int, tell: Callable[[str], None]) -> None:
        super().__init__(association)
        self._most = MESSAGE_BYTES + longest_pdu
        self._tell = tell
        self._files: list[Any] = []
        self._over = False
        self.reports = 0
        """N-EVENT-REPORTs that were received and not answered; each has a thread."""

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a part of a message."""
        if self._over:
            return
        try:
            self._refuse(primitive)
            super().receive_primitive(primitive)
            self._after()
        except Exception as error:  # pynetdicom and pydicom raise nearly anything on what is no DICOM
            self._over = True
            self._tell(str(error) if isinstance(error, _MessageError) else f"cannot be decoded, {type(error).__name__}")
            self.close()
            self.dul.event_queue.put(_ABORT)

    def close(self) -> None:
        """Close and delete the files of images that did not come whole, or were never looked at."""
        self._note_file()
        for file in self._files:
            if not file.closed:
                with contextlib.suppress(OSError):
                    file.close()
                Path(file.name).unlink(missing_ok=True)
        self._files.clear()

    def _refuse(self, primitive: P_DATA) -> None:
        accepted = {context.context_id for context in self.assoc.accepted_contexts}
        size = 0
        for context, data in primitive.presentation_data_value_list:
            size += len(data)
            if context not in accepted:
                raise _MessageError("it uses a presentation context that was not accepted")
            if not data:
                raise _MessageError("it holds an empty part")
        message = self.message
        if message is not None and message._data_set_file is None:
            size += message.encoded_command_set.tell()
            size += 0 if message.data_set is None else message.data_set.tell()
        if (message is None or message._data_set_file is None) and size > self._most:
            raise _MessageError(f"it is no image and has more than {self._most} bytes")
        if self.msg_queue.qsize() > _WAITING or self.reports > _WAITING:
            raise _MessageError(f"more than {_WAITING} requests were sent ahead")

    def _after(self) -> None:
        self._note_file()
        if len(self._files) > _WAITING + 2:
            raise _MessageError("it leaves images open")
        if self.msg_queue.queue:
            _, request = self.msg_queue.queue[-1]
            if isinstance(request, C_STORE) and request.MessageID is not None and not request.is_valid_request:
                raise _MessageError("it is a C-STORE that does not say what it stores")

    def _note_file(self) -> None:
        self._files = [file for file in self._files if not file.closed]
        current = None if self.message is None else self.message._data_set_file
        waiting = [request._dataset_file for _, request in [*self.msg_queue.queue] if isinstance(request, C_STORE)]
        for file in (current, *waiting):
            if file is not None and all(file is not known for known in self._files):
                self._files.append(file)

    def count_report(self, message: Any) -> None:
        """Take note of a message that came whole."""
        if isinstance(message, N_EVENT_REPORT_RQ):
            self.reports += 1
