"""The JSON that the service speaks, as OpenAPI tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jcs_ct.jobs.job import JobState
from jcs_ct.service.users import Role


class Document(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(frozen=True)


class ProblemDocument(Document):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Patient(Document):
    """Who, as the study states it."""

    name: str | None = None
    id: str | None = None


class Summary(Document):
    """What a worklist shows of a result; null where it is not known."""

    verdict: str | None = None
    probability: float | None = None
    lesion_volume_ml: float | None = None
    lesion_share_of_lung: float | None = None
    severity: int | None = None
    doubts: list[str] = []
    """Why this verdict needs a second pair of eyes, in a few words each."""
    patient: Patient | None = None
    study_date: str | None = None
    description: str | None = None


class JobDocument(Document):
    """A study that was handed in, and how far it is."""

    id: str
    name: str
    owner: str
    state: JobState
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stage: str | None
    stage_done: int
    stage_total: int
    reason: str | None
    position: int | None
    """How many are worked off before it, where it is queued."""
    summary: Summary
    revision: int | None
    """The latest; null where there is no result."""
    signed: Literal["accepted", "rejected"] | None
    held: bool
    """Whether it is kept whatever its age."""
    can_edit: bool
    upload: str | None
    """Where an upload held several studies: the id that the upload was given, which is the job of the first of them."""


class JobList(Document):
    """Jobs, the latest first."""

    jobs: list[JobDocument]
    total: int
    """Without limit and offset."""


class ResultFile(Document):
    """A file of a result."""

    name: str
    """Relative to the result."""
    size: int
    media_type: str


class RevisionDocument(Document):
    """A state of a result: what the worker made is number 0."""

    number: int
    parent: int | None
    kind: Literal["diagnosis", "correction", "sign_off"]
    by: str | None
    at: datetime
    comment: str
    judgement: Literal["accepted", "rejected"] | None


class Layers(Document):
    """Where the layers of a view are; null where there is none."""

    volume: str
    lesions: str | None
    lungs: str | None
    activation: str | None


class View(Document):
    """A study as a viewer shows it: all layers are on one grid of slices (feet to head), rows and columns."""

    revision: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    """Of slices, rows, columns; null where it is not known, and the layers then have unit spacing."""
    voxel_ml: float | None
    """Null where no volume is known, or where slices differ: see slice_extent_mm."""
    slice_extent_mm: list[float] | None
    """For how much of the patient each slice stands, where slices differ."""
    pixel_area_mm2: float | None
    intensity: Literal["HU", "GRAY8"]
    layers: Layers


class Changed(Document):
    """What a change of a result led to."""

    revision: int
    result: dict[str, Any]


class SignOff(Document):
    """A reader's judgement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judgement: Literal["accepted", "rejected"]
    comment: str = Field(default="", max_length=2000)
    parent: int = Field(ge=0, lt=10_000)


class Credentials(Document):
    """Of a login."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024)


class SessionDocument(Document):
    """Who is logged in."""

    user: str | None
    authentication: Literal["none", "password"]
    csrf: str | None
    """To be sent as X-CSRF-Token with all that changes something; null for programs with a token."""


class SessionEntry(Document):
    """A login that goes on."""

    id: str
    address: str
    began_at: datetime
    current: bool
    """Whether the request came with it."""


class TokenEntry(Document):
    """A token of a program, which is not told itself."""

    id: str
    made_at: datetime


class Account(Document):
    """What a user may do, and by what they are known now."""

    user: str
    roles: list[Role]
    sessions: list[SessionEntry]
    tokens: list[TokenEntry]


class PasswordChange(Document):
    """Another password for oneself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: str = Field(min_length=1, max_length=1024)
    new: str = Field(min_length=1, max_length=1024)


class SessionsEnd(Document):
    """Which of one's sessions shall end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    password: str = Field(min_length=1, max_length=1024)
    session: str | None = Field(default=None, pattern="^[0-9a-f]{8}$")
    """Id of one; null for all but the one that the request comes with."""


class UserEntry(Document):
    """A user, as who administers them sees it."""

    name: str
    roles: list[Role]
    sessions: int
    tokens: int


class Health(Document):
    """How the service is; without patients' data."""

    status: Literal["ok", "degraded"]
    version: str
    queued: int
    running: int
    problem: str | None
