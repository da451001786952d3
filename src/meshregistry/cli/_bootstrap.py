"""``meshregistry bootstrap``: the document that an Envoy starts with."""

from __future__ import annotations

from typing import Literal

import click

from meshregistry.agent import bootstrap as render
from meshregistry.agent import node_id
from meshregistry.cli._options import config_option, load
from meshregistry.cli._output import dumped, note
from meshregistry.errors import ConfigError
from meshregistry.model import ProxyRole

_DOMAIN = "mesh.local"
_EVERYWHERE = {"0.0.0.0", "::"}


@click.command()
@click.argument("role", type=click.Choice(["router", "sidecar"]))
@config_option
@click.option("--address", default="127.0.0.1", show_default=True, help="The proxy's own IP.")
@click.option("--name", default="proxy", show_default=True, help="Name of the workload.")
@click.option("--namespace", default="default", show_default=True, help="Its namespace.")
@click.option("--node-id", "node", metavar="ID", help="The whole node id, instead of its parts.")
@click.option("--cluster", metavar="NAME", help="The node's cluster; default: the workload's name.")
@click.option(
    "--xds", metavar="ADDRESS", help="The server's xDS address; default: of the settings."
)
@click.option(
    "--admin",
    default="127.0.0.1:15000",
    show_default=True,
    help="Envoy's own admin address, or 'none'.",
)
@click.option(
    "--statsd", metavar="ADDRESS", help="Where Envoy sends its figures over UDP, as IP:PORT."
)
@click.option(
    "--protocol",
    type=click.Choice(["delta", "sotw"]),
    default="delta",
    show_default=True,
    help="Incremental xDS, or state of the world.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="How to print it.",
)
def bootstrap(
    role: str,
    config: str | None,
    address: str,
    name: str,
    namespace: str,
    node: str | None,
    cluster: str | None,
    xds: str | None,
    admin: str,
    statsd: str | None,
    protocol: Literal["delta", "sotw"],
    output: str,
) -> None:
    """Print the bootstrap of an Envoy of ROLE that follows the server.

    Example: meshregistry bootstrap sidecar --address 10.0.0.1 --namespace shop > envoy.yaml
    """
    server, domain = (xds, _DOMAIN) if xds is not None else _server(config)
    try:
        identity = node or node_id(
            ProxyRole(role),
            address=address,
            name=f"{name}.{namespace}",
            domain=f"{namespace}.svc.{domain}",
        )
        document = render(
            node=identity,
            cluster=cluster or name,
            xds=server,
            admin=None if admin == "none" else admin,
            protocol=protocol,
            statsd=statsd,
        )
    except ValueError as error:
        raise ConfigError(str(error), file="<arguments>") from error
    click.echo(dumped(document, output), nl=False)


def _server(config: str | None) -> tuple[str, str]:
    """Where the settings' server is for a proxy on this machine, and the domain of its mesh.

    Raises:
        ConfigError: if the settings do not tell.
    """
    settings = load(config)
    address = settings.server.xds
    if address is None or (not address.is_unix and address.port == 0):
        raise ConfigError(
            "the settings do not fix the xDS address of the server",
            field="server.xds",
            remedy="name it with --xds; the server's ready line tells it",
        )
    if address.host in _EVERYWHERE:
        raise ConfigError(
            f"the server listens on every address ({address}), and none of them is named",
            field="server.xds",
            remedy="name the one that the proxy can reach with --xds",
        )
    if settings.server.tls is not None:
        note("warning: the server speaks TLS; add a transport_socket to the cluster xds-grpc")
    return address, settings.mesh.domain
