"""docs/deliveries.md, drawn from the table of gateway.custody.delivery."""

from gateway.custody.delivery import HELD, TERMINAL, TRANSITIONS, State

HEAD = """# The life of a delivery 投递的一生

Drawn from `gateway/custody/delivery.py`; a test keeps it so. Renew it with `python -m gateway.custody.picture > docs/deliveries.md`.
由 `gateway/custody/delivery.py` 生成，测试保证一致。

A delivery is one message with one decision for one next hop. It changes in one way only: `advance()` looks the step up in the table
below and refuses what is not there; the new state is then saved by compare-and-swap. A dash in the last column: told by
`message.decided`, or not told on its own.
"""
MEANINGS = {
    State.PENDING: ("已落盘，尚未应答 250", "durable, but the client has not been told 250"),
    State.AWAITING_APPROVAL: ("等待审批", "waits for somebody entitled to answer"),
    State.QUARANTINED: ("隔离中", "in quarantine; leaves only by a release"),
    State.DELAYED: ("延迟发送", "waits for its time, which answers the reason for the delay"),
    State.QUEUED: ("等待投递", "waits for its next attempt"),
    State.SENDING: ("正在投递，可安全放弃", "being sent; the final dot is not out, so a crash costs nothing"),
    State.CLOSING: ("结束点可能已发出", "the final dot may be out; only the next hop knows"),
    State.ON_HOLD: ("人工暂停", "put on hold by an operator"),
    State.OUTCOME_UNKNOWN: ("结果未知，等人判断", "a crash after the final dot: a person says whether it arrived"),
    State.UNDELIVERABLE: ("无法投递，也不能退信", "failed, and no bounce may be sent: kept for the postmaster"),
    State.SENT: ("已送达", "the next hop answered 2xx"),
    State.BOUNCED: ("已退信", "failed, and the sender was told"),
    State.REJECTED: ("审批拒绝", "somebody entitled said no"),
    State.EXPIRED: ("逾期未处理", "nobody answered in time"),
    State.DELETED: ("已删除", "deleted by an operator"),
    State.SWEPT: ("未应答即清除", "never acknowledged, so the client still has it"),
}


def render() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_diagram(), "", *_states(), "", *_moves(), ""])


def _diagram() -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, verb), step in TRANSITIONS.items():
        arrows.setdefault((state, step.to), []).append(verb.value)
    for (start, end), verbs in arrows.items():
        lines.append(f"    {_node(start)} --> {_node(end)}: {', '.join(verbs)}")
    lines += [f"    {_node(state)} --> [*]" for state in State if state in TERMINAL]
    return [*lines, "```"]


def _states() -> list[str]:
    rows = ["## States 状态", "", "| state | kind | 含义 | meaning |", "|---|---|---|---|"]
    for state in State:
        kind = "final 终态" if state in TERMINAL else "held 扣留" if state in HELD else ""
        zh, en = MEANINGS[state]
        rows.append(f"| {state.value} | {kind} | {zh} | {en} |")
    return rows


def _moves() -> list[str]:
    rows = ["## Steps 转换", "", "| state | verb | becomes | event |", "|---|---|---|---|"]
    rows += [
        f"| {state.value} | {verb.value} | {step.to.value} | {step.event or '-'} |"
        for (state, verb), step in sorted(TRANSITIONS.items(), key=lambda item: list(State).index(item[0][0]))
    ]
    return rows


def _node(state: State) -> str:
    return state.value.replace("-", "_")


if __name__ == "__main__":
    import sys

    sys.stdout.write(render())
