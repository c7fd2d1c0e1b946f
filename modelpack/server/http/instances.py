"""`{"instances": [{input: value}]}` -> arrays; JSON Lines and tables end here too.

The signature becomes a msgspec type, so that a wrong value is named by its path in the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from types import GenericAlias
from typing import Annotated, Any

import msgspec

from modelpack.server.engines.base import Arrays
from modelpack.server.http import extra_fields
from modelpack.server.http.limits import Limits
from modelpack.server.http.plain.integers import NotPlain
from modelpack.server.http.plain.rows import PlainRows
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tensors import LIMITS, check_rows, column, element, whole
from modelpack.server.signature import Tensor

LINE = re.compile(rb"[^\s][^\n]*")
"""A line of JSON Lines with something in it."""


class Instances:
    """Decoder of `/invocations` bodies for the inputs that callers send. `extra`: the name of the array for fields that
    are none (`http/extra_fields.py`); empty: they are refused."""

    def __init__(self, inputs: Sequence[Tensor], limits: Limits | None = None, extra: str = "") -> None:
        self.inputs = tuple(inputs)
        self.limits = limits or Limits()
        self.extra = extra
        self._named = tuple((f"input{number}", tensor) for number, tensor in enumerate(inputs))
        self._plain = PlainRows(self.inputs, self.limits, bool(extra))
        strict = self._instance(False)
        # 5.0 for an integer is rare: only what fails is read again, by the type that takes it
        loose = self._instance(True) if any(tensor.datatype in LIMITS for tensor in inputs) else strict
        self._bodies = tuple(msgspec.json.Decoder(_body(self._rows(one))).decode for one in (strict, loose))
        self._lines = tuple(_lines(one) for one in (strict, loose))
        self._table = self._rows(loose)
        self._fields = msgspec.json.Decoder(_body(GenericAlias(list, (dict[str, msgspec.Raw],)))).decode
        self._field_lines = _lines(dict[str, msgspec.Raw])

    def decode(self, body: bytes) -> tuple[Arrays, int]:
        """The arrays by input name, and how many rows they have.

        Raises:
            Refusal: 400, what and where ("Expected `int`, got `str` - at `$.instances[0].household`").
        """
        try:
            feeds, rows = self._plain.decode(body)
        except NotPlain:
            return self.decode_carefully(body)
        return self._add(feeds, rows, self._fields(body).instances if self.extra else ())

    def decode_carefully(self, body: bytes) -> tuple[Arrays, int]:
        """As `decode`, which asks here what it takes for unusual: everything is looked at by itself."""
        found, loose = _first(self._bodies, body)
        more = self._fields(body).instances if self.extra else ()
        return self._columns(found.instances, loose, more)

    def decode_lines(self, body: bytes) -> tuple[Arrays, int]:
        """An instance a line. Raises `Refusal` (400)."""
        # a line takes more memory once it is read: so they are counted before
        check_rows(
            sum(1 for _ in islice(LINE.finditer(body), self.limits.rows + 1)), self.inputs, self.limits
        )
        try:
            feeds, rows = self._plain.decode(body, lines=True)
        except NotPlain:
            return self.decode_lines_carefully(body)
        return self._add(feeds, rows, self._field_lines(body) if self.extra else ())

    def decode_lines_carefully(self, body: bytes) -> tuple[Arrays, int]:
        """As `decode_lines`, once its lines are counted."""
        instances, loose = _first(self._lines, body)
        if not instances:
            raise Refusal(400, "there are no lines")
        return self._columns(instances, loose, self._field_lines(body) if self.extra else ())

    def from_cells(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Arrays, int]:
        """Rows whose values are still text. Raises `Refusal` (400)."""
        try:
            instances = msgspec.convert(rows, self._table, strict=False)
        except msgspec.ValidationError as problem:
            raise Refusal(400, str(problem)) from None
        return self._columns(instances, True)

    def no_extra(self, rows: int) -> Arrays:
        """The array of fields that are no input, for rows that have none."""
        return {self.extra: extra_fields.as_rows([{} for _ in range(rows)])} if self.extra else {}

    def _columns(
        self, instances: Sequence[Any], loose: bool, more: Sequence[extra_fields.Fields] = ()
    ) -> tuple[Arrays, int]:
        """`loose`: integers may stand there as floats. `more`: all fields of each, as sent."""
        return self._add(self._read(instances, loose), len(instances), more)

    def _add(self, feeds: Arrays, rows: int, more: Sequence[extra_fields.Fields] = ()) -> tuple[Arrays, int]:
        if more:
            known = {tensor.name for tensor in self.inputs}
            return {**feeds, self.extra: extra_fields.read(more, known, self.limits)}, rows
        return {**feeds, **self.no_extra(rows)}, rows

    def _read(self, instances: Sequence[Any], loose: bool) -> Arrays:
        """The arrays by input name, each read by itself. Raises `Refusal` (400)."""
        check_rows(len(instances), self.inputs, self.limits)
        feeds = {}
        for attribute, tensor in self._named:
            values = [getattr(instance, attribute) for instance in instances]
            feeds[tensor.name] = column(
                tensor, whole(tensor, values) if loose and tensor.datatype in LIMITS else values
            )
        check_rows(len(instances), self.inputs, self.limits, {name: one.size for name, one in feeds.items()})
        return feeds

    def _instance(self, whole_floats: bool) -> Any:
        return msgspec.defstruct(
            "Instance",
            [_field(attribute, tensor, whole_floats) for attribute, tensor in self._named],
            rename={attribute: tensor.name for attribute, tensor in self._named},
            forbid_unknown_fields=not self.extra,
            kw_only=True,
            frozen=True,
            gc=False,
        )

    def _rows(self, instance: Any) -> Any:
        most = self.limits.rows
        return Annotated[GenericAlias(list, (instance,)), msgspec.Meta(min_length=1, max_length=most)]


def _lines(instance: Any) -> Callable[[bytes], Any]:
    found: Callable[[bytes], Any] = msgspec.json.Decoder(instance).decode_lines
    return found


def _body(rows: Any) -> Any:
    return msgspec.defstruct("Body", [("instances", rows)], forbid_unknown_fields=True)


def _first(decoders: Sequence[Callable[[bytes], Any]], body: bytes) -> tuple[Any, bool]:
    """What the strict one of two decoders gives, or the other, and whether it was the other. Raises `Refusal` with what
    the strict one found."""
    strict, loose = decoders
    try:
        try:
            return strict(body), False
        except msgspec.ValidationError as problem:
            try:
                return loose(body), True
            except msgspec.ValidationError:
                raise Refusal(400, str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refusal(400, f"the body is not JSON: {problem}") from None


def _field(attribute: str, tensor: Tensor, whole_floats: bool) -> Any:
    kind = element(tensor, whole_floats)
    for axis in reversed(tensor.shape[1:]):
        exact = axis >= 0 and tensor.default is None
        many: Any = GenericAlias(list, (kind,))
        kind = Annotated[many, msgspec.Meta(min_length=axis, max_length=axis)] if exact else many
    if tensor.default is None:
        return (attribute, kind)
    return (attribute, kind | msgspec.UnsetType, msgspec.UNSET)
