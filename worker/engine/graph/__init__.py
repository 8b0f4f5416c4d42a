"""Dependency analysis: from a program to its channel groups."""

from worker.engine.graph.analysis import Analysis, analyse
from worker.engine.graph.atoms import MemberRole
from worker.engine.graph.groups import Family, FrozenChannels, Member

__all__ = ["Analysis", "Family", "FrozenChannels", "Member", "MemberRole", "analyse"]
