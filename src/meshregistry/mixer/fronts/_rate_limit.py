"""The gRPC service ``envoy.service.ratelimit.v3.RateLimitService``: quotas by descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer._status import shortened
from meshregistry.mixer.fronts._extra import grpc, rls_pb2
from meshregistry.mixer.fronts._granting import is_unknown
from meshregistry.mixer.fronts._rate_limit_mapping import response, wanted
from meshregistry.mixer.fronts._statics import of_metadata, statics
from meshregistry.mixer.server import DispatchFailed, Overloaded, of_call

if TYPE_CHECKING:
    from meshregistry.mixer.fronts._counts import Counts
    from meshregistry.mixer.server import Mixer

SERVICE = "envoy.service.ratelimit.v3.RateLimitService"


class RateLimitFront:
    """Answers Envoy's filters ``ratelimit``. Policy is not asked, only quotas are.

    What fails is an error of the call; what Envoy makes of it (``failure_mode_deny``) decides.

    Args:
        mixer: answers.
        counts: filled.
    """

    def __init__(self, mixer: Mixer, counts: Counts) -> None:
        self._mixer = mixer
        self._counts = counts

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on this server."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.limit,
            request_deserializer=rls_pb2.RateLimitRequest.FromString,
            response_serializer=rls_pb2.RateLimitResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"ShouldRateLimit": handler}),)
        )

    async def limit(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """Ask for the quota of each descriptor, in order."""
        said = statics(of_metadata(context.invocation_metadata()))
        wants = wanted(request, said.bag)
        answers = []
        try:
            for one in wants:
                quota = of_call(one.amount, one.quota, one.id, is_best_effort=False)
                outcome = await self._mixer.quota(one.bag, one.quota, quota)
                answers.append(outcome.answer)
        except Overloaded as error:
            self._counts.add("quotas turned away")
            # Not UNAVAILABLE: Envoys take a server that says so for one that is away.
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, shortened(str(error)))
        except MixerUnavailable as error:
            self._counts.add("quotas failed")
            await context.abort(grpc.StatusCode.UNAVAILABLE, shortened(str(error)))
        except DispatchFailed as error:
            self._counts.add("quotas failed")
            await context.abort(grpc.StatusCode.INTERNAL, shortened(str(error)))
        unknown = next((one for one in answers if is_unknown(one)), None)
        if unknown is not None:
            self._counts.add("quotas failed")
            await context.abort(grpc.StatusCode.INTERNAL, shortened(str(unknown.status)))
        found = response(wants, answers)
        is_granted = found.overall_code == rls_pb2.RateLimitResponse.OK
        self._counts.add("quotas granted" if is_granted else "quotas refused")
        return found
