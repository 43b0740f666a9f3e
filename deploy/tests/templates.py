"""The templates as data, and CloudFormation's own rules for parameters.

CloudFormation checks parameters before it makes anything, with the words that the template gives. moto checks none of it,
so the same checks are made here from the same template text.
"""

import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "cloudformation"
ROLES = ("origin", "edge", "transcoder")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML with CloudFormation's short forms; by the C library where there is one, which is ten times faster."""


def _short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def names():
    """Every template's name, without `.yaml`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name):
    """One template."""
    return yaml.load((FOLDER / f"{name}.yaml").read_text(), _Loader)


def user_data(name):
    """The text that instances of a role run at first start, before CloudFormation fills in names."""
    data = load(name)["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    text = data["UserData"]["Fn::Base64"]["Fn::Sub"]
    return text if isinstance(text, str) else text[0]


def complaints(template, given):
    """What CloudFormation would answer to `given` parameters: one line each, none when they are fine."""
    slots = template["Parameters"]
    found = [f"parameters do not exist in the template: {name}" for name in given if name not in slots]
    values = {name: given.get(name, slot.get("Default")) for name, slot in slots.items()}
    for name, slot in slots.items():
        value = values[name]
        if value is None:
            found.append(f"parameter {name} must have a value")
        elif not _allowed(slot, str(value)):
            found.append(f"parameter {name} failed to satisfy constraint: {slot.get('ConstraintDescription')}")
    if not found:
        for rule in template.get("Rules", {}).values():
            if _holds(rule.get("RuleCondition", True), values):
                found += [
                    assertion["AssertDescription"]
                    for assertion in rule["Assertions"]
                    if not _holds(assertion["Assert"], values)
                ]
    return found


def _allowed(slot, value):
    if "AllowedValues" in slot and value not in [str(v) for v in slot["AllowedValues"]]:
        return False
    if "AllowedPattern" in slot and not re.fullmatch(slot["AllowedPattern"], value):
        return False
    if slot["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return False
        return slot.get("MinValue", number) <= number <= slot.get("MaxValue", number)
    return True


def _holds(condition, values):
    if isinstance(condition, bool):
        return condition
    [(function, arguments)] = condition.items()
    if function == "Fn::Not":
        return not _holds(arguments[0], values)
    if function == "Fn::Equals":
        left, right = (values[a["Ref"]] if isinstance(a, dict) else a for a in arguments)
        return left == right
    raise NotImplementedError(function)
