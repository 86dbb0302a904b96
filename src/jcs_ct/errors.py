"""Every exception that jcs_ct raises on purpose.

    JcsError                     anything below; the command line prints its message and exits with `exit_code`
    ├── InputError               the input cannot be read as a study                         exit 2
    │   ├── UnreadableFileError  one file is damaged, truncated or of an unknown kind
    │   └── UnsupportedInputError  read correctly, but not an input that JCS supports
    │       └── SeveralStudiesError  more than one study, where one is expected
    ├── UsageError               an option or a setting is wrong                             exit 2
    ├── WeightsError             weights are missing or do not match their checksum          exit 2
    ├── DataError                a data set for training or evaluation is not as documented  exit 2
    │   └── OverlapError         a patient or an image is in two splits
    ├── PeerError                a DICOM peer cannot be reached, or refuses what it is asked exit 2
    └── QueueError               the queue of jobs cannot be read or written                 exit 2
        ├── QueueFullError       one more job would pass a limit of the queue, or the disk is full
        │   └── QuotaError       one more job would pass a limit of its owner; others are not affected
        ├── NoSuchJobError       the job is missing or owned by someone else
        └── RevisionConflictError  someone else has changed the result in the meantime

A study that was read but must not be judged is not an error: its verdict is `not_assessable`, and the command exits
with 3. Messages say what was found, what was expected and what to do.
"""

from __future__ import annotations


class JcsError(Exception):
    """Base of all exceptions raised on purpose."""

    exit_code = 2


class InputError(JcsError):
    """The input cannot be read as a study."""


class UnreadableFileError(InputError):
    """A file is damaged, truncated, or not of the expected kind."""


class UnsupportedInputError(InputError):
    """A file was read correctly, but JCS does not support its content."""


class SeveralStudiesError(UnsupportedInputError):
    """The input holds more than one study; `read_study` takes one, `split_studies` parts them."""


class UsageError(JcsError):
    """An option or a setting is wrong."""


class WeightsError(JcsError):
    """Model weights are missing, or differ from their recorded checksum."""


class DataError(JcsError):
    """A data set for training or evaluation is not laid out as documented."""


class OverlapError(DataError):
    """A patient, a file or a similar image is in the training data and in the validation or test data."""


class PeerError(JcsError):
    """A DICOM peer cannot be reached, or refuses what it is asked."""


class QueueError(JcsError):
    """The queue of jobs cannot be read or written; not caused by a study."""


class QueueFullError(QueueError):
    """One more job would exceed a limit of the queue, or its disk is full."""


class QuotaError(QueueFullError):
    """One more job would pass a limit of its owner; the others have room."""


class NoSuchJobError(QueueError):
    """The job is missing or owned by someone else; deliberately indistinguishable."""


class RevisionConflictError(QueueError):
    """A change was based on a revision that is no longer the latest."""
