"""The vocabulary: the attributes that Istio 1.4 declares, as constants, with type and meaning.

A constant is the name. What is known of it is in `STANDARD`, which is also the manifest of a
client or server that is given no other.
"""

from __future__ import annotations

from typing import Final

from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer._manifest import Attribute, Manifest, When

# The calling side.
SOURCE_UID: Final = "source.uid"
SOURCE_IP: Final = "source.ip"
SOURCE_PORT: Final = "source.port"
SOURCE_NAME: Final = "source.name"
SOURCE_NAMESPACE: Final = "source.namespace"
SOURCE_LABELS: Final = "source.labels"
SOURCE_PRINCIPAL: Final = "source.principal"
SOURCE_USER: Final = "source.user"
SOURCE_OWNER: Final = "source.owner"
SOURCE_SERVICE_ACCOUNT: Final = "source.serviceAccount"
SOURCE_SERVICE: Final = "source.service"
SOURCE_SERVICES: Final = "source.services"
SOURCE_METADATA: Final = "source.metadata"
SOURCE_WORKLOAD_UID: Final = "source.workload.uid"
SOURCE_WORKLOAD_NAME: Final = "source.workload.name"
SOURCE_WORKLOAD_NAMESPACE: Final = "source.workload.namespace"

# The called side.
DESTINATION_UID: Final = "destination.uid"
DESTINATION_IP: Final = "destination.ip"
DESTINATION_PORT: Final = "destination.port"
DESTINATION_NAME: Final = "destination.name"
DESTINATION_NAMESPACE: Final = "destination.namespace"
DESTINATION_LABELS: Final = "destination.labels"
DESTINATION_PRINCIPAL: Final = "destination.principal"
DESTINATION_USER: Final = "destination.user"
DESTINATION_OWNER: Final = "destination.owner"
DESTINATION_SERVICE_ACCOUNT: Final = "destination.serviceAccount"
DESTINATION_METADATA: Final = "destination.metadata"
DESTINATION_WORKLOAD_UID: Final = "destination.workload.uid"
DESTINATION_WORKLOAD_NAME: Final = "destination.workload.name"
DESTINATION_WORKLOAD_NAMESPACE: Final = "destination.workload.namespace"
DESTINATION_CONTAINER_NAME: Final = "destination.container.name"
DESTINATION_CONTAINER_IMAGE: Final = "destination.container.image"
DESTINATION_SERVICE: Final = "destination.service"
DESTINATION_SERVICE_HOST: Final = "destination.service.host"
DESTINATION_SERVICE_NAME: Final = "destination.service.name"
DESTINATION_SERVICE_NAMESPACE: Final = "destination.service.namespace"
DESTINATION_SERVICE_UID: Final = "destination.service.uid"

# Where the connection came from.
ORIGIN_IP: Final = "origin.ip"
ORIGIN_UID: Final = "origin.uid"
ORIGIN_USER: Final = "origin.user"

# The request.
REQUEST_HEADERS: Final = "request.headers"
REQUEST_ID: Final = "request.id"
REQUEST_PATH: Final = "request.path"
REQUEST_URL_PATH: Final = "request.url_path"
REQUEST_QUERY_PARAMS: Final = "request.query_params"
REQUEST_HOST: Final = "request.host"
REQUEST_METHOD: Final = "request.method"
REQUEST_REASON: Final = "request.reason"
REQUEST_REFERER: Final = "request.referer"
REQUEST_SCHEME: Final = "request.scheme"
REQUEST_SIZE: Final = "request.size"
REQUEST_TOTAL_SIZE: Final = "request.total_size"
REQUEST_TIME: Final = "request.time"
REQUEST_USERAGENT: Final = "request.useragent"
REQUEST_API_KEY: Final = "request.api_key"
REQUEST_AUTH_PRINCIPAL: Final = "request.auth.principal"
REQUEST_AUTH_AUDIENCES: Final = "request.auth.audiences"
REQUEST_AUTH_PRESENTER: Final = "request.auth.presenter"
REQUEST_AUTH_RAW_CLAIMS: Final = "request.auth.raw_claims"
REQUEST_AUTH_CLAIMS: Final = "request.auth.claims"

# The response.
RESPONSE_HEADERS: Final = "response.headers"
RESPONSE_CODE: Final = "response.code"
RESPONSE_SIZE: Final = "response.size"
RESPONSE_TOTAL_SIZE: Final = "response.total_size"
RESPONSE_TIME: Final = "response.time"
RESPONSE_DURATION: Final = "response.duration"
RESPONSE_GRPC_STATUS: Final = "response.grpc_status"
RESPONSE_GRPC_MESSAGE: Final = "response.grpc_message"

# Connections that carry no HTTP.
CONNECTION_ID: Final = "connection.id"
CONNECTION_EVENT: Final = "connection.event"
CONNECTION_RECEIVED_BYTES: Final = "connection.received.bytes"
CONNECTION_SENT_BYTES: Final = "connection.sent.bytes"
CONNECTION_RECEIVED_BYTES_TOTAL: Final = "connection.received.bytes_total"
CONNECTION_SENT_BYTES_TOTAL: Final = "connection.sent.bytes_total"
CONNECTION_DURATION: Final = "connection.duration"
CONNECTION_MTLS: Final = "connection.mtls"
CONNECTION_REQUESTED_SERVER_NAME: Final = "connection.requested_server_name"

# Where and how it was observed.
CONTEXT_PROTOCOL: Final = "context.protocol"
CONTEXT_TIME: Final = "context.time"
CONTEXT_TIMESTAMP: Final = "context.timestamp"
CONTEXT_REPORTER_KIND: Final = "context.reporter.kind"
CONTEXT_REPORTER_UID: Final = "context.reporter.uid"
CONTEXT_REPORTER_LOCAL: Final = "context.reporter.local"
CONTEXT_REPORTER_TYPE: Final = "context.reporter.type"
CONTEXT_PROXY_ERROR_CODE: Final = "context.proxy_error_code"
CONTEXT_PROXY_VERSION: Final = "context.proxy_version"

# The API that is called.
API_SERVICE: Final = "api.service"
API_VERSION: Final = "api.version"
API_OPERATION: Final = "api.operation"
API_PROTOCOL: Final = "api.protocol"

# What came of checks.
CHECK_ERROR_CODE: Final = "check.error_code"
CHECK_ERROR_MESSAGE: Final = "check.error_message"
CHECK_CACHE_HIT: Final = "check.cache_hit"
QUOTA_CACHE_HIT: Final = "quota.cache_hit"
RBAC_PERMISSIVE_RESPONSE_CODE: Final = "rbac.permissive.response_code"
RBAC_PERMISSIVE_EFFECTIVE_POLICY_ID: Final = "rbac.permissive.effective_policy_id"

_WHEN = {
    "C": When.CHECK,
    "R": When.REPORT,
    "S": When.STATIC,
    "F": When.FORWARDED,
    "K": When.GENERATED,
}

_ROWS: Final = (
    # The calling side.
    (
        SOURCE_UID,
        "STRING",
        "S F K",
        "platform's id of the calling instance, `kubernetes://pod.namespace`",
    ),
    (SOURCE_IP, "IP_ADDRESS", "C K", "address of the calling instance"),
    (SOURCE_PORT, "INT64", "", "port of the caller; of old"),
    (SOURCE_NAME, "STRING", "K", "name of the calling pod"),
    (SOURCE_NAMESPACE, "STRING", "S F K", "namespace of the caller"),
    (SOURCE_LABELS, "STRING_MAP", "K", "labels of the caller"),
    (SOURCE_PRINCIPAL, "STRING", "C", "identity in the caller's certificate, without `spiffe://`"),
    (SOURCE_USER, "STRING", "C", "old name of `source.principal`"),
    (SOURCE_OWNER, "STRING", "K", "what owns the calling pod, `kubernetes://apis/…`"),
    (SOURCE_SERVICE_ACCOUNT, "STRING", "K", "service account of the caller"),
    (SOURCE_SERVICE, "STRING", "", "service of the caller; of old"),
    (SOURCE_SERVICES, "STRING", "", "services of the caller; of old"),
    (SOURCE_METADATA, "STRING_MAP", "", "free metadata of the caller"),
    (
        SOURCE_WORKLOAD_UID,
        "STRING",
        "K",
        "workload of the caller, `istio://namespace/workloads/name`",
    ),
    (SOURCE_WORKLOAD_NAME, "STRING", "K", "name of the caller's workload"),
    (SOURCE_WORKLOAD_NAMESPACE, "STRING", "K", "namespace of the caller's workload"),
    # The called side.
    (DESTINATION_UID, "STRING", "S R K", "platform's id of the serving instance"),
    (DESTINATION_IP, "IP_ADDRESS", "S R K", "address of the serving instance"),
    (DESTINATION_PORT, "INT64", "S R", "port of the serving instance"),
    (DESTINATION_NAME, "STRING", "K", "name of the serving pod"),
    (DESTINATION_NAMESPACE, "STRING", "K", "namespace of the serving instance"),
    (DESTINATION_LABELS, "STRING_MAP", "K", "labels of the serving instance"),
    (
        DESTINATION_PRINCIPAL,
        "STRING",
        "C",
        "identity in the server's certificate, without `spiffe://`",
    ),
    (DESTINATION_USER, "STRING", "", "old name of `destination.principal`"),
    (DESTINATION_OWNER, "STRING", "K", "what owns the serving pod, `kubernetes://apis/…`"),
    (DESTINATION_SERVICE_ACCOUNT, "STRING", "K", "service account of the serving instance"),
    (DESTINATION_METADATA, "STRING_MAP", "", "free metadata of the serving instance"),
    (
        DESTINATION_WORKLOAD_UID,
        "STRING",
        "K",
        "workload of the server, `istio://namespace/workloads/name`",
    ),
    (DESTINATION_WORKLOAD_NAME, "STRING", "K", "name of the server's workload"),
    (DESTINATION_WORKLOAD_NAMESPACE, "STRING", "K", "namespace of the server's workload"),
    (DESTINATION_CONTAINER_NAME, "STRING", "K", "container that owns `destination.port`"),
    (DESTINATION_CONTAINER_IMAGE, "STRING", "", "image of that container"),
    (DESTINATION_SERVICE, "STRING", "S", "host name of the service; of before 1.0"),
    (DESTINATION_SERVICE_HOST, "STRING", "S F", "host name of the service"),
    (DESTINATION_SERVICE_NAME, "STRING", "S F", "short name of the service"),
    (DESTINATION_SERVICE_NAMESPACE, "STRING", "S F", "namespace of the service"),
    (
        DESTINATION_SERVICE_UID,
        "STRING",
        "S F",
        "id of the service, `istio://namespace/services/name`",
    ),
    # Where the connection came from.
    (ORIGIN_IP, "IP_ADDRESS", "C", "remote address of the connection"),
    (ORIGIN_UID, "STRING", "", "id of the origin; of old"),
    (ORIGIN_USER, "STRING", "", "user of the origin; of old"),
    # The request.
    (
        REQUEST_HEADERS,
        "STRING_MAP",
        "C",
        "headers, with names in lower case and those of HTTP/2 such as `:path`",
    ),
    (REQUEST_ID, "STRING", "", "id of the request"),
    (REQUEST_PATH, "STRING", "C", "path with its query"),
    (REQUEST_URL_PATH, "STRING", "C", "path without its query"),
    (REQUEST_QUERY_PARAMS, "STRING_MAP", "C", "parameters of the query, if there are any"),
    (REQUEST_HOST, "STRING", "C", "authority that was asked for"),
    (REQUEST_METHOD, "STRING", "C", "method of HTTP"),
    (REQUEST_REASON, "STRING", "", "why the request is made, for audits"),
    (REQUEST_REFERER, "STRING", "C", "page that refers to it"),
    (REQUEST_SCHEME, "STRING", "C", "`http` or `https`"),
    (REQUEST_SIZE, "INT64", "R", "bytes of the body"),
    (REQUEST_TOTAL_SIZE, "INT64", "R", "bytes of headers, body and trailers"),
    (REQUEST_TIME, "TIMESTAMP", "C", "when it arrived"),
    (REQUEST_USERAGENT, "STRING", "C", "program that asks"),
    (REQUEST_API_KEY, "STRING", "C", "API key in it"),
    (REQUEST_AUTH_PRINCIPAL, "STRING", "C", "issuer and subject of its token, `iss/sub`"),
    (REQUEST_AUTH_AUDIENCES, "STRING", "C", "audience of its token"),
    (REQUEST_AUTH_PRESENTER, "STRING", "C", "authorised presenter of its token"),
    (REQUEST_AUTH_RAW_CLAIMS, "STRING", "C", "all claims of its token, as JSON"),
    (REQUEST_AUTH_CLAIMS, "STRING_MAP", "C", "claims of its token that are text"),
    # The response.
    (RESPONSE_HEADERS, "STRING_MAP", "R", "headers and trailers"),
    (RESPONSE_CODE, "INT64", "R", "status of HTTP"),
    (RESPONSE_SIZE, "INT64", "R", "bytes of the body"),
    (RESPONSE_TOTAL_SIZE, "INT64", "R", "bytes of headers, body and trailers"),
    (RESPONSE_TIME, "TIMESTAMP", "R", "when it was complete"),
    (RESPONSE_DURATION, "DURATION", "R", "from request to complete response"),
    (RESPONSE_GRPC_STATUS, "STRING", "R", "status of gRPC"),
    (RESPONSE_GRPC_MESSAGE, "STRING", "R", "message of gRPC"),
    # Connections that carry no HTTP.
    (CONNECTION_ID, "STRING", "C", "id of the connection"),
    (CONNECTION_EVENT, "STRING", "R", "`open`, `continue` or `close`"),
    (CONNECTION_RECEIVED_BYTES, "INT64", "R", "bytes received since the last report"),
    (CONNECTION_SENT_BYTES, "INT64", "R", "bytes sent since the last report"),
    (CONNECTION_RECEIVED_BYTES_TOTAL, "INT64", "R", "bytes received in all"),
    (CONNECTION_SENT_BYTES_TOTAL, "INT64", "R", "bytes sent in all"),
    (CONNECTION_DURATION, "DURATION", "R", "how long it lasted, at its end"),
    (CONNECTION_MTLS, "BOOL", "C", "whether the peer showed a certificate"),
    (CONNECTION_REQUESTED_SERVER_NAME, "STRING", "C", "server name of TLS"),
    # Where and how it was observed.
    (CONTEXT_PROTOCOL, "STRING", "C", "`http`, `grpc` or `tcp`"),
    (CONTEXT_TIME, "TIMESTAMP", "C R", "when a connection's event happened"),
    (CONTEXT_TIMESTAMP, "TIMESTAMP", "", "of old"),
    (CONTEXT_REPORTER_KIND, "STRING", "S", "`inbound` or `outbound`"),
    (CONTEXT_REPORTER_UID, "STRING", "S", "id of the proxy that reports"),
    (CONTEXT_REPORTER_LOCAL, "BOOL", "", "older form of `context.reporter.kind`"),
    (CONTEXT_REPORTER_TYPE, "STRING", "", "older form of `context.reporter.kind`"),
    (CONTEXT_PROXY_ERROR_CODE, "STRING", "R", "response flags of the proxy, `-` if there are none"),
    (CONTEXT_PROXY_VERSION, "STRING", "S", "version of the proxy"),
    # The API that is called.
    (API_SERVICE, "STRING", "C", "name of the API"),
    (API_VERSION, "STRING", "C", "version of the API"),
    (API_OPERATION, "STRING", "C", "operation of the API"),
    (API_PROTOCOL, "STRING", "C", "protocol of the API"),
    # What came of checks.
    (CHECK_ERROR_CODE, "INT64", "R", "code of a check that failed"),
    (CHECK_ERROR_MESSAGE, "STRING", "R", "`CODE_NAME:text` of a check that failed"),
    (CHECK_CACHE_HIT, "BOOL", "R", "whether the check needed no call"),
    (QUOTA_CACHE_HIT, "BOOL", "R", "whether the quota needed no call"),
    (RBAC_PERMISSIVE_RESPONSE_CODE, "STRING", "R", "what Envoy's shadow rules would have said"),
    (
        RBAC_PERMISSIVE_EFFECTIVE_POLICY_ID,
        "STRING",
        "R",
        "which of Envoy's shadow rules would have said it",
    ),
)

STANDARD: Final = Manifest.of(
    Attribute(
        name=name,
        type=ValueType[kind],
        when=frozenset(_WHEN[letter] for letter in letters.split()),
        meaning=meaning,
    )
    for name, kind, letters, meaning in _ROWS
)
"""Every attribute of this module."""
