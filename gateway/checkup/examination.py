"""What sealgate doctor looks at, in the order people would look: each check a line for people. Nothing is changed."""

import asyncio
import os
import shutil
from datetime import UTC, datetime

from gateway.checkup.check import Check, Health
from gateway.checkup.machine import check_clock, check_descriptors, check_disk, check_state, check_times, looking
from gateway.checkup.neighbours import check_clamd, check_route
from gateway.checkup.ports import check_certificate, check_listener
from gateway.checkup.running import check_decoders, check_keeper, check_log, check_queue, check_store, check_trouble
from gateway.config import Config
from gateway.judging import examples, loading
from gateway.process import lifeline
from gateway.process.decoders import DecoderError
from gateway.store.whereabouts import NOTE


async def examine(config: Config) -> list[Check]:
    """Every check of this machine, in the order people would look."""
    serving = lifeline.holder(config.gateway.state_dir)
    checks = [await check_rules(config)]
    for listener in config.listeners:
        checks.append(await check_listener(config, listener, serving=bool(serving)))
        if listener.tls.cert_file:
            checks.append(check_certificate(config, listener, datetime.now(UTC)))
    checks += [
        await check_clock(),
        looking("clock 时钟", lambda: check_times(config, datetime.now(UTC))),
        check_state(config, os.geteuid()),
        looking("disk 磁盘", lambda: check_disk(config, shutil.disk_usage)),
        check_descriptors(config),
    ]
    if config.store.url or (config.gateway.state_dir / NOTE).exists():
        checks.append(await check_store(config))
    if serving:
        checks += [check_keeper(config), await check_decoders(config), await check_queue(config)]
        checks += check_trouble(config)
    else:
        checks.append(
            Check(
                "processes 进程",
                Health.REMARK,
                "网关未运行",
                "the gateway is not running",
                "start it 启动: sealgate serve",
            )
        )
    checks.append(await asyncio.to_thread(looking, "audit log 审计日志", lambda: check_log(config)))
    if config.clamav.address:
        checks.append(await check_clamd(config.clamav.address, datetime.now(UTC)))
    checks += await asyncio.gather(*(check_route(config, route) for route in config.routes))
    return checks


async def check_rules(config: Config) -> Check:
    """The rules load, and do what their examples say."""
    subject = "rules 策略"
    try:
        version = await examples.check(config)
    except loading.JudgeError as error:
        return Check(
            subject,
            Health.WRONG,
            "规则有误",
            str(error).splitlines()[0],
            "sealgate check lists them all 用 sealgate check 查看全部问题",
        )
    except (DecoderError, OSError) as error:
        return Check(
            subject,
            Health.WRONG,
            "解码进程无法启动",
            str(error),
            "reinstall from requirements.lock 请按 requirements.lock 重装",
        )
    return Check(subject, Health.GOOD, "规则与示例一致", f"every example comes out, judge {version}")
