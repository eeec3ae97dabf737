"""Every metric we keep (prometheus_client). Labels are words of ours, never addresses. docs/reference/metrics.md is made from REGISTRY."""

from prometheus_client import Counter, Gauge, Histogram

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
UP = Gauge("sealgate_up", "1 while the supervisor runs 运行中", multiprocess_mode="max")
