"""Dependency analysis: from a program to its channel groups."""

from secateur.engine.graph.analysis import Analysis, analyse
from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.groups import Family, FrozenChannels, Member

__all__ = ["Analysis", "Family", "FrozenChannels", "Member", "MemberRole", "analyse"]
