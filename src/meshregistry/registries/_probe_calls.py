"""Asking a workload once: HTTP, TCP, gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from meshregistry.errors import MissingExtraError
from meshregistry.registries._probe import Answer, GrpcCheck, HttpGet, Target, TcpConnect

if TYPE_CHECKING:
    from meshregistry.registries._probe import Probe

_UNIX = "unix://"
_WORST = 400
_BEST = 200
_SERVING = 1  # grpc.health.v1.HealthCheckResponse.ServingStatus
_CHECK = "/grpc.health.v1.Health/Check"


async def ask(target: Target, user_agent: str) -> Answer:
    """Ask once, and wait no longer than the probe says.

    Whatever keeps the question from being asked is an answer, too: nothing is known to be
    healthy without having been asked.
    """
    probe = target.probe
    try:
        async with asyncio.timeout(probe.timeout):
            reason = await _asked(probe, target.address, user_agent)
    except TimeoutError:
        return Answer(False, f"no answer within {probe.timeout:g} s")
    except (OSError, MissingExtraError) as error:
        return Answer(False, str(error) or type(error).__name__)
    return Answer(not reason, reason)


async def _asked(probe: Probe, address: str, user_agent: str) -> str:
    """Why the workload is not healthy; empty if it is."""
    match probe.check:
        case HttpGet() as check:
            return await _http(check, address, user_agent)
        case TcpConnect() as check:
            return await _tcp(check, address)
        case GrpcCheck() as check:
            return await _grpc(check, address, probe.timeout)


async def _tcp(check: TcpConnect, address: str) -> str:
    if address.startswith(_UNIX) and not check.host:
        path = address.removeprefix(_UNIX)
        _, writer = await asyncio.open_unix_connection(path.replace("@", "\0", 1))
    else:
        _, writer = await asyncio.open_connection(check.host or address, check.port)
    writer.close()
    with contextlib.suppress(OSError):  # it was accepted; how it ends says nothing
        await writer.wait_closed()
    return ""


async def _http(check: HttpGet, address: str, user_agent: str) -> str:
    aiohttp = _extra("aiohttp")
    connector: Any
    if address.startswith(_UNIX) and not check.host:
        connector = aiohttp.UnixConnector(path=address.removeprefix(_UNIX))
        authority = "localhost"
    else:
        # As Kubernetes does, certificates are not checked: a probe asks for life, not for identity.
        connector = aiohttp.TCPConnector(ssl=False)
        host = check.host or address
        authority = f"[{host}]:{check.port}" if ":" in host else f"{host}:{check.port}"
    agent = {"User-Agent": user_agent}  # unless the probe has one
    try:
        async with (
            aiohttp.ClientSession(connector=connector, headers=agent) as session,
            session.get(
                f"{check.scheme}://{authority}{check.path}",
                headers=check.headers,
                allow_redirects=False,
            ) as response,
        ):
            is_healthy = _BEST <= response.status < _WORST
            return "" if is_healthy else f"status {response.status}"
    except aiohttp.ClientError as error:
        return str(error) or type(error).__name__


async def _grpc(check: GrpcCheck, address: str, timeout: float) -> str:
    grpc = _extra("grpc")
    aio = _extra("grpc.aio")
    # Messages of the same form as those of grpc.health.v1, for which there is no package here:
    # one text, and one enumeration, both of number 1.
    wrappers = _extra("google.protobuf.wrappers_pb2")
    host = f"[{address}]" if ":" in address else address
    place = f"unix:{address.removeprefix(_UNIX)}" if address.startswith(_UNIX) else ""
    async with aio.insecure_channel(place or f"{host}:{check.port}") as channel:
        call = channel.unary_unary(
            _CHECK,
            request_serializer=wrappers.StringValue.SerializeToString,
            response_deserializer=wrappers.Int32Value.FromString,
        )
        try:
            answer = await call(wrappers.StringValue(value=check.service), timeout=timeout)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "" if answer.value == _SERVING else "not SERVING"


def _extra(module: str) -> Any:
    """A package that the core does without.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("server", error.name or module) from error
