"""Metric math: what alarms and GetMetricData compute of several metrics.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html (documented): arithmetic,
comparisons, AND and OR, IF and FILL. What is missing counts as 0, except where nothing is there at all; what would be
divided by 0 is dropped. Functions beyond these are refused by name.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.rehearsal.cloud.aws.watching.points import MetricKey

Line = dict[int, float]
"""A time series: values by the beginning of their period."""
Operation = Callable[[Any, Any], float]
LOGIC = (
    (re.compile(r"&&|\bAND\b"), " and "),
    (re.compile(r"\|\||\bOR\b"), " or "),
    (re.compile(r"\^"), "**"),
)
ARITHMETIC: Mapping[type[ast.AST], Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARISONS: Mapping[type[ast.AST], Operation] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class BadExpression(ValueError):
    """An expression that is not understood here."""


@dataclass(frozen=True, kw_only=True)
class MetricQuery:
    """One of several: a metric's statistic, or an expression over the others. `returned`: it is what is asked for."""

    id: str
    label: str = ""
    metric: MetricKey | None = None
    statistic: str = ""
    period: int = 60
    expression: str = ""
    returned: bool = True


@dataclass
class MathRun:
    """The lines of queries over one stretch of time; `read` gives that of a metric, `times` are its periods."""

    queries: Sequence[MetricQuery]
    read: Callable[[MetricQuery], Line]
    times: Sequence[int]

    def __post_init__(self) -> None:
        self._found: dict[str, Line | float] = {}
        self._under_way: list[str] = []

    def line(self, query: MetricQuery) -> Line:
        """The line of a query. Raises BadExpression."""
        found = self._look_up(query.id)
        if not isinstance(found, dict):
            raise BadExpression(f"{query.expression} is a number, not a time series")
        return found

    def _look_up(self, name: str) -> Line | float:
        query = next((one for one in self.queries if one.id == name), None)
        if query is None or name in self._under_way:
            raise BadExpression(
                f"there is no {name} to compute with" if query is None else f"{name} needs itself"
            )
        if name not in self._found:
            self._under_way.append(name)
            self._found[name] = self.read(query) if query.metric else self._compute(query.expression)
            self._under_way.remove(name)
        return self._found[name]

    def _compute(self, expression: str) -> Line | float:
        return self._value(parse(expression))

    def _value(self, node: ast.expr) -> Line | float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self._look_up(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return combine(operator.sub, 0.0, self._value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return combine(ARITHMETIC[type(op)], self._value(left), self._value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                return combine(COMPARISONS[type(op)], self._value(left), self._value(right))
            case ast.BoolOp(op=op, values=values):
                either = isinstance(op, ast.Or)
                found = self._value(values[0])
                for value in values[1:]:
                    found = combine(_or if either else _and, found, self._value(value))
                return found
            case ast.Call(func=ast.Name(id="IF"), args=[condition, *choices]) if len(choices) in (1, 2):
                return choose(self._value(condition), *(self._value(choice) for choice in choices))
            case ast.Call(func=ast.Name(id="FILL"), args=[line, filler]):
                return self._fill(self._value(line), filler)
        raise BadExpression(f"the local cloud's metric math has no {ast.unparse(node)}")

    def _fill(self, line: Line | float, filler: ast.expr) -> Line:
        if not isinstance(line, dict):
            raise BadExpression("FILL is for a time series")
        if isinstance(filler, ast.Name) and filler.id == "REPEAT":
            filled: Line = {}
            for when in self.times:
                if when in line:
                    filled[when] = line[when]
                elif filled:
                    filled[when] = filled[max(filled)]
            return filled
        value = self._value(filler)
        if isinstance(value, dict):
            raise BadExpression("the local cloud's FILL takes a number or REPEAT")
        return {when: line.get(when, value) for when in self.times}


def parse(expression: str) -> ast.expr:
    """The expression's tree. Raises BadExpression."""
    text = expression
    for pattern, ours in LOGIC:
        text = pattern.sub(ours, text)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression(f"{expression} is no expression") from None


def combine(operation: Operation, left: Line | float, right: Line | float) -> Line | float:
    """Point by point; a number goes with every point. What cannot be computed is dropped."""
    if not isinstance(left, dict) and not isinstance(right, dict):
        found = _apply(operation, left, right)
        if found is None:
            raise BadExpression("a number is divided by 0")
        return found
    times = sorted({*(left if isinstance(left, dict) else ()), *(right if isinstance(right, dict) else ())})
    pairs = ((when, _apply(operation, _at(left, when), _at(right, when))) for when in times)
    return {when: value for when, value in pairs if value is not None}


def choose(
    condition: Line | float, then: Line | float, otherwise: Line | float | None = None
) -> Line | float:
    """IF: for every point of the condition."""
    if not isinstance(condition, dict):
        return then if condition else {} if otherwise is None else otherwise
    found: Line = {}
    for when, holds in condition.items():
        if holds:
            found[when] = _at(then, when)
        elif isinstance(otherwise, dict):
            if when in otherwise:
                found[when] = otherwise[when]
        elif otherwise is not None:
            found[when] = otherwise
    return found


def _at(value: Line | float, when: int) -> float:
    return value.get(when, 0.0) if isinstance(value, dict) else value


def _apply(operation: Operation, left: float, right: float) -> float | None:
    try:
        found = operation(left, right)
        return None if isinstance(found, complex) else float(found)
    except (ZeroDivisionError, OverflowError):
        return None


def _and(left: float, right: float) -> float:
    return float(bool(left and right))


def _or(left: float, right: float) -> float:
    return float(bool(left or right))
