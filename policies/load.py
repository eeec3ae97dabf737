"""TOML text to a Ruleset. Pure: the gateway reads the files, this reads their text, and all that is wrong comes out at once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from policies.codes import catalogue
from policies.condition import ALL_DIRECTIONS, Condition, leaves
from policies.decision import CONFLICT, Decision, Reason, Title
from policies.facts import fold_address, fold_domain
from policies.grammar import Words, condition
from policies.lists import PROOFS, Entry
from policies.problem import PolicyError as PolicyError
from policies.problem import Problem
from policies.rule import Mode, Rule, Ruleset, index
from policies.sample_text import example
from policies.sentence import Sentence, sentence, title
from policies.table import Report, Table, meant, root
from policies.toml_text import parse
from policies.vocabulary import FACTS
from scanners.finding import Code

SCHEMA = 1
BUILTIN = "builtin/"
"""Files whose name begins so ship with the gateway; a rule of theirs may be replaced or disabled by the operator's files."""
MAX_RULES = 2_000
"""Of all files together."""
DICTIONARY = "content.dictionary."
"""Codes of dictionaries: the operator's own lists end them."""
MAX_NAME = 64
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(slots=True)
class _Draft:
    """A rule's table with its name, before its conditions are read."""

    name: str
    table: Table
    builtin: bool
    replace: bool


def load(
    files: Sequence[tuple[str, str]], known: Sequence[Code], dictionary_versions: Mapping[str, str] | None = None
) -> Ruleset:
    """Build the rules of all files, (name, text) each; the files' order means nothing.

    ``known`` is every code the scanners declare. ``dictionary_versions`` maps the name of a dictionary (``company``) or a prefix of
    codes (``malware.yara``) to the version of what stands behind it; rules that name it are versioned with it (law 7). Raises
    PolicyError with every problem found.
    """
    report = Report()
    tables: list[tuple[Table, bool]] = []
    for name, text in sorted(files):
        document = parse(name, text)
        if isinstance(document, Problem):
            report.add(document)
            continue
        table = root(document, report)
        table.allow(("schema", "rule", "allow", "watch", "disable"))
        if table.data.get("schema") != SCHEMA:
            table.problem(f"第一行应写 schema = {SCHEMA}", f"the file must begin with schema = {SCHEMA}", "schema")
        tables.append((table, name.startswith(BUILTIN)))
    drafts = _drafts(tables, report)
    lists = _lists([table for table, _ in tables], frozenset(drafts), report)
    versions = dictionary_versions or {}
    words = Words(catalogue(_with_dictionaries(known, versions)), lists)
    rules = [_rule(draft, words, versions) for draft in drafts.values()]
    report.close()
    return _ruleset([rule for rule in rules if rule is not None], lists)


def _with_dictionaries(known: Sequence[Code], versions: Mapping[str, str]) -> list[Code]:
    """The codes with each dictionary by its name, so that a mistyped one is found; without names any word may follow."""
    declared = {code.code for code in known}
    names = [f"{DICTIONARY}{name}" for name in versions if "." not in name]
    ends = [code for code in known if code.code == f"{DICTIONARY}*"]
    if not names or not ends:
        return list(known)
    kept = [code for code in known if code.code != f"{DICTIONARY}*"]
    severity = ends[0].severity
    return kept + [
        Code(
            name,
            severity,
            f"命中词库 {name.removeprefix(DICTIONARY)}",
            f"phrases of the list {name.removeprefix(DICTIONARY)}",
        )
        for name in names
        if name not in declared
    ]


def _ruleset(rules: Sequence[Rule], lists: Mapping[str, tuple[Entry, ...]]) -> Ruleset:
    ordered = tuple(sorted(rules, key=lambda rule: rule.name))
    entries = tuple(entry for name in sorted(lists) for entry in lists[name])
    text = "\n".join(
        [f"{rule.version} {rule.mode.value}" for rule in ordered] + sorted(entry.source() for entry in entries)
    )
    used = {leaf.fact for rule in ordered for part in (rule.when, rule.unless) if part for leaf in leaves(part)}
    needs = {FACTS[name].needs for name in used if name in FACTS} | (
        {"now"} if any(name.startswith("list.") for name in used) else set()
    )
    return Ruleset(ordered, entries, digest(text), frozenset(needs - {""}), index(ordered, sorted(ALL_DIRECTIONS)))


def digest(text: str) -> str:
    """``sha256:`` and 32 hex digits: enough to tell versions apart, short enough for an event."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32]


# Which rules there are ------------------------------------------------------------------------------------------------


def _drafts(tables: Sequence[tuple[Table, bool]], report: Report) -> dict[str, _Draft]:
    """Rules by name. The same name twice is an error unless the operator's own says that it replaces a built-in one."""
    found: dict[str, _Draft] = {}
    mine: list[_Draft] = []
    for table, builtin in tables:
        for one in table.tables("rule"):
            name = _name(one)
            draft = _Draft(name, one, builtin, one.boolean("replace", False))
            if name and builtin:
                found[name] = draft
            elif name:
                mine.append(draft)
    shipped = frozenset(found)
    for draft in mine:
        name = draft.name
        if name in shipped and not draft.replace:
            draft.table.problem(
                f"内置规则已叫 “{name}”；要替换它请写 replace = true，否则换个名字",
                f'a built-in rule is called "{name}"; write replace = true to replace it, or choose another name',
                "name",
            )
        elif draft.replace and name not in shipped:
            zh, en = meant(name, shipped)
            draft.table.problem(
                f"没有内置规则 “{name}” 可替换{zh}", f'there is no built-in rule "{name}" to replace{en}', "name"
            )
        elif name in found and not found[name].builtin:
            first = found[name].table
            place = f"{first.document.name}:{first.document.place((*first.path, 'name'))[0]}"
            draft.table.problem(
                f"规则名 “{name}” 用了两次，另一处在 {place}",
                f'the rule name "{name}" is used twice, first at {place}',
                "name",
            )
        else:
            found[name] = draft
    for table, _ in tables:
        _disable(table, found)
    if len(found) > MAX_RULES:
        report.add(
            Problem(
                mine[-1].table.document.name if mine else "",
                0,
                0,
                f"规则超过 {MAX_RULES} 条",
                f"more than {MAX_RULES} rules",
            )
        )
    return found


def _disable(table: Table, found: dict[str, _Draft]) -> None:
    for one in table.tables("disable"):
        one.allow(("rule", "reason"))
        name = one.text("rule", required=True)
        one.text("reason", required=True)
        if name and name not in found:
            zh, en = meant(name, frozenset(found))
            one.problem(f"没有规则 “{name}” 可停用{zh}", f'there is no rule "{name}" to disable{en}', "rule")
        found.pop(name, None)


def _name(table: Table) -> str:
    name = table.text("name", required=True)
    if name and (not set(name) <= _LETTERS or len(name) > MAX_NAME or not name.strip("-")):
        table.problem(
            f"名字只用小写字母、数字和连字符，至多 {MAX_NAME} 个",
            f"a name has lower-case letters, digits and hyphens, at most {MAX_NAME}",
            "name",
        )
        return ""
    if name == CONFLICT:
        table.problem(f"“{CONFLICT}” 是保留名", f'"{CONFLICT}" is reserved', "name")
        return ""
    return name


# Lists ----------------------------------------------------------------------------------------------------------------


def _lists(tables: Sequence[Table], rules: frozenset[str], report: Report) -> dict[str, tuple[Entry, ...]]:
    """Every list by name; each rule has one of its own name, empty until a file adds to it."""
    found: dict[str, tuple[Entry, ...]] = dict.fromkeys(sorted(rules), ())
    for table in tables:
        for kind in ("allow", "watch"):
            for one in table.tables(kind):
                entry = _entry(one, kind == "allow")
                if entry is None:
                    continue
                if any(other.allow != entry.allow for other in found.get(entry.name, ())):
                    one.problem(
                        f"名单 “{entry.name}” 不能既是 allow 又是 watch",
                        f'the list "{entry.name}" can\'t be both allow and watch',
                        "list",
                    )
                found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _entry(table: Table, allow: bool) -> Entry | None:
    table.allow(("list", "sender", "recipient", "auth", "signer", "reason", "expires"))
    before = len(table.report.problems) + table.report.more
    name = table.text("list", required=True)
    sender, recipient = _party(table, "sender"), _party(table, "recipient")
    proof = table.text("auth", required=allow, choices=tuple(PROOFS))
    signer = fold_domain(table.text("signer"))
    expires = table.day("expires")
    table.text("reason", required=True)
    if not sender and not recipient and not signer:
        table.problem("条目须写 sender、recipient 或 signer", "an entry needs sender, recipient or signer", "list")
    if allow and expires is None and not table.has("expires"):
        table.problem("例外须有期限：expires = 2027-01-31", "an exception needs an end: expires = 2027-01-31", "list")
    if proof == "dkim" and not signer:
        table.problem(
            "auth = “dkim” 须写 signer（签名的域）", 'auth = "dkim" needs signer, the domain that signs', "auth"
        )
    if proof in ("dmarc", "spf") and not sender:
        table.problem(f"auth = “{proof}” 须写 sender", f'auth = "{proof}" needs sender', "auth")
    if len(table.report.problems) + table.report.more > before:
        return None
    return Entry(name, allow, sender, recipient, proof, signer, table.text("reason"), expires)


def _party(table: Table, key: str) -> str:
    text = table.text(key).lstrip("@")
    if text and "." not in text.rpartition("@")[2]:
        table.problem(f"“{key}” 应是地址或域名", f'"{key}" must be an address or a domain', key)
    return fold_address(text) if "@" in text else fold_domain(text)


# One rule -------------------------------------------------------------------------------------------------------------

KEYS = ("name", "title", "mode", "when", "unless", "then", "example", "replace", "note")


def _rule(draft: _Draft, words: Words, versions: Mapping[str, str]) -> Rule | None:
    table = draft.table
    table.allow(KEYS)
    table.text("note")
    before = len(table.report.problems) + table.report.more
    named = title(table)
    mode = table.text("mode", choices=[one.value for one in Mode]) or Mode.ENFORCE.value
    if not table.has("when"):
        table.problem("缺少 “when”（什么时候适用）", '"when" is missing: when does the rule apply?')
    when = condition(table, "when", words) if table.has("when") else None
    unless = condition(table, "unless", words, exception=True) if table.has("unless") else None
    inner = table.table("then", required=True)
    said = sentence(inner) if inner else None
    samples = tuple(example(one) for one in table.tables("example"))
    if len(table.report.problems) + table.report.more > before or when is None or said is None:
        return None
    source = canonical(table.data, ("name", "when", "unless", "then"))
    version = digest("\n".join([source, *_behind(when, unless, words, versions)]))
    reason = _reason(draft.name, version, said, named)
    line, _ = table.document.place((*table.path, "name"))
    return Rule(
        draft.name,
        named,
        Mode(mode),
        when,
        unless,
        Decision(said.disposition, said.treatments, (reason,)),
        samples,
        version,
        source,
        table.document.name,
        line,
        draft.builtin,
    )


def _reason(name: str, version: str, said: Sentence, named: Title) -> Reason:
    return Reason(
        name,
        version,
        said.disposition,
        named,
        enhanced=said.enhanced,
        waivable=said.waivable,
        approvers=said.approvers,
        delay_s=said.delay_s,
        keep_content=said.keep_content,
    )


def canonical(data: Mapping[str, object], keys: Sequence[str]) -> str:
    """The meaning of a table as one line of JSON, the same however it is laid out."""

    def plain(value: object) -> object:
        if isinstance(value, date | datetime):
            return value.isoformat()
        raise TypeError(type(value).__name__)

    kept = {key: data[key] for key in keys if key in data}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=plain)


def _behind(when: Condition, unless: Condition | None, words: Words, versions: Mapping[str, str]) -> list[str]:
    """What stands behind the names of a rule: versions of its dictionaries, and the entries of watch lists it matches on.

    Allow lists are left out: an exception more takes nothing from an approval already given.
    """
    found = [*leaves(when), *(leaves(unless) if unless else ())]
    codes = {leaf.code for leaf in found if leaf.code}
    lines = [
        f"{key} {version}" for key, version in sorted(versions.items()) if any(_named(key, code) for code in codes)
    ]
    for name in sorted({name for leaf in found for name in leaf.lists}):
        lines.extend(sorted(entry.source() for entry in words.lists[name] if not entry.allow))
    return lines


def _named(key: str, code: str) -> bool:
    stem = code.removesuffix(".*")
    if stem == key or stem.startswith(key + ".") or (code.endswith(".*") and key.startswith(stem)):
        return True
    return stem == f"content.dictionary.{key}" or (
        code.endswith(".*") and "content.dictionary".startswith(stem) and "." not in key
    )
