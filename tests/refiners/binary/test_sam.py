"""Segment Anything: prompts and merge beside a plain loop on transformers' own processors; odd masks; loading."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Sam2ImageProcessor,
    Sam2Processor,
    SamImageProcessor,
    SamProcessor,
)

from mmseg_g4seg import build_refiner
from mmseg_g4seg.ops.binary_masks import merge_binary_masks
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.binary.sam import SAMRefiner
from tests.refiners.binary.sam_models import SIDE, tiny_sam, tiny_sam2

pytest.importorskip('scipy')
CLASSES = ClassList(['background', 'cat', 'dog'])
SIZE = (64, 128)


@pytest.fixture(scope='module')
def models():
    return {'sam': tiny_sam(), 'sam2': tiny_sam2()}


def blocks() -> Prediction:
    """A cat in two parts, one of them bent around a gap and one at the image's edge; a dog without a gap."""
    labels = torch.zeros(SIZE, dtype=torch.int64)
    labels[8:40, 8:40], labels[8:30, 20:32] = 1, 0
    labels[50:64, 90:128] = 1
    labels[10:34, 70:110] = 2
    probs = F.one_hot(labels, 3).permute(2, 0, 1).float() * 0.7 + 0.1
    return Prediction(probs, labels)


def plain_parts(mask):
    """The connected parts of a mask, by flood filling."""
    left, parts = set(map(tuple, mask.nonzero().tolist())), []
    while left:
        part, edge = set(), [min(left)]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                part.add((y, x))
                edge += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        parts.append(sorted(part))
    return parts


def plain_deepest(inside, border):
    """Of points, sorted by rows, the first that is farthest from the nearest of others; x, y."""
    places, others = torch.tensor(inside).double(), torch.tensor(border).double()
    y, x = inside[int(torch.cdist(places, others).amin(dim=1).argmax())]
    return [x, y]


def plain_claim(model, image, mask):
    """A class's claim, part by part, each in a pass of its own over the image."""
    is_first = model.config.model_type == 'sam'
    if is_first:
        size = dict(size={'longest_edge': SIDE}, pad_size={'height': SIDE, 'width': SIDE})
        processor = SamProcessor(SamImageProcessor(**size))
    else:
        processor = Sam2Processor(Sam2ImageProcessor(size={'height': SIDE, 'width': SIDE}))
    everywhere = [(y, x) for y in range(-1, SIZE[0] + 1) for x in range(-1, SIZE[1] + 1)]
    in_mask, claim = set(map(tuple, mask.nonzero().tolist())), torch.zeros(SIZE)
    for part in plain_parts(mask):
        rows, columns = [y for y, _ in part], [x for _, x in part]
        box = [min(columns), min(rows), max(columns), max(rows)]
        points, kinds = [plain_deepest(part, sorted(set(everywhere) - set(part)))], [1]
        gaps = [(y, x) for y in range(box[1], box[3] + 1) for x in range(box[0], box[2] + 1) if (y, x) not in in_mask]
        points.append(plain_deepest(gaps, sorted(in_mask)) if gaps else [0, 0])
        kinds.append(0 if gaps else -1)
        given = processor(
            images=image,
            input_boxes=[[box]],
            input_points=[[points]],
            input_labels=[[kinds]],
            do_rescale=False,
            return_tensors='pt',
        )
        alone = torch.zeros(SIZE)
        alone[rows, columns] = 1
        if is_first:  # half the size, padded below, then 4 x 4 pixels a cell
            shares = F.avg_pool2d(F.pad(F.avg_pool2d(alone[None], 2), (0, 0, 0, SIDE // 2)), 4)
        else:
            shares = F.avg_pool2d(F.avg_pool2d(alone[None], (1, 2)), 4)
        sizes = [given.pop('original_sizes')]
        sizes += [given.pop('reshaped_input_sizes')] if is_first else []
        with torch.no_grad():
            answer = model(**given, input_masks=(20 * shares - 10)[None], multimask_output=True).pred_masks
        keep = dict(pad_size={'height': SIDE, 'width': SIDE}) if is_first else {}
        logits = processor.post_process_masks(answer, *sizes, binarize=False, **keep)[0][0]
        agreement = [float((m & alone.bool()).sum() / (m | alone.bool()).sum()) for m in logits > 0]
        claim = torch.maximum(claim, logits[agreement.index(max(agreement))].sigmoid())
    return claim


@pytest.mark.parametrize('kind', ['sam', 'sam2'])
def test_prompts_and_merge_are_those_of_a_plain_loop(models, kind):
    image, coarse = torch.rand(3, *SIZE), blocks()
    claims = torch.stack([plain_claim(models[kind], image, coarse.label_map == c) for c in (1, 2)])
    assert 0.02 < float((claims > 0.5).float().mean()) < 0.98
    expected = merge_binary_masks(coarse.probs, [1, 2], claims, background_index=0)
    calls = []
    hook = models[kind].register_forward_pre_hook(
        lambda _, _args, given: calls.append(given['input_boxes'].shape), with_kwargs=True
    )
    for batch, sizes in ((8, [2, 1]), (1, [1, 1, 1])):
        refined = SAMRefiner(models[kind], prompts_per_batch=batch).refine(image, coarse, CLASSES)
        torch.testing.assert_close(refined.probs, expected, rtol=0, atol=1e-3)
        assert torch.equal(refined.label_map, refined.probs.argmax(dim=0))
        assert calls == [(n, 1, 4) for n in sizes]
        calls.clear()
    hook.remove()


@pytest.mark.parametrize('kind', ['sam', 'sam2'])
def test_every_prompt_counts_and_none_is_needed(models, kind):
    image, coarse = torch.rand(3, *SIZE), blocks()
    choices = [['box'], ['points'], ['mask'], ['box', 'points', 'mask']]
    found = [SAMRefiner(models[kind], prompts=p).refine(image, coarse, CLASSES).probs for p in choices]
    for i, one in enumerate(found):
        assert all((one - other).abs().max() > 0.01 for other in found[i + 1 :])


class Boxes(torch.nn.Module):
    """Answers with the box that it is asked about, with its left half, and with nothing, in the image's own pixels."""

    def __init__(self):
        super().__init__()
        settings = SimpleNamespace(image_size=SIDE, patch_size=4)
        self.config = SimpleNamespace(model_type='sam', prompt_encoder_config=settings)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.asked = 0

    def get_image_embeddings(self, pixels):
        self.asked += 1
        return pixels

    def forward(self, image_embeddings, input_boxes, multimask_output, **prompts):
        answers = []
        for left, top, right, bottom in input_boxes[:, 0].round().int().tolist():
            masks = torch.full((3, SIDE, SIDE), -20.0)
            masks[0, top : bottom + 1, left : (left + right) // 2] = 20.0
            masks[1, top : bottom + 1, left : right + 1] = 20.0
            answers.append(masks)
        return SimpleNamespace(pred_masks=torch.stack(answers)[:, None])


@pytest.mark.parametrize('background', [0, None])
def test_the_merge_has_no_overlaps_and_no_holes(background):
    labels = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    labels[4:30, 4:30], labels[10:28, 10:28] = 1, 2  # the box of the ring holds the other's
    labels[40:60, 20:50] = 2
    labels[20:50, 55:60] = 1
    probs = F.one_hot(labels, 3).permute(2, 0, 1).float() * 0.7 + 0.1
    model, classes = Boxes(), ClassList(CLASSES, background=background)
    refined = SAMRefiner(model).refine(torch.rand(3, SIDE, SIDE), Prediction(probs, labels), classes)
    assert model.asked == 1
    torch.testing.assert_close(refined.probs.sum(dim=0), torch.ones(SIDE, SIDE))
    cats, dogs = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    cats[4:30, 4:30], cats[20:50, 55:60] = True, True
    dogs[10:28, 10:28], dogs[40:60, 20:50] = True, True
    if background == 0:
        assert (refined.label_map[~cats & ~dogs] == 0).all()
    assert (refined.label_map[cats & ~dogs] == 1).all()
    assert (refined.label_map[dogs & ~cats] == 2).all()
    # both claim it: the coarse scores decide
    assert torch.equal(refined.label_map[cats & dogs], labels[cats & dogs])


def test_specks_stay_and_cost_nothing():
    labels = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    labels[::4, ::4], labels[30:50, 30:50] = 1, 1
    probs = F.one_hot(labels, 3).permute(2, 0, 1).float() * 0.7 + 0.1
    refiner = SAMRefiner(Boxes(), min_part=0.01)
    refined = refiner.refine(torch.rand(3, SIDE, SIDE), Prediction(probs, labels), CLASSES)
    assert torch.equal(refined.label_map, labels)


@pytest.mark.parametrize('kind', ['sam', 'sam2'])
@pytest.mark.parametrize('size', [(1, 1), (7, 2000)])
def test_odd_images(models, kind, size):
    labels = torch.ones(size, dtype=torch.int64)
    probs = F.one_hot(labels, 3).permute(2, 0, 1).float()
    refiner = SAMRefiner(models[kind], prompts=['points', 'mask'])
    refined = refiner.refine(torch.rand(3, *size), Prediction(probs, labels), CLASSES)
    torch.testing.assert_close(refined.probs.sum(dim=0), torch.ones(size))


def test_loads_from_a_folder_and_chains(models, tmp_path):
    image, coarse = torch.rand(3, *SIZE), blocks()
    for kind, model in models.items():
        model.save_pretrained(tmp_path / kind)
        own = dict(type='SAMRefiner', model=str(tmp_path / kind))
        chain = dict(type='SequentialRefiner', refiners=[own, dict(type='PAMRRefiner', iterations=1)])
        first, last = build_refiner(chain).refine_stages([image], [coarse], CLASSES)
        assert first.name == {'sam': 'SAM', 'sam2': 'SAM 2'}[kind]
        expected = SAMRefiner(model).refine(image, coarse, CLASSES)
        torch.testing.assert_close(first.predictions[0].probs, expected.probs, rtol=0, atol=1e-3)
        assert not torch.equal(last.predictions[0].probs, expected.probs)


def test_releases_of_sam_2_are_of_its_video_model(models, tmp_path):
    models['sam2'].save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'model_type': 'sam2_video'}))
    assert build_refiner(dict(type='SAMRefiner', model=str(tmp_path))).name == 'SAM 2'


def test_what_is_no_sam_is_refused(models, tmp_path):
    config = CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    CLIPVisionModel(config).save_pretrained(tmp_path / 'clip')
    with pytest.raises(ValueError, match=r"expected a model of the types .*, got 'clip_vision_model'"):
        build_refiner(dict(type='SAMRefiner', model=str(tmp_path / 'clip')))
    with pytest.raises(ValueError, match=r"expected one of the types .*, got 'Identity'"):
        SAMRefiner(torch.nn.Identity())
    state = {name: weight for name, weight in models['sam'].state_dict().items() if 'iou_token' not in name}
    models['sam'].save_pretrained(tmp_path / 'less', state_dict=state)
    with pytest.raises(ValueError, match=r"1 are missing, such as 'mask_decoder\.iou_token\.weight'"):
        build_refiner(dict(type='SAMRefiner', model=str(tmp_path / 'less')))


@pytest.mark.parametrize('kind', ['sam', 'sam2'])
def test_a_config_with_less_layers_than_the_weights_is_refused(models, tmp_path, kind):
    state = models[kind].state_dict()
    layer = 'mask_decoder.transformer.layers.'
    more = {n.replace(layer + '0', layer + '1'): w.clone() for n, w in state.items() if n.startswith(layer)}
    models[kind].save_pretrained(tmp_path, state_dict={**state, **more})
    with pytest.raises(ValueError, match=r"weights are left out, such as 'mask_decoder\.transformer\.layers\.1"):
        build_refiner(dict(type='SAMRefiner', model=str(tmp_path)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prompts=[]), 'prompts: expected some of'),
        (dict(prompts='box'), "prompts: expected some of .*, got 'box'"),
        (dict(prompts=['boxes']), 'prompts: expected some of'),
        (dict(prompts_per_batch=0), 'prompts_per_batch: expected at least 1, got 0'),
        (dict(min_part=math.nan), 'min_part: expected a share'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SAMRefiner(Boxes(), **options)
