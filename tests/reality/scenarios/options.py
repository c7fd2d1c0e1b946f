"""Resource options, secrets and providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi import Output, ResourceOptions
from pulumi.automation import ConfigValue

from tests.reality.bench import Bench
from tests.reality.scenarios.things import Group, LabProvider, Thing


def secrets(bench: Bench) -> None:
    """In inputs, nested, from config, additional_secret_outputs, stack outputs; one is rotated."""

    def hiding(word: str) -> Callable[[], object]:
        def program() -> None:
            config = pulumi.Config()
            secret = Output.secret(word)
            a = Thing(
                "a",
                {"name": "a", "password": secret, "nested": {"deep": [1, {"pw": secret}]}, "open": "plain"},
                ResourceOptions(additional_secret_outputs=["size2"]),
            )
            both = Output.all(secret, "x").apply(lambda parts: parts[0] + parts[1])
            Thing("b", {"name": "b", "copy": a.arn, "conf": config.require_secret("token"), "all": both})
            pulumi.export("password", secret)
            pulumi.export("size2", a.size2)
            pulumi.export("arn", a.arn)
            pulumi.export("obj", {"p": secret, "q": 1})

        return program

    bench.preview(hiding("hush-hush-1"), config={"token": ConfigValue("hush-config", secret=True)})
    bench.up(hiding("hush-hush-1"))
    bench.up(hiding("hush-hush-1"))
    bench.preview(hiding("hush-hush-2"))
    bench.up(hiding("hush-hush-2"))
    bench.refresh()


def protect(bench: Bench) -> None:
    """Deleting, replacing, destroying what is protected; unprotecting it."""

    def of(
        kind: str = "x", protected: bool = True, there: bool = True, in_order: bool = False
    ) -> Callable[[], object]:
        def program() -> None:
            b = Thing("b", {"name": "b", "size": 1})
            if there:
                options = ResourceOptions(protect=protected, depends_on=[b] if in_order else [])
                Thing("a", {"name": "a", "kind": kind}, options)

        return program

    bench.up(of())
    bench.preview(of(there=False))
    bench.up(of(there=False))
    bench.up(of(kind="y", in_order=True))  # or else b is reached before the refusal, or not
    bench.destroy()
    bench.up(of(kind="y", protected=False))
    bench.destroy()


def ignore_changes(bench: Bench) -> None:
    """Top-level, nested, wildcard, list index, and what is absent in old or new."""

    def of(n: int) -> Callable[[], object]:
        def ignoring(name: str, inputs: dict[str, Any], *paths: str) -> None:
            Thing(name, {"name": name, **inputs}, ResourceOptions(ignore_changes=list(paths)))

        def program() -> None:
            ignoring("top", {"size": n, "other": 1}, "size")
            ignoring("nested", {"tags": {"a": n, "b": n}}, "tags.a")
            ignoring("wild", {"items": [{"x": n, "y": 1}, {"x": n, "y": 2}]}, "items[*].x")
            ignoring("index", {"items": [n, n]}, "items[0]")
            ignoring("absent", {"late": n} if n > 1 else {"early": n}, "late", "early")
            ignoring("kept", {"kind": n}, "kind")

        return program

    bench.up(of(1))
    bench.preview(of(2))
    bench.up(of(2))
    bench.up(of(2))


def providers(bench: Bench) -> None:
    """Two explicit ones, a default one from config; a tag of one changes, then its region; one goes."""

    def of(region: str = "north", tag: str = "1", second: bool = True) -> Callable[[], object]:
        def program() -> None:
            north = LabProvider("north", {"region": region, "tag": tag})
            Thing("a", {"name": "a"}, ResourceOptions(provider=north))
            Thing("d", {"name": "d"})
            if second:
                south = LabProvider("south", {"region": "south", "flag": True, "list": ["x"]})
                group = Group("g", opts=ResourceOptions(providers=[south]))
                Thing("b", {"name": "b"}, ResourceOptions(parent=group))

        return program

    bench.up(
        of(),
        config={"lab:region": ConfigValue("default"), "lab:secretword": ConfigValue("hush-config", True)},
    )
    bench.up(of())
    bench.preview(of(tag="2"))
    bench.up(of(tag="2"))
    bench.preview(of(region="east", tag="2"))
    bench.up(of(region="east", tag="2"))
    bench.up(of(region="east", tag="2", second=False))
    bench.destroy()


def unknown_provider(bench: Bench) -> None:
    """A provider's configuration depends on a resource, so the first preview does not know it."""

    def program() -> None:
        a = Thing("a", {"name": "a"})
        other = LabProvider("other", {"region": a.arn})
        Thing("b", {"name": "b"}, ResourceOptions(provider=other))

    bench.preview(program)
    bench.up(program)
    bench.preview(program)


def provider_no_longer_known(bench: Bench) -> None:
    """A provider that is there will be configured by what is not yet: what the preview says of its resources."""

    def of(known: bool, size: int) -> Callable[[], object]:
        def program() -> None:
            tag = "1" if known else Thing("a", {"name": "a"}).arn
            other = LabProvider("other", {"region": "here", "tag": tag})
            Thing("b", {"name": "b", "size": size}, ResourceOptions(provider=other))
            Thing("c", {"name": "c"}, ResourceOptions(provider=other))

        return program

    bench.up(of(known=True, size=1))
    bench.preview(of(known=False, size=2))


def transformation(bench: Bench) -> None:
    """An old-style transformation, which the SDK carries out."""

    def resized(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        return pulumi.ResourceTransformationResult({**args.props, "size": 5}, args.opts)

    def program() -> None:
        Thing("a", {"name": "a"}, ResourceOptions(transformations=[resized]))

    bench.preview(program)
    bench.up(program)


# brothers


def secrets_in_lists(bench: Bench) -> None:
    """One element, all, an element of an element; one becomes plain."""

    def hiding(first: Any) -> Callable[[], object]:
        def program() -> None:
            secret = Output.secret("hush-hush-1")
            Thing("a", {"name": "a", "list": [first, "open"], "deep": [[secret], {"x": [secret, 1]}]})
            pulumi.export("list", [secret, "open"])

        return program

    bench.up(hiding(Output.secret("hush-hush-2")))
    bench.up(hiding(Output.secret("hush-hush-2")))
    bench.up(hiding("hush-hush-2"))


def secret_numbers(bench: Bench) -> None:
    """Secrets that are no strings: a number, a boolean, a map, nothing."""

    def program() -> None:
        for name, value in {"n": 7, "b": True, "m": {"k": 1}, "e": ""}.items():
            Thing(name, {"name": name, "hidden": Output.secret(value)})
            pulumi.export(name, Output.secret(value))

    bench.up(program)
    bench.up(program)


def three_providers(bench: Bench) -> None:
    """Three explicit ones, one below a component, a resource of each, one depending across them."""

    def program() -> None:
        group = Group("group")
        link: Any = "none"
        for region in ("north", "south", "west"):
            below = ResourceOptions(parent=group) if region == "west" else None
            place = LabProvider(region, {"region": region, "numbers": [1, 2], "on": True}, below)
            link = Thing(f"in-{region}", {"name": "same", "link": link}, ResourceOptions(provider=place)).arn

    bench.preview(program)
    bench.up(program)
    bench.up(program)
    bench.refresh()
    bench.destroy()


def another_provider(bench: Bench) -> None:
    """A resource goes from one provider to another of the same region: only the state changes."""

    def by(which: str) -> Callable[[], object]:
        def program() -> None:
            made = {name: LabProvider(name, {"region": "home"}) for name in ("one", "two")}
            Thing("a", {"name": "a"}, ResourceOptions(provider=made[which]))

        return program

    bench.up(by("one"))
    bench.preview(by("two"))
    bench.up(by("two"))
    bench.destroy()


def protect_on_and_off(bench: Bench) -> None:
    """Only the option changes: the cloud does not hear of it."""

    def of(**options: Any) -> Callable[[], object]:
        return lambda: Thing("a", {"name": "a"}, ResourceOptions(**options))

    bench.up(of())
    bench.up(of(protect=True))
    bench.up(of(protect=False, retain_on_delete=True))
    bench.up(of(ignore_changes=["size"]))
    bench.up(of(additional_secret_outputs=["arn"]))


def ignore_all(bench: Bench) -> None:
    """ignore_changes of "*", and of a key with a dot and a quote in it."""

    def of(n: int) -> Callable[[], object]:
        def program() -> None:
            Thing("all", {"name": "all", "size": n, "tags": {"x": n}}, ResourceOptions(ignore_changes=["*"]))
            quoted = ResourceOptions(ignore_changes=['tags["a.b"]'])
            Thing("quoted", {"name": "quoted", "tags": {"a.b": n, "c": n}}, quoted)

        return program

    bench.up(of(1))
    bench.up(of(2))


def invokes(bench: Bench) -> None:
    """Data sources: plain, of an output, secret, one that fails."""

    def asking(name: Any) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"name": "a"})
            found = pulumi.runtime.invoke_output("lab:index:get", {"name": name, "of": a.arn})
            b = Thing("b", {"name": "b", "link": found.apply(lambda answer: answer["arn"])})
            pulumi.export("b", b.arn)

        return program

    bench.preview(asking("x"))
    bench.up(asking("x"))
    bench.up(asking(Output.secret("hush-hush-1")))
    bench.up(asking("missing"))
