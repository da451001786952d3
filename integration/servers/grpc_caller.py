"""Calls a gRPC target once for each line of its input and prints the answer or the status."""

from __future__ import annotations

import sys

import grpc


def main() -> None:
    """Run until the input ends."""
    with grpc.insecure_channel(sys.argv[1]) as channel:
        say = channel.unary_unary("/test.Echo/Say")
        for _ in sys.stdin:
            try:
                print(say(b"", timeout=10, wait_for_ready=True).decode(), flush=True)
            except grpc.RpcError as error:
                print(f"{error.code()}: {error.details()}", flush=True)


main()
