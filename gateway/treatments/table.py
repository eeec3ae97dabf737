"""What can be done to a message before it leaves: the table, what stands in the way of a treatment, and the doing, in its fixed order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType

from gateway.config import Route
from gateway.plan import Share
from gateway.treatments import banner, disarm, encrypt, mark, strip, surgery
from gateway.treatments.sign import Signer
from policies.decision import Decision, Disposition, Reason, Title, Treatment

UNMET = "unmet"
"""Version of a reason that no person can answer: the treatment can't be done here."""
UNALTERABLE = "unalterable"
"""Version of a reason that a person may answer: let it go without this treatment."""


class Place(IntEnum):
    """The fixed order; DKIM is always last (gateway.treatments.sign)."""

    STRIP = 1
    MARK = 2
    BANNER = 3
    ENCRYPT = 4
    ENVELOPE = 5
    """Who gets it and who is told; the bytes stay."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One treatment. ``in_session``: cheap and without a second message, so that it needs no custody. ``alters``: changes the body,
    so never done to what its sender signed or encrypted."""

    name: str
    place: Place
    title: Title
    in_session: bool = False
    alters: bool = False


_ALL = (
    Kind("strip", Place.STRIP, Title("移除附件并留说明", "take parts out, with a note"), alters=True),
    Kind("disarm", Place.STRIP, Title("使 HTML 无害化", "neutralise the HTML"), alters=True),
    Kind("tag", Place.MARK, Title("加邮件头标记", "add a header line"), in_session=True),
    Kind("banner", Place.BANNER, Title("正文上方加提示", "a line above the text"), alters=True),
    Kind("unbanner", Place.BANNER, Title("外发时移除提示", "take our banners off replies"), alters=True),
    Kind("encrypt", Place.ENCRYPT, Title("加密外发", "encrypt")),
    Kind("redirect", Place.ENVELOPE, Title("改投他人", "send it to somebody else instead")),
    Kind("copy", Place.ENVELOPE, Title("抄送副本", "somebody else gets it too")),
    Kind("notify-sender", Place.ENVELOPE, Title("通知发件人", "tell the sender that it is held")),
    Kind("notify-recipient", Place.ENVELOPE, Title("通知收件人", "tell recipients of ours that it is held")),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})


SIGNED = "dkim"
"""What ``Treated.done`` calls our signature."""


@dataclass(frozen=True, slots=True)
class Treated:
    """The bytes to send, in pieces, and what was done to them: kinds that changed something, in their order, for the outcome's event."""

    pieces: tuple[bytes, ...]
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmet:
    """A treatment that could not be done: the message must not leave."""

    kind: str
    title: Title


def obstacles(decision: Decision, raw: bytes, route: Route) -> tuple[Reason, ...]:
    """Why treatments of this decision can't be done to these bytes on this route, as reasons to hold (law: at least APPROVE)."""
    return tuple(reason for each in sorted(decision.treatments) if (reason := _obstacle(each, raw, route)) is not None)


def unmet_joined(share: Share, raw: bytes) -> Share:
    """The share with its decision made as strict as the obstacles ask. Doing it twice changes nothing."""
    found = obstacles(share.decision, raw, share.route)
    if not found:
        return share
    return replace(share, decision=share.decision | Decision(Disposition.APPROVE, frozenset(), found))


def _obstacle(treatment: Treatment, raw: bytes, route: Route) -> Reason | None:
    kind = KINDS.get(treatment.kind)
    if kind is None:
        return _reason(treatment.kind, UNMET, "此处理方式尚未实现", "this treatment is not built yet")
    if kind.name == "encrypt" and not encrypt.has_way(route):
        return _reason(
            "encrypt", UNMET, "尚未配置加密，不以明文外发", "encryption is not set up; not sent in the clear"
        )
    if kind.name == "tag":
        try:
            mark.field(treatment.value)
        except mark.BadTag as error:
            return _reason("tag", UNMET, str(error), str(error))
    if kind.name in ("redirect", "copy") and treatment.value.count("@") != 1:
        return _reason(kind.name, UNMET, "没有有效地址", "names no address")
    if kind.alters:
        why = _unalterable(treatment, raw)
        if why is not None:
            return replace(_reason(kind.name, UNALTERABLE, why.zh, why.en), waivable=True)
    return None


def is_unmet(reason: Reason) -> bool:
    """Whether it stands for a treatment that can't be done here: no person can answer it, but it may become possible."""
    return reason.rule.startswith("treatment.") and not reason.waivable


def _reason(kind: str, version: str, zh: str, en: str) -> Reason:
    return Reason(
        f"treatment.{kind}", version, Disposition.APPROVE, Title(f"{kind}：{zh}", f"{kind}: {en}"), waivable=False
    )


def _unalterable(treatment: Treatment, raw: bytes) -> Title | None:
    if treatment.kind == "unbanner" and not banner.may_be_in(raw):
        return None
    root = surgery.structure(raw)
    if root is None:
        return Title("邮件结构有歧义，不作改动", "its structure can be read in two ways, so it is not altered")
    if surgery.sealed(root, raw):
        return Title("原件已签名或加密，不作改动", "it is signed or encrypted by its sender, so it is not altered")
    if treatment.kind == "disarm" and disarm.obstructed(raw, root):
        return Title("有 HTML 无法可靠改写", "some of its HTML cannot be rewritten for sure")
    if treatment.kind in ("banner", "unbanner") and any(
        surgery.text(node, raw) is None for node in banner.bodies(root)
    ):
        return Title("正文编码无法确定，不作改动", "the charset of its text is in doubt, so it is not altered")
    return None


def apply(
    raw: bytes,
    treatments: Iterable[Treatment],
    route: Route,
    *,
    message_id: str,
    at: datetime,
    waived: frozenset[str] = frozenset(),
    signer: Signer | None = None,
) -> Treated | Unmet:
    """The bytes to send, or what could not be done. Nothing asked: the same bytes.

    ``waived`` are the kinds a person let go without (reason ``treatment.KIND`` at version UNALTERABLE). ``signer``, if any, signs last.
    """
    tags: list[bytes] = []
    done: list[str] = []
    data = raw
    for treatment in sorted(treatments, key=lambda t: (KINDS[t.kind].place if t.kind in KINDS else 0, t)):
        if treatment.kind in waived:
            continue
        trouble = _obstacle(treatment, raw, route)
        if trouble is not None:
            return Unmet(treatment.kind, trouble.title)
        if treatment.kind == "tag":
            tags.append(mark.field(treatment.value))
            done.append(treatment.kind)
        elif KINDS[treatment.kind].alters:
            changed = _altered(data, treatment, message_id)
            if changed is None:
                return Unmet(treatment.kind, Title("无法安全改动此邮件", "this message cannot be altered safely"))
            if changed != data:
                done.append(treatment.kind)
            data = changed
        else:  # who gets it, who is told, by which way it goes: the bytes stay
            done.append(treatment.kind)
    pieces = (*tags, data)
    if signer is not None:
        pieces = (signer.sign(b"".join(pieces), at), *pieces)
        done.append(SIGNED)
    return Treated(pieces, tuple(dict.fromkeys(done)))


def _altered(data: bytes, treatment: Treatment, message_id: str) -> bytes | None:
    if treatment.kind == "unbanner" and not banner.may_be_in(data):
        return data
    root = surgery.structure(data)
    if root is None:
        return None
    if treatment.kind == "strip":
        return strip.stripped(data, root, treatment.value, message_id)
    if treatment.kind == "disarm":
        return disarm.disarmed(data, root, treatment.value)
    if treatment.kind == "banner":
        return banner.added(data, root, treatment.value)
    return banner.removed(data, root)
