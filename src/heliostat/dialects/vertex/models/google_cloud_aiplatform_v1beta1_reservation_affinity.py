"""The model of the schema `GoogleCloudAiplatformV1beta1ReservationAffinity`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from .enumerations import ReservationAffinityType
from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1ReservationAffinity(GeneratedModel):
    """Whether, and which, reserved machines are used."""

    key: StrictStr | None = Field(default=None, description="The label key of a specific reservation.")
    reservation_affinity_type: Annotated[StrictStr, AfterValidator(ReservationAffinityType.check)] | None = Field(
        default=None, description="One of `ReservationAffinityType`.", alias="reservationAffinityType"
    )
    values: list[StrictStr] | None = Field(default=None, description="The names of specific reservations.")
