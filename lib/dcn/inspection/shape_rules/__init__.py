"""Shapes of operators, exactly as MXNet 1.9.1 infers them.

A rule takes (attributes, shapes of the inputs with None where unknown) and returns (shapes of the inputs, shapes of the
visible outputs); shapes that it gives to inputs become those of the variables there. It raises Misfit where MXNet
refuses, and says None where MXNet or this project does not know.
"""

from typing import Dict, Optional

from dcn.formats.graph import Node
from dcn.inspection.shape_rules import detection, layers, tensors
from dcn.inspection.shape_rules.rule import Rule

RULES: Dict[str, Rule] = {**tensors.RULES, **layers.RULES, **detection.RULES}


def rule_of(node: Node) -> Optional[Rule]:
    """The rule of the operator of ``node``, or None."""
    if node.op == 'Custom':
        return detection.CUSTOM.get(node.attrs.get('op_type', ''))
    return RULES.get(node.op)
