"""What of Mixer needs an extra, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

import meshregistry.mixer


def output(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return done.stdout


@pytest.mark.parametrize(
    ("missing", "name"),
    [("google", "Compressor"), ("grpc", "MixerClient"), ("google", "MixerClient")],
)
def test_a_missing_extra_is_named_with_the_line_to_type(missing, name):
    """Using a name that needs the extra tells how to install it."""
    said = output(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from meshregistry.errors import MissingExtraError\n"
        "try:\n"
        f"    from meshregistry.mixer import {name}\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra, error)\n"
    )
    assert said.startswith("mixer this needs the package ")
    assert "pip install 'meshregistry[mixer]'" in said


@pytest.mark.parametrize("package", ["config", "expressions", "fronts", "server"])
@pytest.mark.parametrize(("missing", "named"), [("idna", "idna"), ("re2", "google-re2")])
def test_a_server_without_its_extra_says_what_to_type(missing, named, package):
    """Also if all that is missing is what expressions need, as with the extra `server`."""
    said = output(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from meshregistry.errors import MissingExtraError\n"
        "try:\n"
        f"    import meshregistry.mixer.{package}\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra, error)\n"
    )
    assert said.startswith(f"mixer-server this needs the package {named!r}")
    assert "pip install 'meshregistry[mixer-server]'" in said


@pytest.mark.parametrize("missing", ["aiohttp", "grpc", "prometheus_client"])
def test_a_server_names_its_own_extra(missing):
    """Although another extra has that package, too."""
    said = output(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from meshregistry.errors import MissingExtraError\n"
        "try:\n"
        "    import meshregistry.mixer.server\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra, error.missing)\n"
    )
    assert said == f"mixer-server {missing}\n"


@pytest.mark.parametrize(
    ("module", "missing"),
    [("exposition", "prometheus_client"), ("grpc_tls", "grpc"), ("http_log", "aiohttp")],
)
def test_what_several_extras_have_names_each(module, missing):
    """Who runs a Mixer alone need not install what the pilot serves with."""
    said = output(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from meshregistry.errors import MissingExtraError\n"
        "try:\n"
        f"    import meshregistry.{module}\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra, *error.others, error)\n"
    )
    assert said.startswith(f"server mixer-server this needs the package '{missing}")
    line = "type: pip install 'meshregistry[server]' or 'meshregistry[mixer-server]'\n"
    assert said.endswith(line)


def test_attributes_and_manifests_need_no_extra():
    """Neither gRPC nor protobuf is loaded for them."""
    said = output(
        "import sys; sys.modules['grpc'] = sys.modules['google'] = None\n"
        "from meshregistry.mixer import vocabulary\n"
        "print(vocabulary.STANDARD.bag({'request.path': '/'})['request.path'])\n"
    )
    assert "/\n" == said


def test_what_documents_say_of_services_needs_no_extra(tmp_path):
    """So a client reads it with gRPC and protobuf alone, and without these, too."""
    (tmp_path / "empty.yaml").write_text("")
    said = output(
        "import sys\n"
        "for name in ('grpc', 'google', 'idna', 're2', 'aiohttp', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        "from meshregistry.mixer import read_services\n"
        f"print(read_services({str(tmp_path)!r}).apis)\n"
    )
    assert said == "{}\n"


def test_every_lazy_name_can_be_used():
    """The façade lists what it has, and has what it lists."""
    assert sorted(meshregistry.mixer.__all__) == dir(meshregistry.mixer)
    assert [] == [name for name in dir(meshregistry.mixer) if not hasattr(meshregistry.mixer, name)]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = meshregistry.mixer.nothing
