import itertools

import pytest
import torch

from minidiff import data
from minidiff.data.shapes import captions, checker, scenes
from minidiff.data.shapes.captions import Asked, describe, relation_of
from minidiff.data.shapes.checker import Found
from minidiff.data.shapes.dataset import held_out
from minidiff.text import Tokenizer


def asked_and_found(size, n=400, noise=0.0, most=3):
    generator = torch.Generator().manual_seed(0)
    drawn = scenes.draw(n, generator, most)
    pictures = scenes.render(drawn, size)
    pictures = pictures + noise * torch.randn(pictures.shape, generator=generator)
    return [a for _, a in describe(drawn, generator)], pictures


@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_checker_is_exact_on_rendered_pictures(size):
    asked, pictures = asked_and_found(size)
    as_stored = (pictures * 127.5).round() / 127.5
    assert set(checker.accuracy(asked, as_stored).values()) == {1.0}


def test_checker_under_noise():
    """Nothing is lost at .1 of the range [-1, 1]; at .2 shapes of 2 pixels begin to be."""
    assert min(checker.accuracy(*asked_and_found(16, noise=0.1)).values()) > 0.995
    assert 0.9 < checker.accuracy(*asked_and_found(16, noise=0.2))["shape"] < 1


def test_checker_on_another_picture_is_at_chance():
    """With one object each: a colour in six, a shape in four, a place in nine."""
    asked, pictures = asked_and_found(16, 3000, most=1)
    found = checker.accuracy(asked[1:] + asked[:1], pictures)
    assert found["colour"] == pytest.approx(1 / 6, abs=0.03) and found["shape"] == pytest.approx(1 / 4, abs=0.03)
    assert found["size"] == pytest.approx(1 / 2, abs=0.04) and found["place"] < 0.25


def test_scores_by_hand():
    red_circle, blue_square = Found(0, 0, 1, (0.5, 0.2)), Found(2, 1, 0, (0.5, 0.8))
    asked = Asked(((0, 0, None), (2, 1, 0)), relation=2)  # red circle above small blue square
    assert all(all(v) for v in checker.score(asked, [red_circle, blue_square]).values())
    swapped = checker.score(asked, [red_circle._replace(centre=(0.5, 0.9)), blue_square])
    assert swapped["relation"] == [False] and swapped["object"] == [True, True]
    bound_wrongly = checker.score(asked, [red_circle._replace(shape=1), blue_square._replace(shape=0)])
    assert sum(bound_wrongly["object"]) == 0 and sum(bound_wrongly["colour"] + bound_wrongly["shape"]) == 2
    missing = checker.score(asked, [red_circle])
    assert missing["object"] == [True, False] and missing["relation"] == [False] and missing["count"] == [False]
    assert checker.score(asked, [red_circle, blue_square, red_circle])["count"] == [False]


def test_scenes_are_plain_and_fill_all_kinds():
    drawn = scenes.draw(2000, torch.Generator().manual_seed(1))
    assert scenes.plain(drawn).all()
    kinds = {(c, s) for c, s in zip(drawn.colour[:, 0].tolist(), drawn.shape[:, 0].tolist(), strict=True)}
    assert len(kinds) == len(scenes.COLOURS) * len(scenes.SHAPES)
    for k in (1, 2, 3):
        assert (drawn.count == k).float().mean().item() == pytest.approx(1 / 3, abs=0.04)


def test_same_seed_same_pictures_and_captions():
    (x, a), (y, b) = (data.load("shapes").batch(8, torch.Generator().manual_seed(3)) for _ in "ab")
    assert torch.equal(x, y) and a == b


def test_shapes_of_one_radius_have_one_area():
    radius, centre = torch.full((4,), 0.2), torch.full((4, 2), 0.5)
    cover = scenes.coverage(torch.arange(4), radius, centre, 64)
    torch.testing.assert_close(cover.sum((1, 2)), torch.full((4,), torch.pi * (0.2 * 64) ** 2), rtol=0.01, atol=0)
    _, found = checker.measure(cover)
    torch.testing.assert_close(found, centre, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("dx", "dy", "words"), [(-3, 1, "left of"), (3, 1, "right of"), (1, -3, "above"), (1, 3, "below")]
)
def test_relations(dx, dy, words):
    assert list(captions.RELATIONS)[relation_of((5 + dx, 5 + dy), (5, 5))] == words


def names_of(thing):
    """All that a caption may call a (colour, shape, size), without its article."""
    colour, shape, size = thing
    words = [captions.WORDS[list(scenes.COLOURS)[colour]], captions.WORDS[scenes.SHAPES[shape]]]
    words = words if size is None else [captions.WORDS[scenes.SIZES[size]], *words]
    return list(map(" ".join, itertools.product(*words)))


def test_captions_are_true_and_within_the_vocabulary():
    words = set(captions.vocabulary())
    drawn = scenes.draw(1000, torch.Generator().manual_seed(2))
    for i, (text, asked) in enumerate(describe(drawn, torch.Generator().manual_seed(3))):
        said = text.replace(",", "").split()
        assert set(said) <= words and len(said) <= captions.LENGTH
        sizes = [word for word in said if any(word in captions.WORDS[size] for size in scenes.SIZES)]
        assert len(sizes) == sum(size is not None for *_, size in asked.objects), text
        assert all(any(name in text for name in names_of(thing)) for thing in asked.objects), text
        assert len(asked.objects) == drawn.count[i]
        places = {k for k, phrases in enumerate(captions.PLACES) if text.endswith(phrases)}
        assert places == {asked.place} - {None}, text
        relations = {k: p for k, phrases in enumerate(captions.RELATIONS.values()) for p in phrases if f"{p} " in text}
        assert set(relations) == {asked.relation} - {None}, text
        for phrase in relations.values():  # behind it stands the second object, after an article
            behind = text.rpartition(f"{phrase} ")[2].partition(" ")[2]
            assert behind.startswith(tuple(names_of(asked.objects[1]))), text


def test_held_out_combinations_are_never_seen_in_training():
    mask = held_out()
    assert 0 < mask.sum() < mask.numel() and mask.any(0).all()  # each shape is seen with other colours
    for part, allowed in (("train", ~mask), ("test", mask)):
        dataset = data.load("shapes:2:held_out", part)
        _, _, asked = dataset.asked(300, torch.Generator().manual_seed(0))
        assert all(allowed[colour, shape] for a in asked for colour, shape, _ in a.objects)


@pytest.mark.parametrize("spec", ["shapes:4", "shapes:0", "shapes:two", "shapes:2:other", "shapes:2:held_out:x"])
def test_unknown_shapes_are_refused(spec):
    with pytest.raises(ValueError, match="1 to 3"):
        data.load(spec)


def test_sizes_beyond_what_the_checker_reads_are_refused():
    with pytest.raises(ValueError, match="16 to 64"):
        data.load("shapes", size=8)


def test_tokenizer():
    tokenizer = Tokenizer(["a", "red", "circle"], 4)
    assert tokenizer(["A red, circle!", ""]).tolist() == [[2, 3, 4, 0], [0, 0, 0, 0]]
    with pytest.warns(UserWarning, match="hexagon, dotted"):
        assert tokenizer(["a hexagon dotted"]).tolist() == [[2, 1, 1, 0]]
    with pytest.raises(ValueError, match="5 words: the limit of this model is 4"):
        tokenizer(["a red red red circle"])


def test_parts_of_other_scenes_have_other_fingerprints():
    found = [
        data.load(spec, part).fingerprint() for spec in ("shapes:2", "shapes:2:held_out") for part in ("train", "test")
    ]
    assert found == ["shapes-2-16", "shapes-2-16", "shapes-2-held_out-16", "shapes-2-held_out-16-test"]
