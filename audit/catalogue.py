"""Every type of event, with one sentence for people; the reference page is made from it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventType:
    """A type, and what it says in both languages."""

    name: str
    zh: str
    en: str


TYPES = (
    EventType("message.decided", "对一封邮件作出了决定", "What was decided about a message, before a byte of it left"),
    EventType("message.part", "前一事件的续页", "The continuation of an event too large for one line"),
    EventType("message.relayed", "下一跳已接收", "The next hop took the message"),
    EventType("message.refused", "下一跳拒收", "The next hop refused the message"),
    EventType("message.deferred", "下一跳暂时拒收", "The next hop put the message off"),
    EventType("message.outcome_unknown", "投递结果未知", "Nobody reported how a relay ended"),
    EventType("message.duplicate", "重复提交，返回上次的答复", "The same message again got the recorded reply"),
    EventType("message.delivered", "已从托管投递", "Delivered from custody"),
    EventType("message.bounced", "已退信", "Given up, and the sender was told"),
    EventType("message.released", "已放行，重新裁决后发出", "Released: judged again and let go"),
    EventType(
        "message.undeliverable", "无法投递也不可退信", "Can be neither delivered nor returned; kept for the postmaster"
    ),
    EventType("session.refused", "会话被拒", "Refusals before DATA, counted per client network and minute"),
    EventType("session.login", "发信人登录", "A sender logged in"),
    EventType("hold.create", "已扣留待审批", "Held for approval"),
    EventType("hold.approve", "审批通过", "Approved by a person"),
    EventType("hold.deny", "审批拒绝", "Denied by a person"),
    EventType("hold.expire", "审批超时", "Nobody answered in time"),
    EventType("delivery.held", "投递被操作员暂停", "A delivery was put on hold by an operator"),
    EventType("delivery.resumed", "投递已恢复", "A delivery goes on"),
    EventType("delivery.retried", "投递将重试", "A delivery is tried again"),
    EventType("delivery.confirmed", "投递结果已由人确认", "A person confirmed how a delivery ended"),
    EventType(
        "delivery.abandoned", "一次投递随其进程中断，将重试", "An attempt ended with its process; it is tried again"
    ),
    EventType("delivery.deleted", "投递已删除", "A delivery was deleted by a person"),
    EventType("delivery.delay_notice", "已通知发件人延迟", "The sender was told of a delay"),
    EventType("quarantine.add", "已隔离", "Put into quarantine"),
    EventType("admin.mfa", "操作员二次验证", "An operator proved presence, or failed to"),
    EventType("audit.start", "审计日志启动", "The log's writer started"),
    EventType("audit.stop", "审计日志停止", "The log's writer ended in order"),
    EventType(
        "audit.recovered", "审计日志从崩溃中恢复", "A commit cut short by a crash was wiped; nobody had been told of it"
    ),
    EventType("audit.new_shard", "启用新日志", "A new log after a damaged one was set aside"),
    EventType("audit.view_sealed", "查看了密封字段", "Somebody opened sealed fields"),
    EventType("privacy.erase", "密钥已销毁", "Keys of a message or a person were destroyed"),
)
