"""Which tables and columns a script of SQL statements reads.

Here: statements, the tables that the script makes for itself, names completed as the database would.
Not here: templates and definitions; for this module their stand-ins are tables like any other (`query`).
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.helper import ensure_list
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.tokenizer_core import Token, TokenType

from mode_dagster.extract.errors import first_line
from mode_dagster.lineage.columns import columns_read
from mode_dagster.lineage.dialects import SCHEMA_IS_TOP, Names, names_of, normal
from mode_dagster.lineage.template import NEUTRAL

_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.TruncateTable)
_NO_DATA = (
    *(exp.Drop, exp.Alter, exp.Describe, exp.Use, exp.Set, exp.Comment, exp.Show, exp.Execute),
    *(exp.Grant, exp.Revoke, exp.Analyze, exp.Refresh, exp.Uncache),
)
"""Statements whose tables are neither read nor written."""
_HINTS = frozenset({"nolock", "readuncommitted", "readpast", "noexpand"})
"""What SQL Server takes in brackets after a table's name, also without the word WITH."""
_HAVE_A_FROM = frozenset({"extract", "substring", "trim", "overlay"})
"""Functions whose arguments have a FROM between them."""
_RECURSIVE_WITHOUT_SAYING_SO = frozenset({"tsql", "oracle", "snowflake", "teradata"})
_UNNESTS_BY_NAME = frozenset({"bigquery", "redshift"})
"""`FROM orders AS o, o.items` means an array in a row of `orders`, not a table."""
_READS = re.compile(r"\b(from|join|into)\b", re.IGNORECASE)
_SEARCH_PATH = re.compile(r"search_path\s*(?:to|=)\s*([^\s,;]+)", re.IGNORECASE)
_QUERY = re.compile(r"\b(?:select|with)\b.*", re.IGNORECASE | re.DOTALL)
_END_OF_STRING = re.compile(r"[;']|\$\$")
_NAMES = frozenset({TokenType.VAR, TokenType.IDENTIFIER})


@dataclass(frozen=True)
class Table:
    """A table by its full name, as far as it is known."""

    database: str | None
    schema: str | None
    name: str


@dataclass
class Script:
    """What was found in one script."""

    reads: dict[Table, set[str]] = field(default_factory=dict)
    """Tables that are read, with those of their columns that are certain."""
    writes: set[Table] = field(default_factory=set)
    guesses: set[Table] = field(default_factory=set)
    """What follows FROM or JOIN in statements that could not be parsed."""
    problems: list[str] = field(default_factory=list)
    statements: int = 0
    failed: int = 0


def read_script(text: str, dialect: str, database: str | None = None) -> Script:
    """Reads a script; never raises for what is in the text.

    Args:
        text: SQL without Liquid; a parameter without a value is NEUTRAL.
        dialect: As sqlglot calls it.
        database: What the data source calls its database.
    """
    script = _Reader(dialect, names_of(dialect, database)).read(text)
    if script.failed and NEUTRAL in text:
        # where no identifier may stand (TOP, LIMIT, INTERVAL), a number often may
        other = _Reader(dialect, names_of(dialect, database)).read(text.replace(NEUTRAL, "1"))
        script = min(script, other, key=lambda each: each.failed)
    return script


@dataclass
class _Reader:
    """Reads statements in their order, remembering what the script has made and switched to."""

    dialect: str
    names: Names
    made: set[Table] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    script: Script = field(default_factory=Script)

    def read(self, text: str) -> Script:
        try:
            tokens = sqlglot.tokenize(text, read=self.dialect or None)
        except Exception as error:  # sqlglot raises all sorts of things for texts that are not SQL
            self._fail(error)
            return self.script
        for statement in _split(tokens):
            try:
                self._read_statement(statement, text)
            except Exception as error:
                self._fail(error)
                self._guess(statement)
        return self.script

    def _fail(self, error: Exception) -> None:
        self.script.statements += 1
        self.script.failed += 1
        self.script.problems.append(explain(error))

    def _read_statement(self, tokens: list[Token], text: str) -> None:
        expression = self._parse(tokens, text)
        if expression is None:
            return
        if isinstance(expression, exp.Command):
            expression = self._inside(expression)
        normalize_identifiers(expression, dialect=self.dialect or None)
        _take_hints_for_hints(expression)
        self._follow(expression)
        if not isinstance(expression, _NO_DATA):
            self._read_tables(expression)
        self.script.statements += 1

    def _read_tables(self, expression: exp.Expr) -> None:
        changed = [table for statement in expression.find_all(*_WRITES) for table in _changed_by(statement)]
        named = [_named(table) for table in changed]
        made = _tables_of([expression.this]) if isinstance(expression, (exp.Create, exp.Cache)) else []
        made += _tables_of([into.this for into in expression.find_all(exp.Into)])
        targets = {id(node) for node in (*changed, *named, *made)}
        columns = columns_read(expression, self.variables)
        for node in expression.find_all(exp.Table):
            if id(node) not in targets and self._is_table(node):
                self._add_read(node, columns.get(id(node), set()))
        self.script.writes |= {
            self._complete(node) for node in named if self._is_table(node) and self._is_external(node)
        }
        # last, because a table may be made anew from what it was
        self.made |= {self._complete(node) for node in made}

    def _parse(self, tokens: list[Token], text: str) -> exp.Expr | None:
        parser = sqlglot.Dialect.get_or_raise(self.dialect or None).parser()
        (expression,) = parser.parse(tokens, text) or [None]
        return expression

    def _inside(self, command: exp.Command) -> exp.Expr:
        """The query inside a statement that sqlglot only knows the first word of, such as EXPLAIN."""
        rest = command.args.get("expression")
        said = f"{command.this} {rest.name if isinstance(rest, exp.Expr) else rest or ''}"
        if found := _SEARCH_PATH.search(said):
            self.names = Names(self.names.database, normal(found[1].strip("'\""), self.dialect))
        if not _READS.search(said):
            return command
        self.script.problems.append(f"{str(command.this).upper()[:40]} is not read as a whole")
        query = _QUERY.search(said)
        if query is None:
            return command
        # the query may be a string in the statement: then what comes after it, from the quote on, is not its own
        for inside in (query[0], _END_OF_STRING.split(query[0])[0]):
            with suppress(SqlglotError):
                tokens, *_ = _split(sqlglot.tokenize(inside, read=self.dialect or None))
                return self._parse(tokens, inside) or command
        return command

    def _follow(self, expression: exp.Expr) -> None:
        """Takes over what USE switches to, and what is declared."""
        if isinstance(expression, exp.Use) and isinstance(expression.this, exp.Table):
            kind = str(expression.args.get("kind") or "").upper()
            if kind not in ("WAREHOUSE", "ROLE", "SECONDARY ROLES"):
                self.names = self._used(expression.this, kind)
        if isinstance(expression, exp.Declare):
            self.variables |= {name.name for item in expression.expressions for name in ensure_list(item.this)}
        if isinstance(expression, exp.Set) and (found := _SEARCH_PATH.search(expression.sql())):
            self.names = Names(self.names.database, normal(found[1].strip("'\""), self.dialect))

    def _used(self, name: exp.Table, kind: str) -> Names:
        if name.db:
            return Names(name.db, name.name)
        top = self.dialect in ("snowflake", "tsql") if not kind else kind == "DATABASE"
        if kind == "CATALOG" or (top and self.dialect not in SCHEMA_IS_TOP):
            return Names(database=name.name)
        return Names(self.names.database, name.name)

    def _add_read(self, node: exp.Table, columns: set[str]) -> None:
        if not self._is_external(node):
            return
        if NEUTRAL in ".".join(part.name for part in node.parts).lower():
            self.script.problems.append("a table's name comes from a parameter without default")
            return
        self.script.reads.setdefault(self._complete(node), set()).update(columns)

    def _is_external(self, node: exp.Table) -> bool:
        """Whether it was there before the script."""
        return not node.this.args.get("temporary") and self._complete(node) not in self.made

    def _complete(self, node: exp.Table) -> Table:
        if isinstance(node.this, exp.Dot):  # more than three parts: on another server, or in folders
            *above, below, name = (part.name for part in node.parts)
            return Table(".".join(above), below, name)
        schema = node.db or (None if node.catalog else self.names.schema)
        return Table(node.catalog or self.names.database, schema, node.name)

    def _is_table(self, node: exp.Table) -> bool:
        """Whether a name is a table's; not of a function, a model, a stage, a hint, a CTE, a column, and not DUAL."""
        if not all(isinstance(part, exp.Identifier) for part in node.parts):
            return False
        if node.arg_key == "format" or node.find_ancestor(exp.Hint, exp.Lock):
            return False
        if isinstance(node.parent, exp.UserDefinedFunction | exp.Predict) and node.arg_key == "this":
            return False
        if node.db:
            return self.dialect not in _UNNESTS_BY_NAME or not _is_column_of_neighbour(node)
        return node.name.lower() != "dual" and not _is_cte(node, self.dialect)

    def _guess(self, tokens: Sequence[Token]) -> None:
        """Takes what follows FROM and JOIN for tables, where nothing better is to be had."""
        for name in _names_after_from(tokens):
            identifiers = [exp.to_identifier(part) for part in reversed(name)]
            node = exp.Table(**dict(zip(("this", "db", "catalog"), identifiers, strict=False)))
            table = self._complete(normalize_identifiers(node, dialect=self.dialect or None))
            if table not in self.made and NEUTRAL not in ".".join(name).lower():
                self.script.guesses.add(table)


def explain(error: BaseException) -> str:
    """The first line of what went wrong, without the terminal's colours, and without the text of the query."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "takes too much memory"
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        said = re.sub(r"<Token token_type: TokenType\.(\w+).*>", r"\1", str(first["description"]))
        return f"{said} (line {first['line']}, column {first['col']})"
    if isinstance(error, TokenError):
        # its own message quotes the query; the one that it came from names the lacking sign and its place
        missing = error.__cause__ if isinstance(error.__cause__, TokenError) else None
        return first_line(missing) if missing else "a comment is not closed"
    return re.sub(r"\x1b\[\d*m", "", first_line(error))


def _split(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The statements between semicolons."""
    statement: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            if statement:
                yield statement
            statement = []
        else:
            statement.append(token)
    if statement:
        yield statement


def _names_after_from(tokens: Sequence[Token]) -> Iterator[list[str]]:
    """The names, in parts, that follow FROM or JOIN and are neither functions nor made by a WITH of the statement."""
    made = {
        name.text.lower()
        for name, word, bracket in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if word.token_type == TokenType.ALIAS and bracket.token_type == TokenType.L_PAREN
    }
    for after in _after_from(tokens):
        name = list(_dotted(after))
        follows = [token.text.lower() for token in after[2 * len(name) - 1 :][:2]]
        is_function = follows[:1] == ["("] and _HINTS.isdisjoint(follows)
        if 0 < len(name) <= 3 and not is_function and (len(name) > 1 or name[0].lower() not in made):
            yield name


def _after_from(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """What follows each FROM and JOIN, but not those of `EXTRACT(day FROM x)` and `IS DISTINCT FROM`."""
    called: list[str] = []
    for place, token in enumerate(tokens):
        before = tokens[place - 1].text.lower() if place else ""
        if token.token_type == TokenType.L_PAREN:
            called.append(before)
        elif token.token_type == TokenType.R_PAREN:
            called = called[:-1]
        is_from = token.token_type in (TokenType.FROM, TokenType.JOIN)
        if is_from and before != "distinct" and _HAVE_A_FROM.isdisjoint(called[-1:]):
            yield tokens[place + 1 : place + 8]


def _dotted(tokens: Sequence[Token]) -> Iterator[str]:
    """The parts of the name that a statement goes on with."""
    for place, token in enumerate(tokens):
        if place % 2 == 0 and token.token_type in _NAMES:
            yield token.text
        elif place % 2 == 0 or token.token_type != TokenType.DOT:
            return


def _take_hints_for_hints(expression: exp.Expr) -> None:
    """Sqlglot takes `FROM orders (NOLOCK)` for a call of a function."""
    for table in expression.find_all(exp.Table):
        called_with = table.this.expressions if isinstance(table.this, exp.Anonymous) else []
        if called_with and all(argument.name.lower() in _HINTS for argument in called_with):
            table.set("this", exp.to_identifier(table.this.name))


def _changed_by(statement: exp.Expr) -> list[exp.Table]:
    """The tables that a statement writes to, as it calls them."""
    # `DELETE o FROM orders AS o` of MySQL and SQL Server has in `tables` what it deletes from
    return _tables_of(statement.args.get("tables") or [statement.this, *statement.expressions])


def _named(target: exp.Table) -> exp.Table:
    """The table in the FROM of an UPDATE or DELETE that its target is, or is the alias of."""
    statement = target.parent
    if isinstance(statement, exp.Update | exp.Delete) and not target.db:
        for table in statement.find_all(exp.Table):
            is_listed = table is target or table.arg_key == "tables"
            if not is_listed and table.alias_or_name == target.name and table.parent_select is statement.parent_select:
                return table
    return target


def _tables_of(nodes: Sequence[exp.Expr | None]) -> list[exp.Table]:
    """The tables that nodes are or, like a table with its columns, begin with."""
    whole = [node.this if isinstance(node, exp.Schema) else node for node in nodes]
    return [node for node in whole if isinstance(node, exp.Table)]


def _is_cte(node: exp.Table, dialect: str) -> bool:
    """Whether an unqualified name is that of a CTE which can be seen from where it stands."""
    inside: exp.Expr = node
    while (outside := inside.parent) is not None:
        clause = outside if isinstance(outside, exp.With) else outside.args.get("with_")
        if isinstance(clause, exp.With) and inside is not clause:
            seen = clause.expressions
            if isinstance(inside, exp.CTE):
                place = seen.index(inside)
                seen = seen if clause.recursive else seen[: place + _refers_to_itself(inside, dialect)]
            if any(cte.alias == node.name for cte in seen):
                return True
        inside = outside
    return False


def _refers_to_itself(cte: exp.CTE, dialect: str) -> bool:
    """Whether a CTE is one of those that may be recursive without the word RECURSIVE."""
    return dialect in _RECURSIVE_WITHOUT_SAYING_SO and isinstance(cte.this, exp.SetOperation)


def _is_column_of_neighbour(node: exp.Table) -> bool:
    """Whether the name begins with the alias of another table in the same FROM, or in one around it."""
    first, select = node.parts[0].name, node.parent_select
    while select is not None:
        from_ = [select.args["from_"]] if select.args.get("from_") else []
        neighbours = (each.this for each in (*from_, *(select.args.get("joins") or [])) if each.this is not node)
        if any(neighbour.alias_or_name == first for neighbour in neighbours):
            return True
        select = select.parent_select
    return False
