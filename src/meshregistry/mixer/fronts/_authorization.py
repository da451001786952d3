"""The gRPC service ``envoy.service.auth.v3.Authorization``: a check of each request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer._status import shortened
from meshregistry.mixer.fronts._check_request import asked
from meshregistry.mixer.fronts._check_response import QuotaUnknown, response_of, status_of
from meshregistry.mixer.fronts._extra import external_auth_pb2, grpc
from meshregistry.mixer.fronts._statics import of_metadata
from meshregistry.mixer.server import DispatchFailed, Overloaded, of_call

if TYPE_CHECKING:
    from meshregistry.mixer.fronts._counts import Counts
    from meshregistry.mixer.fronts._options import FrontOptions
    from meshregistry.mixer.server import Mixer

SERVICE = "envoy.service.auth.v3.Authorization"


class AuthorizationFront:
    """Answers Envoy's filters ``ext_authz``, that of HTTP and that of connections.

    What fails is an error of the call, never an answer: what Envoy makes of it
    (``failure_mode_allow``) is the one place where failing open or closed is decided.

    Args:
        mixer: answers.
        options: how questions are read.
        counts: filled.
    """

    def __init__(self, mixer: Mixer, options: FrontOptions, counts: Counts) -> None:
        self._mixer = mixer
        self._options = options
        self._counts = counts

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on this server."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=external_auth_pb2.CheckRequest.FromString,
            response_serializer=external_auth_pb2.CheckResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),)
        )

    async def check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """Answer one question."""
        question = asked(
            request.attributes,
            of_metadata(context.invocation_metadata()),
            self._options.trust,
            wall_time=self._options.wall_time(),
            new_id=self._options.new_id,
        )
        for name in question.refused:
            self._counts.lament("stated attributes refused", f"{name} is not of its type")
        services = self._mixer.services
        bag = services.described(question.bag)
        wanted = Counter(question.quotas)
        wanted.update(services.charges(bag))
        if self._options.quotas is not None:
            wanted.update(self._options.quotas(bag))
        quotas = {
            name: of_call(amount, name, question.id, is_best_effort=False)
            for name, amount in wanted.items()
        }
        try:
            checked = await self._mixer.check(bag, quotas)
            status = status_of(checked, wanted)
        except Overloaded as error:
            self._counts.add("checks turned away")
            # Not UNAVAILABLE: Envoys take a server that says so for one that is away.
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, shortened(str(error)))
        except MixerUnavailable as error:
            self._counts.add("checks failed")
            await context.abort(grpc.StatusCode.UNAVAILABLE, shortened(str(error)))
        except (DispatchFailed, QuotaUnknown) as error:
            self._counts.add("checks failed")
            await context.abort(grpc.StatusCode.INTERNAL, shortened(str(error)))
        response, dropped = response_of(
            checked,
            status,
            is_http=question.is_http,
            has_forwarded=question.has_forwarded,
        )
        for name in dropped:
            self._counts.lament("header operations left out", f"Envoy cannot do it to {name!r}")
        self._counts.add("checks allowed" if response.status.code == 0 else "checks denied")
        return response
