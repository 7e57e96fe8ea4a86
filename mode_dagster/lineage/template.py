"""Mode's templates: Liquid tags, parameters and the form that describes them.

Here: from a query as written to the SQL texts that it can become.
Not here: definitions, which look like Liquid (`definitions`), and the SQL (`sql`).

The first text is what Mode would run with the form's defaults. The others exist so that each branch of each
condition is rendered at least once: a table that is named in a branch not taken is named all the same.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import yaml  # type: ignore[import-untyped]
from liquid import BoundTemplate, Environment, Mode, RenderContext
from liquid.ast import BlockNode, Node
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.expression import Expression
from liquid.undefined import Undefined

from mode_dagster.extract.errors import first_line

NEUTRAL = "mode_parameter"
"""Stands for the value of a parameter that has no default: an identifier can stand almost anywhere in SQL."""
MAX_TEXTS = 25
"""Texts made of one query; a template with more branches is rendered in the first so many ways."""

_FORM = re.compile(r"{%-?\s*form\s*-?%}(.*?){%-?\s*endform\s*-?%}", re.DOTALL | re.IGNORECASE)
_IN_A_NAME = re.compile(r"\b(?:from|join)\s+[\w.`\"\[]*{{-?\s*(\w+)", re.IGNORECASE)
"""A parameter that chooses the table: each of its options is one."""
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)


@dataclass(frozen=True)
class Rendered:
    """A query as SQL."""

    text: str
    others: tuple[str, ...] = ()
    """What it becomes if other branches of its conditions are taken."""
    problem: str = ""


def render(text: str) -> Rendered:
    """Renders a query as written; tags are cut out if it is not Liquid after all."""
    forms = _FORM.findall(text)
    body = _FORM.sub("\n", text)
    if "{{" not in body and "{%" not in body:
        return Rendered(body)
    environment = _Environment()
    try:
        choices = _choices("\n".join(forms), environment)
        template = _Template(body, environment)
        first = template.render({name: values[0] for name, values in choices.items() if values})
        others = tuple(dict.fromkeys(other for other in template.other_texts(choices) if other != first))
    except LiquidError as error:
        return Rendered(_TAG.sub(" ", body), problem=f"Liquid: {first_line(error)}")
    if environment.problems:
        # what Liquid could not make sense of it leaves out, up to the whole rest of the text
        others = (*others, _TAG.sub(" ", body))
    return Rendered(first, others, "; ".join(dict.fromkeys(environment.problems)))


class _Parameter(Undefined):
    """A parameter without a value: false in conditions, an identifier in SQL."""

    __slots__ = ()

    def __str__(self) -> str:
        return NEUTRAL


class _Environment(Environment):
    """Liquid as forgiving as Mode's, but bounded; it remembers what it forgave."""

    loop_iteration_limit = 10_000
    local_namespace_limit = 10_000_000
    output_stream_limit = 10_000_000

    def __init__(self) -> None:
        super().__init__(tolerance=Mode.LAX, undefined=_Parameter, strict_filters=False)
        self.problems: list[str] = []

    def error(self, exc: Any, msg: str | None = None, token: Any = None) -> None:
        """Notes what a stricter mode would raise; a limit that is reached ends it in this one too."""
        if isinstance(exc, ResourceLimitError):
            raise exc
        self.problems.append(f"Liquid: {first_line(exc if isinstance(exc, Exception) else msg or exc)}")
        super().error(exc, msg, token)


def _choices(form: str, environment: Environment) -> Mapping[str, list[Any]]:
    """Each parameter's possible values, the default first; none where the form doesn't say."""
    try:
        fields = yaml.safe_load(environment.from_string(form).render())
    except (yaml.YAMLError, ValueError):
        return {}
    if not isinstance(fields, dict):
        return {}
    return {str(name): _values(spec) for name, spec in fields.items() if isinstance(spec, dict)}


def _values(spec: Mapping[str, Any]) -> list[Any]:
    default, options = spec.get("default"), spec.get("options")
    listed = options if isinstance(options, list) else []
    offered = [option[-1] if isinstance(option, list) and option else option for option in listed]
    values = [_as_sql(default), *(_as_sql(option) for option in offered if not isinstance(option, dict))]
    return [value for value in values if value not in (None, "")]


def _as_sql(value: Any) -> Any:
    """A multiselect's values go into SQL quoted and with commas, dates and numbers as text."""
    if isinstance(value, list):
        return ", ".join(f"'{item}'" for item in value)
    return value if value is None or isinstance(value, bool) else str(value)


class _Switch(Expression):
    """A condition that can be told its outcome."""

    __slots__ = ("condition", "forced", "unless", "when")

    def __init__(self, condition: Expression, *, when: bool = False, unless: bool = False) -> None:
        super().__init__(condition.token)
        self.condition = condition
        self.when = when
        self.unless = unless
        self.forced: bool | None = None

    def evaluate(self, context: RenderContext) -> object:
        """The forced outcome, in the form that the tag wants; else the condition's own."""
        if self.forced is None:
            return self.condition.evaluate(context)
        return [self.forced] if self.when else self.forced is not self.unless

    def children(self) -> list[Expression]:
        """The condition itself."""
        return [self.condition]


class _Watched(BlockNode):
    """A branch that knows whether it was rendered."""

    __slots__ = ("rendered",)

    def __init__(self, block: BlockNode) -> None:
        super().__init__(block.token, block.nodes)
        self.rendered = False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Renders, and remembers it."""
        self.rendered = True
        return super().render_to_output(context, buffer)


@dataclass(frozen=True)
class _Branch:
    """A branch, and the outcomes of conditions, its own and those around it, that lead there."""

    block: _Watched
    path: tuple[tuple[_Switch, bool], ...]


@dataclass
class _Template:
    """A parsed template whose conditions are switches."""

    text: str
    environment: _Environment
    branches: list[_Branch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.template: BoundTemplate = self.environment.from_string(self.text)
        for node in self.template.nodes:
            self._watch(node, ())

    def render(self, values: Mapping[str, Any]) -> str:
        """The text with these values of parameters."""
        return str(self.template.render(dict(values)))

    def other_texts(self, choices: Mapping[str, list[Any]]) -> Iterator[str]:
        """Texts that render what was not rendered yet: by other options of the form if they do it, else by force."""
        defaults = {name: values[0] for name, values in choices.items() if values}
        in_names = set(_IN_A_NAME.findall(self.text))
        yielded = 1
        for name, value in [(name, value) for name, values in choices.items() for value in values[1:]]:
            before = len(self._left)
            if yielded < MAX_TEXTS and (before or name in in_names):
                text = self.render({**defaults, name: value})
                if name in in_names or len(self._left) < before:
                    yielded += 1
                    yield text
        while self._left and yielded < MAX_TEXTS:
            # the innermost first: on the way there, the branches around it are rendered too
            yielded += 1
            yield self._forced(self._left[-1:] if yielded < MAX_TEXTS else self._left[::-1], defaults)
        if self._left:
            self.environment.problems.append("Liquid: there are more branches than could be looked into")

    @property
    def _left(self) -> list[_Branch]:
        return [branch for branch in self.branches if not branch.block.rendered]

    def _forced(self, branches: list[_Branch], values: Mapping[str, Any]) -> str:
        """The text with as many of these branches as go together."""
        outcomes: dict[_Switch, bool] = {}
        for branch in branches:
            if all(outcomes.get(switch, outcome) is outcome for switch, outcome in branch.path):
                outcomes.update(branch.path)
                branch.block.rendered = True
        for switch, outcome in outcomes.items():
            switch.forced = outcome
        try:
            return self.render(values)
        finally:
            for switch in outcomes:
                switch.forced = None

    def _watch(self, node: Node, path: tuple[tuple[_Switch, bool], ...]) -> None:
        """Puts switches into the conditions below a node; attributes are those of python-liquid 2's nodes."""
        if hasattr(node, "consequence"):
            self._watch_if(node, path)
        elif hasattr(node, "blocks"):
            self._watch_case(node, path)
        else:
            for child in node.children(None, include_partials=False):  # type: ignore[arg-type]
                self._watch(child, path)

    def _watch_if(self, node: Any, path: tuple[tuple[_Switch, bool], ...]) -> None:
        node.condition = switch = _Switch(node.condition, unless=type(node).__name__ == "UnlessNode")
        node.consequence = self._branch(node.consequence, (*path, (switch, True)))
        path = (*path, (switch, False))
        for alternative in node.alternatives:
            alternative.expression = switch = _Switch(alternative.expression)
            alternative.block = self._branch(alternative.block, (*path, (switch, True)))
            path = (*path, (switch, False))
        if node.default:
            node.default = self._branch(node.default, path)

    def _watch_case(self, node: Any, path: tuple[tuple[_Switch, bool], ...]) -> None:
        whens = [block for block in node.blocks if not isinstance(block, BlockNode)]
        for when in whens:
            when.expression = _Switch(when.expression, when=True)
        for when in whens:
            outcomes = tuple((other.expression, other is when) for other in whens)
            when.block = self._branch(when.block, (*path, *outcomes))
        nothing = tuple((when.expression, False) for when in whens)
        node.blocks = [
            self._branch(block, (*path, *nothing)) if isinstance(block, BlockNode) else block for block in node.blocks
        ]

    def _branch(self, block: BlockNode, path: tuple[tuple[_Switch, bool], ...]) -> _Watched:
        watched = _Watched(block)
        self.branches.append(_Branch(watched, path))
        for node in watched.nodes:
            self._watch(node, path)
        return watched
