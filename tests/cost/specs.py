"""Networks written by hand, without torch: a few words for each layer."""

from dataclasses import replace

from edgewise.ir import Dim, LayerSpec, NetSpec, Term, Tie

HW = (8, 8)


class Builder:
    """Gathers layers; every convolution brings a tie of its own unless told otherwise."""

    def __init__(self, channels: int = 3) -> None:
        self.layers = [
            LayerSpec(
                name="x",
                op="input",
                in_channels=channels,
                out_channels=channels,
                in_dim=fixed(channels),
                out_dim=fixed(channels),
                out_hw=HW,
            )
        ]
        self.ties: list[Tie] = []

    @property
    def last(self) -> str:
        return self.layers[-1].name

    def find(self, name: str) -> LayerSpec:
        return next(layer for layer in self.layers if layer.name == name)

    def conv(self, name: str, width: int, *, reads: str = "", tie: str = "", groups: int = 1, depthwise: bool = False) -> str:
        source = self.find(reads or self.last)
        if not tie:
            self.ties.append(Tie(name=name, width=width, writers=(name,), free=True, growable=True))
        dim = Dim(terms=(Term(tie=tie or name),))
        self.layers.append(
            LayerSpec(
                name=name,
                op="conv2d",
                inputs=(source.name,),
                in_dim=source.out_dim,
                out_dim=source.out_dim if depthwise else dim,
                bias=False,
                in_channels=source.out_channels,
                out_channels=width,
                in_hw=source.out_hw,
                out_hw=source.out_hw,
                kernel=(3, 3),
                stride=(1, 1),
                padding=(1, 1),
                dilation=(1, 1),
                groups=groups,
                depthwise=depthwise,
            )
        )
        return name

    def point(self, name: str, op: str, *reads: str) -> str:
        """An operation that keeps the shape of its first input."""
        names = reads or (self.last,)
        first = self.find(names[0])
        per_channel = 2 if op == "batch_norm" else 0
        self.layers.append(
            LayerSpec(
                name=name,
                op=op,
                inputs=names,
                in_dim=first.out_dim,
                out_dim=first.out_dim,
                parameters_per_channel=per_channel,
                in_channels=first.out_channels,
                out_channels=first.out_channels,
                in_hw=first.out_hw,
                out_hw=first.out_hw,
            )
        )
        return name

    def cat(self, name: str, *reads: str) -> str:
        """Results of layers with one tie each, one behind the other."""
        sources = [self.find(one) for one in reads]
        dim = Dim(terms=tuple(Term(tie=tie) for tie in sorted(source.out_dim.ties[0] for source in sources)))
        total = sum(source.out_channels for source in sources)
        self.layers.append(
            LayerSpec(
                name=name,
                op="cat",
                inputs=reads,
                in_dim=dim,
                out_dim=dim,
                in_channels=total,
                out_channels=total,
                in_hw=sources[0].out_hw,
                out_hw=sources[0].out_hw,
            )
        )
        return name

    def stage(self, name: str, width: int, *inner: str) -> str:
        """A convolution whose output is the channels of other ties and ``width`` of its own, as behind a zero-padded shortcut."""
        self.conv(name, width)
        known = {tie.name: tie.width for tie in self.ties}
        dim = Dim(terms=tuple(Term(tie=tie) for tie in sorted((*inner, name))))
        self.layers[-1] = replace(self.layers[-1], out_dim=dim, out_channels=dim.width(known))
        return name

    def pool(self, name: str) -> str:
        """Global average pooling."""
        source = self.layers[-1]
        self.layers.append(
            LayerSpec(
                name=name,
                op="adaptive_avg_pool2d",
                inputs=(source.name,),
                in_dim=source.out_dim,
                out_dim=source.out_dim,
                in_channels=source.out_channels,
                out_channels=source.out_channels,
                in_hw=source.out_hw,
                out_hw=(1, 1),
            )
        )
        return name

    def linear(self, name: str, classes: int) -> str:
        """A linear layer behind a flatten of one position."""
        source = self.layers[-1]
        self.layers.append(
            LayerSpec(
                name=f"{name}.flatten",
                op="flatten",
                inputs=(source.name,),
                in_dim=source.out_dim,
                out_dim=source.out_dim,
                in_channels=source.out_channels,
                out_channels=source.out_channels,
                in_hw=source.out_hw,
            )
        )
        self.layers.append(
            LayerSpec(
                name=name,
                op="linear",
                inputs=(f"{name}.flatten",),
                in_dim=source.out_dim,
                out_dim=fixed(classes),
                in_channels=source.out_channels,
                out_channels=classes,
                bias=True,
            )
        )
        return name

    def net(self, *outputs: str) -> NetSpec:
        return NetSpec(
            name="by-hand", input_shapes=((1, 3, *HW),), layers=tuple(self.layers), ties=tuple(self.ties), outputs=outputs or (self.last,)
        )


def fixed(channels: int) -> Dim:
    return Dim(fixed=channels)


def chain(*widths: int) -> NetSpec:
    """Convolution, norm, ReLU for each width; pooling and a linear layer of 10 classes."""
    builder = Builder()
    for place, width in enumerate(widths):
        builder.conv(f"conv{place}", width)
        builder.point(f"bn{place}", "batch_norm")
        builder.point(f"relu{place}", "relu")
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()
