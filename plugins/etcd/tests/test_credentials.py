"""The registry against a double of etcd that wants to know who asks."""

from __future__ import annotations

import pytest

from meshregistry.errors import RegistryAuthError
from meshregistry.spi import Secret

A, B = "10.0.0.1:80", "10.0.0.2:80"


class TestCredentials:
    OPTIONS = {"user": "root", "password": Secret("open sesame")}  # noqa: RUF012 - read only

    def test_a_user_is_authenticated_once(self, run_async, make_double, following, document):
        """The token goes along with every call."""

        async def main():
            async with make_double() as double:
                double.password = "open sesame"
                double.put("a.lab/1", document(A))
                async with following(double, **self.OPTIONS) as source:
                    await source.shows(a_lab=[A])
                    await source.until(lambda: double.watches)
                    assert 1 == double.calls["Authenticate"]

        run_async(main())

    def test_a_token_that_has_ended_is_renewed(self, run_async, make_double, following, document):
        """Nothing of the mirror is lost."""

        async def main():
            async with make_double() as double:
                double.password = "open sesame"
                double.put("a.lab/1", document(A))
                async with following(double, **self.OPTIONS) as source:
                    await source.until(lambda: double.watches)
                    double.tokens.clear()
                    double.put("b.lab/1", document(B))
                    double.end_watches()
                    await source.until(lambda: 2 == source.sink.methods.count("replace"))
                    await source.shows(a_lab=[A], b_lab=[B])
                    await source.until(lambda: double.watches)
                    assert 2 == double.calls["Authenticate"]

        run_async(main())

    def test_a_wrong_password_is_refused(self, run_async, make_double, following):
        """With what to do about it, and without the password."""

        async def main():
            async with make_double() as double:
                double.password = "close sesame"
                async with following(double, **self.OPTIONS) as source:
                    with pytest.raises(RegistryAuthError, match="authentication failed") as caught:
                        await source.until(lambda: False)
                    assert "open sesame" not in str(caught.value)

        run_async(main())

    def test_none_where_one_is_needed_is_refused(self, run_async, make_double, following):
        """As RegistryAuthError, which is retried slowly."""

        async def main():
            async with make_double() as double:
                double.password = "open sesame"
                async with following(double) as source:
                    with pytest.raises(RegistryAuthError, match="user name is empty"):
                        await source.until(lambda: False)

        run_async(main())

    def test_some_where_none_is_needed_do_no_harm(self, run_async, make_double, following):
        """As with etcd's own client."""

        async def main():
            async with make_double() as double, following(double, **self.OPTIONS) as source:
                await source.until(lambda: source.sink.calls and double.watches)
                assert 1 == double.calls["Authenticate"]

        run_async(main())

    def test_a_watch_that_is_not_permitted_is_refused(self, run_async, make_double, following):
        """After one more try with a new token."""

        async def main():
            async with make_double() as double:
                double.is_refusing = True
                async with following(double) as source:
                    with pytest.raises(RegistryAuthError, match="permission denied"):
                        await source.until(lambda: False)
                    assert 2 == double.calls["Watch"]

        run_async(main())

    def test_a_password_that_cannot_be_read_is_refused(
        self, run_async, make_double, following, tmp_path
    ):
        """It may be there later."""

        async def main():
            secret = Secret(file=tmp_path / "absent")
            account = {"user": "root", "password": secret}
            async with make_double() as double, following(double, **account) as source:
                with pytest.raises(RegistryAuthError, match="absent"):
                    await source.until(lambda: False)

        run_async(main())
