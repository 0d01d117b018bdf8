"""The world around people who were seen by a camera: up, the floor, and what touches it."""

from occlupose.world.contact import Contacts, find_contacts
from occlupose.world.floor import estimate_world
from occlupose.world.footing import rest_on_contacts
from occlupose.world.standing import LiveStanding, stand
from occlupose.world_frame import WorldFrame

__all__ = [
    "Contacts",
    "LiveStanding",
    "WorldFrame",
    "estimate_world",
    "find_contacts",
    "rest_on_contacts",
    "stand",
]
