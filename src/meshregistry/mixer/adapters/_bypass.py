"""``bypass``: hands instances to an adapter in another process, over gRPC.

A handler with ``connection: {address: …}`` is one of this adapter, too: its parameters go to
the other process as they are written.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import field, frozen

from meshregistry.documents import Seconds, to_plain
from meshregistry.errors import MixerError
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.spi import (
    TEMPLATES,
    CheckAnswer,
    DirectResponse,
    Handler,
    MixerAdapter,
    QuotaAnswer,
    Status,
    Variety,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshregistry.mixer.foreign import ForeignTemplate
    from meshregistry.mixer.spi import (
        HandlerContext,
        Instance,
        InstanceTypes,
        QuotaRequest,
        Template,
        Value,
    )

_EXTRA = "mixer-server"
_BACKEND = "/istio.mixer.adapter.model.v1beta1.InfrastructureBackend"
_STRUCT = "type.googleapis.com/google.protobuf.Struct"
_SESSION = "google.protobuf.Any.type_url"
"""Where the configuration would be, a session is meant."""
_TYPE, _VALUE = "@type", "value"
_ID_BITS = 128
_MESSAGES = "meshregistry.mixer.adapters._backend_messages"
_VALUES = "meshregistry.mixer.adapters._backend_values"


def _plain(value: Any) -> Any:
    # Documents give their tree, whose places in the file are no part of the configuration.
    return (
        value
        if isinstance(value, (dict, list, str, int, float, bool, type(None)))
        else to_plain(value)
    )


@frozen(kw_only=True)
class BypassTls:
    """How the other process is known, and this one to it.

    Attributes:
        ca_certificates: file of the roots that sign its certificate; empty: the system's.
        private_key: file of this side's key, for mutual TLS.
        client_certificate: file of this side's certificate, for mutual TLS.
        server_name: the name in its certificate, if it is not that of the address.
    """

    ca_certificates: str = ""
    private_key: str = ""
    client_certificate: str = ""
    server_name: str = ""


@frozen(kw_only=True)
class BypassAuthentication:
    """How a connection is secured; tokens are not supported.

    Attributes:
        tls: the other process shows a certificate.
        mutual: both sides show one.
    """

    tls: BypassTls | None = None
    mutual: BypassTls | None = None


@frozen(kw_only=True)
class BypassConfig:
    """Parameters of ``bypass``.

    Attributes:
        backend_address: of the other process, ``host:port``.
        params: its configuration. It gets a ``google.protobuf.Struct`` with what is written; a
            mapping with ``@type`` and ``value`` (base64) is any other message, as it is; with an
            empty ``@type`` it gets none.
        session_based: the configuration is validated and given once, and a session's id goes
            with each call; otherwise the configuration itself does.
        timeout: how long a call may take; 0: as long as the server lets handlers take.
        authentication: how the connection is secured; nothing: in plain text.
    """

    backend_address: str
    params: Any = field(factory=dict, converter=_plain)
    session_based: bool = False
    timeout: Seconds = Seconds(0.0)
    authentication: BypassAuthentication | None = None


def _faults(config: BypassConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    if not config.backend_address.rpartition(":")[2].isdigit():
        yield f"backend_address: {config.backend_address!r} has no port; write host:port"
    try:
        adapter_config(config.params)
    except ValueError as error:
        yield f"params: {error}"
    security = config.authentication
    if security is None:
        return
    if (security.tls is None) == (security.mutual is None):
        yield "authentication: write either tls or mutual"
    if security.mutual and not (security.mutual.private_key and security.mutual.client_certificate):
        yield "authentication: mutual needs privateKey and clientCertificate"
    if security.tls and (security.tls.private_key or security.tls.client_certificate):
        yield "authentication: a key and a certificate of this side belong to mutual, not to tls"


def adapter_config(params: Any) -> tuple[str, bytes]:
    """The configuration as type and value of an ``Any``.

    Raises:
        ValueError: if it cannot be written so.
    """
    if not isinstance(params, Mapping):
        raise ValueError("must be a mapping; write key: value")  # noqa: TRY004 - of the configuration
    if _TYPE in params:
        if params.keys() != {_TYPE, _VALUE} or not isinstance(params[_VALUE], str):
            raise ValueError(f"beside {_TYPE} there must be value: and a message in base64")
        try:
            return str(params[_TYPE]), base64.b64decode(params[_VALUE], validate=True)
        except binascii.Error as error:
            raise ValueError(f"the value is not base64: {error}") from error
    struct = imported("google.protobuf.struct_pb2", _EXTRA).Struct()
    struct.update(params)
    return _STRUCT, struct.SerializeToString(deterministic=True)


class BypassHandler(Handler):
    """Speaks to the other process."""

    def __init__(self, config: BypassConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        self._grpc = imported("grpc", _EXTRA)
        self._messages = imported(_MESSAGES, _EXTRA)
        self._values = imported(_VALUES, _EXTRA)
        self._backend = imported("meshregistry.mixer.proto.adapter_v1beta1_pb2", _EXTRA)
        self._own = adapter_config(config.params)
        self._policy = imported("meshregistry.mixer.proto.policy_v1beta1_pb2", _EXTRA)
        self._decode_error = imported("google.protobuf.message", _EXTRA).DecodeError
        self._channel: Any = None
        self._session: str | None = None
        self._beginning = asyncio.Lock()

    async def start(self) -> None:
        """Connect, and begin the session.

        Raises:
            MixerError: if the other process does not accept the configuration. One that is not
                there is asked again by the first call.
            OSError: if a file of a certificate cannot be read.
        """
        self._channel = await self._connected()
        if self._config.session_based:
            try:
                await self._adapter_config()
            except _Unreachable as error:
                self._context.logger.warning("%s", error)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        if self._channel is None:
            return
        if self._session is not None:
            request = self._backend.CloseSessionRequest(session_id=self._session)
            try:
                await self._call(
                    f"{_BACKEND}/CloseSession", request, self._backend.CloseSessionResponse
                )
            except MixerError as error:
                self._context.logger.warning("the session could not be closed: %s", error)
        await self._channel.close()

    async def check(self, instance: Instance) -> CheckAnswer:
        answer = await self._handled([instance])
        template = self._template(instance)
        has_output = template.variety is Variety.CHECK_WITH_OUTPUT
        result = answer.result if has_output else answer
        return CheckAnswer(
            status=Status(result.status.code, result.status.message),
            valid_duration=_seconds(result.valid_duration),
            valid_use_count=result.valid_use_count,
            response=self._direct_response(result.status),
            output=self._output(template, answer) if has_output else {},
        )

    async def generate(self, instance: Instance) -> Mapping[str, Value]:
        return self._output(self._template(instance), await self._handled([instance]))

    async def quota(self, instance: Instance, request: QuotaRequest) -> QuotaAnswer:
        asked = self._backend.QuotaRequest()
        one = asked.quotas[instance.name]
        one.amount, one.best_effort = request.amount, request.is_best_effort
        result = await self._handled([instance], request.deduplication_id, asked)
        if instance.name not in result.quotas:
            raise MixerError(f"{self._config.backend_address} says nothing of {instance.name}")
        said = result.quotas[instance.name]
        return QuotaAnswer(
            amount=said.granted_amount,
            valid_duration=_seconds(said.valid_duration),
            status=Status(said.status.code, said.status.message),
        )

    async def report(self, instances: Sequence[Instance]) -> None:
        await self._handled(instances)

    def _template(self, instance: Instance) -> Template:
        return self._context.instances[instance.name].template

    def _output(self, template: Template, answer: Any) -> Mapping[str, Value]:
        # Ours have none, so this is one that a document describes.
        return cast("ForeignTemplate", template).output_of(answer)

    def _direct_response(self, status: Any) -> DirectResponse | None:
        message = self._policy.DirectHttpResponse
        for one in status.details:
            if one.type_url.rpartition("/")[2] != message.DESCRIPTOR.full_name:
                continue
            try:
                said = message.FromString(one.value)
            except self._decode_error as error:
                # The denial holds all the same: a check that fails is one that clients may allow.
                address = self._config.backend_address
                self._context.logger.warning("%s: a detail cannot be read: %s", address, error)
                continue
            return DirectResponse(code=said.code, body=said.body, headers=dict(said.headers))
        return None

    # --- The other process ----------------------------------------------------------------

    async def _handled(
        self, instances: Sequence[Instance], dedup_id: str = "", quota: Any = None
    ) -> Any:
        template = self._template(instances[0])
        messages = self._messages.messages_of(template)
        # Repetitions of a call are known by it; a call that is none needs one of its own.
        request = messages.request(dedup_id=dedup_id or self._new_id())
        for instance in instances:
            is_report = template.variety is Variety.REPORT
            message = request.instances.add() if is_report else request.instance
            types = self._context.instances[instance.name]
            self._values.write_instance(message, instance, types)
        if quota is not None:
            # The classes are not the same if a document describes the template.
            request.quota_request.MergeFromString(quota.SerializeToString())
        kind, value = await self._adapter_config()
        if kind:
            request.adapter_config.type_url, request.adapter_config.value = kind, value
        try:
            return await self._call(messages.method, request, messages.result)
        except _Unreachable:
            # One that was started anew knows nothing of former sessions.
            self._session = None
            raise

    def _new_id(self) -> str:
        return f"{self._context.random.getrandbits(_ID_BITS):032x}"

    async def _adapter_config(self) -> tuple[str, bytes]:
        if not self._config.session_based:
            return self._own
        async with self._beginning:
            if self._session is None:
                self._session = await self._new_session()
        return _SESSION, self._session.encode()

    async def _new_session(self) -> str:
        backend = self._backend
        requests = [backend.ValidateRequest(), backend.CreateSessionRequest()]
        for request in requests:
            if self._own[0]:
                request.adapter_config.type_url, request.adapter_config.value = self._own
            for name, types in self._context.instances.items():
                message = self._messages.types_message(types)
                if message is None:
                    continue
                inferred = request.inferred_types[name]
                inferred.type_url = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
                inferred.value = message.SerializeToString(deterministic=True)
        validate, create = requests
        said = await self._call(f"{_BACKEND}/Validate", validate, backend.ValidateResponse)
        self._expect_ok("the configuration is refused", said.status)
        made = await self._call(f"{_BACKEND}/CreateSession", create, backend.CreateSessionResponse)
        self._expect_ok("there is no session", made.status)
        self._context.count("sessions")
        return str(made.session_id)

    def _expect_ok(self, what: str, status: Any) -> None:
        if status.code:
            said = Status(status.code, status.message)
            raise MixerError(f"{what} by {self._config.backend_address}: {said}")

    async def _call(self, method: str, request: Any, result: Any) -> Any:
        ask = self._channel.unary_unary(
            method,
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=result.FromString,
        )
        try:
            return await ask(request, timeout=self._config.timeout or None)
        except self._grpc.aio.AioRpcError as error:
            self._context.count("failed_calls")
            reason = f"{self._config.backend_address}: {error.code().name}: {error.details()}"
            is_gone = error.code() in {
                self._grpc.StatusCode.UNAVAILABLE,
                self._grpc.StatusCode.NOT_FOUND,
            }
            raise (_Unreachable if is_gone else MixerError)(reason) from error

    async def _connected(self) -> Any:
        address, security = self._config.backend_address, self._config.authentication
        if security is None:
            return self._grpc.aio.insecure_channel(address)
        tls = security.mutual or security.tls or BypassTls()
        roots, key, certificate = [
            await self._context.in_thread(Path.read_bytes, self._context.base_path / name)
            if name
            else None
            for name in (tls.ca_certificates, tls.private_key, tls.client_certificate)
        ]
        options = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
        credentials = self._grpc.ssl_channel_credentials(roots, key, certificate)
        return self._grpc.aio.secure_channel(address, credentials, options=options)


class _Unreachable(MixerError):
    """The other process is not there, or does not know the session."""


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


_TAKEN: Final = tuple(
    one for one in TEMPLATES if one.variety in {Variety.CHECK, Variety.QUOTA, Variety.REPORT}
)

BYPASS: Final = MixerAdapter(
    name="bypass",
    config_class=BypassConfig,
    templates=_TAKEN,
    open=BypassHandler,
    check=_faults,
    summary="hands instances to an adapter in another process, over gRPC",
)
