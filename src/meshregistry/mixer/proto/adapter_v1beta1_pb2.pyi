# Generated from adapter_v1beta1.proto by `make proto`; not to be edited.
# mypy: ignore-errors
import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from meshregistry.mixer.proto import rpc_status_pb2 as _rpc_status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValidateRequest(_message.Message):
    __slots__ = ("adapter_config", "inferred_types")
    class InferredTypesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _any_pb2.Any
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...
    ADAPTER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    INFERRED_TYPES_FIELD_NUMBER: _ClassVar[int]
    adapter_config: _any_pb2.Any
    inferred_types: _containers.MessageMap[str, _any_pb2.Any]
    def __init__(self, adapter_config: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., inferred_types: _Optional[_Mapping[str, _any_pb2.Any]] = ...) -> None: ...

class ValidateResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _rpc_status_pb2.Status
    def __init__(self, status: _Optional[_Union[_rpc_status_pb2.Status, _Mapping]] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("adapter_config", "inferred_types")
    class InferredTypesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _any_pb2.Any
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...
    ADAPTER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    INFERRED_TYPES_FIELD_NUMBER: _ClassVar[int]
    adapter_config: _any_pb2.Any
    inferred_types: _containers.MessageMap[str, _any_pb2.Any]
    def __init__(self, adapter_config: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., inferred_types: _Optional[_Mapping[str, _any_pb2.Any]] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session_id", "status")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    status: _rpc_status_pb2.Status
    def __init__(self, session_id: _Optional[str] = ..., status: _Optional[_Union[_rpc_status_pb2.Status, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _rpc_status_pb2.Status
    def __init__(self, status: _Optional[_Union[_rpc_status_pb2.Status, _Mapping]] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("status", "valid_duration", "valid_use_count")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VALID_DURATION_FIELD_NUMBER: _ClassVar[int]
    VALID_USE_COUNT_FIELD_NUMBER: _ClassVar[int]
    status: _rpc_status_pb2.Status
    valid_duration: _duration_pb2.Duration
    valid_use_count: int
    def __init__(self, status: _Optional[_Union[_rpc_status_pb2.Status, _Mapping]] = ..., valid_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., valid_use_count: _Optional[int] = ...) -> None: ...

class ReportResult(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QuotaRequest(_message.Message):
    __slots__ = ("quotas",)
    class QuotaParams(_message.Message):
        __slots__ = ("amount", "best_effort")
        AMOUNT_FIELD_NUMBER: _ClassVar[int]
        BEST_EFFORT_FIELD_NUMBER: _ClassVar[int]
        amount: int
        best_effort: bool
        def __init__(self, amount: _Optional[int] = ..., best_effort: _Optional[bool] = ...) -> None: ...
    class QuotasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: QuotaRequest.QuotaParams
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[QuotaRequest.QuotaParams, _Mapping]] = ...) -> None: ...
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    quotas: _containers.MessageMap[str, QuotaRequest.QuotaParams]
    def __init__(self, quotas: _Optional[_Mapping[str, QuotaRequest.QuotaParams]] = ...) -> None: ...

class QuotaResult(_message.Message):
    __slots__ = ("quotas",)
    class Result(_message.Message):
        __slots__ = ("valid_duration", "granted_amount", "status")
        VALID_DURATION_FIELD_NUMBER: _ClassVar[int]
        GRANTED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        valid_duration: _duration_pb2.Duration
        granted_amount: int
        status: _rpc_status_pb2.Status
        def __init__(self, valid_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., granted_amount: _Optional[int] = ..., status: _Optional[_Union[_rpc_status_pb2.Status, _Mapping]] = ...) -> None: ...
    class QuotasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: QuotaResult.Result
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[QuotaResult.Result, _Mapping]] = ...) -> None: ...
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    quotas: _containers.MessageMap[str, QuotaResult.Result]
    def __init__(self, quotas: _Optional[_Mapping[str, QuotaResult.Result]] = ...) -> None: ...
