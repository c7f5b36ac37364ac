"""The finders find what they should, and nothing else."""

from meta.finders import exports, long_functions, silent_verdicts, toothless_tests, unraised_errors, wide_signatures


def test_a_dropped_verdict_is_found() -> None:
    assert silent_verdicts("import torch\ntorch.allclose(a, b)\nx == 1\n") == [2, 3]


def test_a_comparison_that_should_raise_is_not_a_dropped_verdict() -> None:
    assert silent_verdicts("with pytest.raises(TypeError):\n    a < b\n") == []


def test_an_asserted_verdict_is_not_dropped() -> None:
    assert silent_verdicts("assert torch.allclose(a, b)\nsame = a == b\n") == []


def test_an_error_built_and_not_raised_is_found() -> None:
    assert unraised_errors("raise SpecError('x')\nSpecError('x')\nerrors.PlanError('y')\nunknown_name('a', 'b', [])\n") == [2, 3, 4]


def test_a_docstring_does_not_count_as_length() -> None:
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    assert long_functions(source, limit=1) == [("f", 2)]
    assert long_functions(source, limit=2) == []


def test_self_is_no_parameter() -> None:
    assert wide_signatures("def f(self, a, b, *, c): ...", limit=2) == [("f", 3)]
    assert wide_signatures("def f(self, a, b): ...", limit=2) == []


def test_a_test_without_a_check_is_found() -> None:
    source = (
        "def test_a():\n    run()\n\ndef test_b():\n    assert run()\n\ndef test_c():\n    check_same(a, b)\n\ndef helper():\n    run()\n"
    )
    assert toothless_tests(source) == ["test_a"]


def test_a_test_may_check_by_a_function_of_its_file() -> None:
    source = "def refused(x):\n    assert x\n\ndef test_a():\n    refused(1)\n\ndef test_b():\n    accepted(1)\n"
    assert toothless_tests(source) == ["test_b"]


def test_exports_are_read_without_importing() -> None:
    assert exports('__all__ = ["b", "a"]\n') == ["b", "a"]
    assert exports("x = 1\n") is None
