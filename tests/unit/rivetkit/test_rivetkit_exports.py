from __future__ import annotations

import types

import rivetkit


def test_all_names_exactly_what_can_be_imported() -> None:
    importable = {
        name
        for name, value in vars(rivetkit).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert set(rivetkit.__all__) == importable


def test_all_is_in_order() -> None:
    assert rivetkit.__all__ == sorted(rivetkit.__all__)
