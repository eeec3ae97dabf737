"""Every metric we keep (prometheus_client). Labels are words of ours, never addresses. docs/reference/metrics.md is made from REGISTRY."""

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Counter("sealgate_sessions_total", "Connections taken 连接数", ["listener"])
REFUSALS = Counter(
    "sealgate_refusals_total",
    "Refusals before or beside a message (code 0: closed) 会话内拒绝次数",
    ["listener", "code"],
)
MESSAGES = Counter("sealgate_messages_total", "Messages answered 按结果统计的邮件数", ["direction", "outcome"])
BYTES = Counter("sealgate_message_bytes_total", "Bytes of messages received 收到的字节数", ["direction"])
SCAN_SECONDS = Histogram(
    "sealgate_scan_seconds",
    "Time from the end of data to all findings 扫描耗时",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
SCANNER_FAILURES = Counter(
    "sealgate_scanner_failures_total", "Scanners that did not finish 扫描器失败次数", ["scanner"]
)
RULE_MATCHES = Counter("sealgate_rule_matches_total", "Rules that matched 规则命中次数", ["rule"])
LOG_UNAVAILABLE = Counter(
    "sealgate_log_unavailable_total", "Answers of 451 because the log could not be written 日志不可写次数"
)
NEXT_HOP = Counter("sealgate_next_hop_total", "Attempts by the next hop's answer 下一跳应答", ["result"])
RELOADS = Counter("sealgate_reloads_total", "Reloads by result 重新加载次数", ["result"])
DECODER_RESTARTS = Counter("sealgate_decoder_restarts_total", "Decoders that died and were replaced 解码进程重启次数")
CHILD_RESTARTS = Counter(
    "sealgate_process_restarts_total", "Processes that died and were replaced 进程重启次数", ["role"]
)
DELIVERIES = Gauge(
    "sealgate_deliveries", "Deliveries in custody by state 托管邮件数", ["state"], multiprocess_mode="mostrecent"
)
LOG_SIZE = Gauge("sealgate_log_events", "Events in the audit log 审计日志事件数", multiprocess_mode="mostrecent")
LOG_UNPUBLISHED = Gauge(
    "sealgate_log_unpublished_events",
    "Events durable but not yet in the public tiles 尚未发布的事件数",
    multiprocess_mode="mostrecent",
)
LOG_AGE = Gauge(
    "sealgate_log_checkpoint_age_seconds",
    "Since the published checkpoint was written 最近检查点距今秒数",
    multiprocess_mode="mostrecent",
)
UP = Gauge("sealgate_up", "1 while the supervisor runs 运行中", multiprocess_mode="max")
