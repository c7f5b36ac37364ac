import sys

import pytest

from edgewise.measure.host import cpu_flags, cpu_identity, cpu_model, describe_host, installed_versions, instruction_set, usable_cores
from edgewise.measure.settings import RuntimeSettings

_INTEL = "processor\t: 0\nmodel name\t: Intel(R)  Xeon(R) CPU @ 2.00GHz\nflags\t\t: sse4_2 avx avx2\n\nprocessor\t: 1\nmodel name\t: X\n"
_ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


def test_cpu_of_an_intel_machine_is_that_of_its_first_processor() -> None:
    assert cpu_model(_INTEL) == "Intel(R) Xeon(R) CPU @ 2.00GHz"
    assert instruction_set(cpu_flags(_INTEL)) == "avx2"


def test_cpu_of_an_arm_machine() -> None:
    assert cpu_model(_ARM) == "ARM implementer 0x41 part 0xd40"
    assert instruction_set(cpu_flags(_ARM)) == "sve+bf16"


def test_nothing_is_made_up_without_cpuinfo() -> None:
    assert cpu_model("") == ""
    assert instruction_set(cpu_flags("")) == ""


def test_versions_of_missing_packages_are_left_out() -> None:
    assert [name for name, _ in installed_versions(("torch", "no-such-package"))] == ["torch"]


def test_this_host_has_a_name_and_cores() -> None:
    host = describe_host()
    assert host.cpu
    assert host.isa
    assert host.cores == usable_cores() >= 1
    assert "torch" in dict(host.versions)


def test_identity_differs_by_what_changes_timings() -> None:
    one = cpu_identity(RuntimeSettings(device="torch-cpu"), runtime="torch", version="2")
    two = cpu_identity(RuntimeSettings(device="torch-cpu", threads=2), runtime="torch", version="2")
    assert one != two
    assert one == cpu_identity(RuntimeSettings(device="torch-cpu"), runtime="torch", version="2")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lends a process fewer processors")
def test_cores_are_those_lent_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3, 5})
    assert usable_cores() == 3
