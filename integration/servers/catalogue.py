"""Every real server that the tests use and that a machine does not come with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers import programs, recipes
from servers.eureka import RECIPE as EUREKA
from servers.mesos_recipe import MESOS
from servers.nats import NATS
from servers.prometheus import PROMETHEUS
from servers.redis import REDIS
from servers.statsd import STATSD
from servers.zipkin import ZIPKIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.recipes import Recipe

RECIPES: tuple[Recipe, ...] = (EUREKA, MESOS, NATS, PROMETHEUS, REDIS, STATSD, ZIPKIN)
"""Those that are not built from Go."""


def install(say: Callable[[str], None] = print) -> bool:
    """Install what is missing, in turn; whether everything is there."""
    fetched = recipes.make_all(RECIPES, say=say)
    return programs.install(say=say) and fetched
