"""Every known way to break the guideline, by its section."""

from tests.guideline.mutants import (
    s2_branches,
    s3_ci,
    s4_image,
    s5_delivery,
    s6_secrets,
    s7_operation,
    s8_agents,
)
from tests.guideline.mutants.model import Mutant

SECTIONS = (s2_branches, s3_ci, s4_image, s5_delivery, s6_secrets, s7_operation, s8_agents)
MUTANTS: tuple[Mutant, ...] = tuple(mutant for section in SECTIONS for mutant in section.MUTANTS)

__all__ = ["MUTANTS", "SECTIONS", "Mutant"]
