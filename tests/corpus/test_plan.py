import json

import pytest

import fastmel
from fastmel.corpus import plan as plans
from fastmel.corpus.run import check_settings
from fastmel.corpus.sources import Item


def _items(n, size=1000, **more):
    return [Item(id=f"{i:06d}.wav", source=f"/a/{i:06d}.wav", size=size, **more) for i in range(n)]


@pytest.fixture
def settings():
    return check_settings("whisper", "npy", {})


def _shards(plan):
    return [n_items for _, n_items in plan.shards]


def test_a_small_corpus_has_few_shards_and_a_large_one_even_ones(tmp_path, settings):
    def shards(items):
        return _shards(plans.plan_of(tmp_path, settings, items)[0])

    assert shards(_items(33)) == [32, 1]
    assert shards(_items(6400)) == [100] * 64
    assert shards(_items(100_000)) == [1000] * 100
    assert shards(_items(64, size=4 << 20)) == [1] * 64
    assert shards(_items(6, size=2 << 20)) == [2, 2, 2]
    assert shards(_items(3, size=1 << 40)) == [1, 1, 1]
    assert shards(_items(6, size=1 << 40, duration=65.0)) == [2, 2, 2]


def test_what_is_frozen_is_read_back(tmp_path, settings):
    items = [*_items(40), Item("é#0-5", "/b%FF.wav", 1.5, 2.5, extra={"text": "\udc80 😀"})]
    plan, content = plans.plan_of(tmp_path, settings, items)
    plans.freeze(plan, content)
    read = plans.load_plan(tmp_path)
    assert (read, read.digest) == (plan, plan.digest)
    assert read.items(0) + read.items(1) == items
    assert (read.n_items, read.n_features, read.dtype) == (41, 80, "float32")
    assert read.columns == ("text",)
    assert read.config == fastmel.frontend("whisper", layout="frames_first", dtype="float32").config
    assert read.incomplete() == [0, 1]


def test_a_plan_is_written_once(tmp_path, settings):
    plans.freeze(*plans.plan_of(tmp_path, settings, _items(3)))
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(FileExistsError):
        plans.freeze(*plans.plan_of(tmp_path, settings, _items(4)))
    assert (tmp_path / "plan.json").read_bytes() == before


def test_differences_are_told(tmp_path, settings):
    items = _items(5)
    plan, content = plans.plan_of(tmp_path, settings, items)
    plans.freeze(plan, content)
    other = [*items[1:4], Item(items[4].id, items[4].source, size=7), Item("new", "/new", size=1)]
    asked, _ = plans.plan_of(tmp_path, check_settings("whisper", "npy", {"n_mels": 128}), other)
    assert plans.differences(plan, asked, other) == [
        "config.n_mels: 80 in the plan, 128 now",
        "inputs that the plan does not have: 1, such as 'new'",
        "inputs of the plan that are not given: 1, such as '000000.wav'",
        "inputs that changed: 1, such as '000004.wav'",
    ]
    assert plans.differences(plan, plan, items) == []


def test_versions_are_part_of_the_plan(tmp_path, settings, monkeypatch):
    plan, _ = plans.plan_of(tmp_path, settings, _items(1))
    assert plan.versions["fastmel"] == fastmel.__version__
    monkeypatch.setattr(plans, "__version__", "99")
    other, _ = plans.plan_of(tmp_path, settings, _items(1))
    assert other.digest != plan.digest
    assert plans.differences(plan, other, _items(1)) == [
        f"fastmel: '{fastmel.__version__}' in the plan, '99' now"
    ]


def test_the_configuration_survives_json(tmp_path):
    options = {"stack": (2, 2), "offset": tuple(range(160)), "window": ("kaiser", 8.0)}
    settings = check_settings("whisper", "npy", options)
    plan, _ = plans.plan_of(tmp_path, settings, _items(1))
    expected = fastmel.frontend("whisper", layout="frames_first", dtype="float32", **options)
    assert plan.config == expected.config
    assert json.loads(json.dumps(plan.settings)) == plan.settings


def test_there_may_be_no_plan(tmp_path):
    with pytest.raises(fastmel.ParameterError, match="holds no plan"):
        plans.load_plan(tmp_path)
