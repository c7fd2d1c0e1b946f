"""What the CLI does and ours refuses by name; in the golden files is what the CLI does."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
from pulumi import Output, ResourceOptions

from tests.reality.bench import Bench
from tests.reality.file_cloud import Fault
from tests.reality.scenarios.things import FreeThing, Group, Thing


def aliases(bench: Bench) -> None:
    """Renamed, and moved below a component."""

    def old() -> None:
        Thing("a", {"name": "a"})
        Thing("b", {"name": "b"})

    def new() -> None:
        group = Group("g")
        Thing("a2", {"name": "a"}, ResourceOptions(aliases=[pulumi.Alias(name="a")]))
        root = pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)
        Thing("b", {"name": "b"}, ResourceOptions(parent=group, aliases=[root]))

    bench.up(old)
    bench.preview(new)
    bench.up(new)


def archives(bench: Bench) -> None:
    """An archive as an input."""

    def program() -> None:
        Thing("s", {"name": "s", "body": pulumi.AssetArchive({"a.txt": pulumi.StringAsset("x")})})

    bench.preview(program)
    bench.up(program)


def assets(bench: Bench) -> None:
    """Strings and files; changed content."""
    file = bench.work / "file.txt"

    def of(text: str, content: str) -> Callable[[], object]:
        def program() -> None:
            file.write_text(content)
            Thing("s", {"name": "s", "body": pulumi.StringAsset(text)})
            Thing("f", {"name": "f", "body": pulumi.FileAsset(str(file))})

        return program

    bench.up(of("one", "uno"))
    bench.up(of("one", "uno"))
    bench.preview(of("two", "uno"))
    bench.up(of("two", "due"))


def imports(bench: Bench) -> None:
    """The option import_: inputs as they are, then inputs that differ."""

    def importing(name: str, there: str, size: int) -> Callable[[], object]:
        options = ResourceOptions(import_=there)
        return lambda: Thing(name, {"name": there, "size": size}, options)

    bench.cloud.seed("ext", name="ext", size=1)
    bench.preview(importing("a", "ext", 1))
    bench.up(importing("a", "ext", 1))
    bench.up(lambda: Thing("a", {"name": "ext", "size": 1}))
    bench.cloud.seed("ext2", name="ext2", size=1)
    bench.up(importing("b", "ext2", 2))


def read(bench: Bench) -> None:
    """Thing.get of an id that is there."""

    def program() -> None:
        there = Thing("x", {}, ResourceOptions(id="ext"))
        Thing("a", {"name": "a", "link": there.arn})

    bench.cloud.seed("ext", name="ext", size=1)
    bench.preview(program)
    bench.up(program)
    bench.up(program)
    bench.destroy()


def transforms(bench: Bench) -> None:
    """A transform, which the engine calls back."""

    def resized(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        return pulumi.ResourceTransformResult({**args.props, "size": 5}, args.opts)

    def program() -> None:
        Thing("a", {"name": "a"}, ResourceOptions(transforms=[resized]))

    bench.preview(program)
    bench.up(program)


def stack_reference(bench: Bench) -> None:
    """To a stack that is not there, then to one with a secret output."""

    def other() -> None:
        Thing("o", {"name": "o"})
        pulumi.export("plain", "p")
        pulumi.export("hidden", Output.secret("hush-hush-1"))

    def program() -> None:
        found = pulumi.StackReference("organization/shop/other")
        Thing("a", {"name": "a", "x": found.get_output("plain"), "y": found.get_output("hidden")})

    bench.up(program)
    bench.stack_name = "other"
    bench.up(other)
    bench.stack_name = "dev"
    bench.up(program)


def deleted_with(bench: Bench) -> None:
    """Not deleted on its own when what it lives in goes."""

    def program() -> None:
        a = Thing("a", {"name": "a"})
        Thing("b", {"name": "b"}, ResourceOptions(deleted_with=a))

    bench.preview(program)
    bench.up(program)
    bench.destroy()


def timeouts(bench: Bench) -> None:
    """custom_timeouts."""

    def program() -> None:
        Thing("a", {"name": "a"}, ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="5m")))

    bench.preview(program)
    bench.up(program)


def replace_on_changes(bench: Bench) -> None:
    """An input that could change in place is replaced."""

    def of(size: int) -> Callable[[], object]:
        options = ResourceOptions(replace_on_changes=["size"])
        return lambda: Thing("a", {"size": size}, options)

    bench.up(of(1))
    bench.preview(of(2))
    bench.up(of(2))


def target(bench: Bench) -> None:
    """--target on one of two changed resources."""

    def of(size: int) -> Callable[[], object]:
        def program() -> None:
            Thing("a", {"name": "a", "size": size})
            Thing("b", {"name": "b", "size": size})

        return program

    bench.up(of(1))
    bench.up(of(2), target=["urn:pulumi:dev::shop::lab:index:Thing::a"])


def continue_on_error(bench: Bench) -> None:
    """Seventeen creates in parallel, one refused."""

    def program() -> None:
        for number in range(16):
            FreeThing(f"t{number:02}", {"name": f"t{number:02}"})
        x = FreeThing("x", {"name": "x"})
        FreeThing("y", {"name": "y", "link": x.arn})

    bench.cloud.plant(create_x=Fault("refuse"))
    bench.up(program, parallel=16, continue_on_error=True)
    bench.cloud.plant()
    bench.up(program, parallel=16)


def replace_with(bench: Bench) -> None:
    """Replaced because another one is."""

    def of(kind: str) -> Callable[[], object]:
        def program() -> None:
            a = Thing("a", {"kind": kind})
            Thing("b", {"size": 1}, ResourceOptions(replace_with=[a]))

        return program

    bench.up(of("x"))
    bench.up(of("y"))


def hooks(bench: Bench) -> None:
    """A hook before the create."""

    def heard(args: pulumi.ResourceHookArgs) -> None:
        """Nothing to do."""

    def program() -> None:
        hook = pulumi.ResourceHook("before", heard)
        Thing("a", {"name": "a"}, ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[hook])))

    bench.up(program)
