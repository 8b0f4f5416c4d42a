"""Einsum: one label for each letter of the equation."""

from torch import Tensor, fx

from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.propagate import Output, Rule, Site
from secateur.engine.program.macs import einsum_letters


def einsum(site: Site) -> Output:
    """Rule of ``einsum``: unite the labels of each letter; letters of the output keep theirs."""
    operands: list[fx.Node] = list(site.argument(1, "tensors"))
    ranks = [len(site.shape_of(operand)) for operand in operands]
    equation = einsum_letters(str(site.argument(0, "equation")), ranks)
    if equation is None:
        site.pin_inputs("einsum with an implicit output")
        return {}
    left, right = equation
    by_letter = _by_letter(site, left, operands)
    for letter, ids in by_letter.items():
        sides = [o for letters, o in zip(left, operands, strict=True) if letter in letters]
        if letter not in right:
            site.atoms.set_role(ids, MemberRole.CONSUMER)
            site.atoms.dissolve(ids, site.node, sides)
            site.atoms.doubt(ids, site.node, sides)
        elif len(sides) > 1:
            site.atoms.share(ids, site.node)
    return {dim: by_letter[letter] for dim, letter in enumerate(right) if letter in by_letter}


def _by_letter(site: Site, left: list[str], operands: list[fx.Node]) -> dict[str, Tensor]:
    """Return the label of each letter; pin it if an operand of full size has none."""
    by_letter: dict[str, Tensor] = {}
    unlabelled: set[str] = set()
    for letters, operand in zip(left, operands, strict=True):
        labels = site.labels_of(operand)
        for dim, letter in enumerate(letters):
            ids = labels.get(dim)
            if ids is None and site.shape_of(operand)[dim] > 1:
                unlabelled.add(letter)
            elif ids is not None and letter in by_letter:
                site.atoms.unite(by_letter[letter], ids)
            elif ids is not None:
                by_letter[letter] = ids
    for letter in unlabelled & by_letter.keys():
        site.atoms.pin(
            by_letter.pop(letter), "is combined with values that no parameter produces", site.node
        )
    return by_letter


RULES: dict[str, Rule] = {"einsum": einsum}
