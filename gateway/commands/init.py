"""sealgate init: write a configuration to start from, and say what to do next."""

import argparse
import os
import sys
from pathlib import Path

TEMPLATE = """# Sealgate 信关. Check with: sealgate check --config THIS_FILE
[gateway]
hostname = "{hostname}"            # in our greeting and Received fields 本网关的主机名
local_domains = ["{domain}"]       # whose mail is ours 本公司域名
state_dir = "{state}"                # log, held mail, keys 状态目录
mode = "monitor"                   # judge and log, deliver everything; then "enforce" 先观察，后执行
trusted_hops = []                  # load balancers or relays whose PROXY/XCLIENT word is believed

[[listener]]
name = "inbound"
bind = "0.0.0.0:2525"
direction = "inbound"
{tls}
[[listener]]
name = "outbound"
bind = "127.0.0.1:2526"
direction = "outbound"
clients = ["127.0.0.0/8"]          # who may relay; no list, no relay 允许中继的网段

[[route]]
recipients = "{domain}"
to = "smtp://{server}"             # your mail server 贵司邮件服务器
tls = "opportunistic"

[[route]]
recipients = "*"
to = "mx:"                         # the world, by MX 外部邮件按 MX 投递

[console]
bind = "127.0.0.1:8080"            # /livez /readyz /metrics
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "init",
        help="write a configuration to start from 生成初始配置",
        description="Write a configuration to start from. Nothing that exists is overwritten. 生成初始配置，不会覆盖已有文件。",
        epilog="example 示例:  sealgate init --config sealgate.toml --domain corp.example --server 10.0.0.5:25",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("sealgate.toml"), help="file to write 要生成的文件")
    parser.add_argument("--domain", default="corp.example", help="your mail domain 公司邮箱域名")
    parser.add_argument("--hostname", default="", help="this gateway's name; default gw.DOMAIN 本机主机名")
    parser.add_argument("--server", default="127.0.0.1:25", help="host:port of your mail server 邮件服务器")
    parser.add_argument("--state", default="state", help="state folder, relative to the file 状态目录")
    parser.add_argument("--cert", default="", help="PEM certificate chain for STARTTLS 证书")
    parser.add_argument("--key", default="", help="its PEM key 私钥")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 2 if the file is there already."""
    tls = f'tls = {{ cert_file = "{arguments.cert}", key_file = "{arguments.key}" }}\n' if arguments.cert else ""
    text = TEMPLATE.format(
        hostname=arguments.hostname or f"gw.{arguments.domain}",
        domain=arguments.domain,
        server=arguments.server,
        state=arguments.state,
        tls=tls,
    )
    try:
        handle = os.open(arguments.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        print(f"{arguments.config}: {error.strerror}. Name another file 请换一个文件名", file=sys.stderr)
        return 2
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"wrote 已生成 {arguments.config}")
    print(f"next 下一步:  sealgate check --config {arguments.config}  &&  sealgate serve --config {arguments.config}")
    print(f"then 然后:    point {arguments.domain}'s inbound mail to this host, port 2525 将入站邮件指向本机 2525 端口")
    if not tls:
        print("TLS is off: give --cert and --key, or set listener.tls 尚未启用 TLS，请提供证书")
    return 0
