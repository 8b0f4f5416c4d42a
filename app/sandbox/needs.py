"""What a process needs beyond computing on a CPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a process needs beyond computing on a CPU.

    Attributes:
        gpu: It computes on a GPU. NVIDIA's driver needs its devices, more system calls, and to
            name its threads by writing to /proc; it starts a program when it initialises.
        compiler: torch.compile starts a compiler.
        converter: An export target's files are converted by a program.
        sockets: It talks over sockets that it inherited. It can make none.
    """

    gpu: bool = False
    compiler: bool = False
    converter: bool = False
    sockets: bool = False

    @property
    def programs(self) -> bool:
        """Whether it may start other programs."""
        return self.gpu or self.compiler or self.converter
