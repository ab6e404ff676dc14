import pytest
from mmengine.config import Config

from projects.reproduction.needs import refiner_needs
from projects.reproduction.paper import ConfigRun, find_rows, find_table
from projects.reproduction.plans import plan_row
from projects.reproduction.table import describe
from projects.reproduction.tests.setting import places
from tests.hosts.mmseg.synthetic_trees import write_tree

CLIP = 'timm/vit_base_patch16_clip_224.openai'


def test_everything_missing_is_named_with_its_place(tmp_path):
    table = find_table('supervised')
    plans = [plan_row(row, places(tmp_path)) for row in table.rows]
    missing = {need.what: need for need in plans[2].missing}
    assert set(missing) == {'images', 'labels', 'checkpoint', 'prior', 'CLIP weights', 'weights of CascadePSP'}
    assert missing['images'].where == 'data/ade/ADEChallengeData2016/images/validation'
    assert missing['checkpoint'].where.startswith('checkpoints/segformer_mit-b1_512x512_160k_ade20k_')
    assert missing['CLIP weights'].where == str(tmp_path / 'hub' / f'models--{CLIP.replace("/", "--")}')
    assert 'https://' in missing['checkpoint'].how
    text = describe('supervised', table, plans)
    assert text.count('MISSING checkpoint') == 6
    assert 'data/ade/ADEChallengeData2016/annotations/validation' in text
    assert not (tmp_path / 'out').exists(), 'planning writes nothing'


def test_what_is_there_is_found(tmp_path):
    write_tree('nightcity_fine', tmp_path / 'data/nightcity-fine', images=1)
    row = find_table('night').rows[0]
    (tmp_path / 'prior').mkdir()
    features = {'model.refiner.update.features': {'_delete_': True, 'type': 'DenoiserFeatures'}}
    own = {'prior': 'prior', 'options': features}
    missing = [n.what for n in plan_row(row, places(tmp_path, **own)).missing]
    assert missing == ['scores']
    (tmp_path / 'data/nightcity-fine/dtp_scores').mkdir()
    assert plan_row(row, places(tmp_path, **own)).missing == []


@pytest.mark.parametrize(('name', 'found'), [('tiny', True), ('nobody/nothing', False), ('no such/a b', False)])
def test_priors(name, found):
    for prior in (name, dict(source=name, dtype='float16')):
        refiner = dict(type='G4SegRefiner', prior=prior)
        (need,) = refiner_needs(refiner, download=False)
        assert (need.where, need.found) == (name, found)
        assert [n.found for n in refiner_needs(refiner, download=True)] == [True]


@pytest.mark.parametrize('beside_attention', [False, True])
def test_controlnets(tmp_path, beside_attention):
    injection = dict(type='ControlNetInjector', source='a/net')
    refiner = dict(
        type='G4SegRefiner',
        prior='tiny',
        injection=[dict(type='MaskInjector'), injection] if beside_attention else injection,
    )

    def found():
        return [(n.where, n.found) for n in refiner_needs(refiner, download=False) if n.what == 'ControlNet']

    assert found() == [('a/net', False)]
    cached(tmp_path, 'a/net', 'config.json')
    assert found() == [('a/net', True)]


def test_the_row_with_a_controlnet_needs_it(tmp_path):
    (row,) = find_rows(find_table('VIII'), 'CLIP-ES')
    plan = plan_row(row, places(tmp_path, prior='tiny'))
    assert {n.where for n in plan.needs if n.what == 'ControlNet'} == {'thibaud/controlnet-sd21-ade20k-diffusers'}
    assert refiner_of(plan).injection.type == 'ControlNetInjector'
    assert refiner_of(plan)['update'].beta == 0.9


def refiner_of(plan):
    return Config.fromstring(plan.files['config.py'], '.py').model.refiner


def test_rows_of_weak_labels_are_commands_that_need_their_models(tmp_path):
    for number in ('II', 'III', 'IV', 'VIII', 'IX'):
        table = find_table(number)
        for row in (row for row in table.rows if isinstance(row.run, ConfigRun)):
            plan = plan_row(row, places(tmp_path))
            assert plan.command[1].endswith('tools/test.py')
            missing = {need.what: need.how for need in plan.missing if 'segmentor' in need.how}
            own = {'CAM': 'weights of the classifier', 'GroupViT': 'GroupViT weights'}
            assert list(missing) == [next((what for name, what in own.items() if name in row.name), 'CLIP weights')]
            leading = refiner_of(plan).get('refiners', [refiner_of(plan)])[0]
            assert ('prior' in [need.what for need in plan.missing]) == (leading.type == 'G4SegRefiner')
            assert leading.get('update', {}).get('beta', 0.9) == (
                0.8 if row.name.startswith(('SCLIP', 'GroupViT')) else 0.9
            )
    priors = [refiner_of(plan_row(row, places(tmp_path))) for row in find_table('IX').rows]
    assert len({refiner.prior.source for refiner in priors}) == 4
    assert [refiner.get('image_size') for refiner in priors] == [None, None, 1024, None]
    inverted = find_table('IV').rows
    assert [row.name.split(',')[0] for row in inverted] == ['GroupViT', 'CLIP-ES']
    for row in inverted:
        assert refiner_of(plan_row(row, places(tmp_path)))['update'].reconstruction.type == 'NullTextInversion'


def test_chains():
    chain = dict(type='SequentialRefiner', refiners=[
        dict(type='G4SegRefiner', prior='tiny'), dict(type='DenseCRFRefiner'),
        dict(type='CascadePSPRefiner', weights='nowhere/model'),
    ])  # fmt: skip
    found = [(n.what, n.found) for n in refiner_needs(chain, download=False) if n.what != 'package']
    assert found == [('prior', True), ('weights of CascadePSP', False)]


def cached(tmp_path, repository: str, file: str) -> None:
    """Puts a file into the hub's cache."""
    folder = tmp_path / 'hub' / f'models--{repository.replace("/", "--")}'
    for path, text in (('refs/main', 'abc'), (f'snapshots/abc/{file}', 'weights')):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def weights(features, *, download: bool = False):
    refiner = dict(type='G4SegRefiner', prior='tiny', update=dict(type='CorrespondenceUpdate', features=features))
    return [n for n in refiner_needs(refiner, download=download) if n.what == 'CLIP weights']


def test_clip_weights_by_open_clips_tag(tmp_path):
    features = dict(type='OpenCLIPFeatures', model='ViT-B-16-quickgelu', pretrained='openai')
    (need,) = weights(features)
    assert not need.found
    assert need.where == str(tmp_path / 'hub' / f'models--{CLIP.replace("/", "--")}')
    assert 'model.refiner.update.features.pretrained=FILE' in need.how
    assert [n.found for n in weights(features, download=True)] == [True]
    cached(tmp_path, CLIP, 'open_clip_model.safetensors')
    assert [n.found for n in weights(features)] == [True]
    assert [n.found for n in weights(dict(type='OpenCLIPFeatures'))] == [True], 'its defaults'


def test_clip_weights_in_a_file(tmp_path):
    features = dict(type='OpenCLIPFeatures', pretrained='my weights.pt')
    assert [(n.where, n.found) for n in weights(features)] == [('my weights.pt', False)]
    (tmp_path / 'my weights.pt').touch()
    assert [n.found for n in weights(features)] == [True]


@pytest.mark.parametrize(
    ('model', 'repository', 'file'),
    [('hf-hub:a/b', 'a/b', 'open_clip_pytorch_model.bin'), ('local-dir:clip', None, None)],
)
def test_clip_weights_of_a_model_with_a_place_of_its_own(tmp_path, model, repository, file):
    features = dict(type='OpenCLIPFeatures', model=model)
    assert [n.found for n in weights(features)] == [False]
    cached(tmp_path, repository, file) if repository else (tmp_path / 'clip').mkdir()
    assert [n.found for n in weights(features)] == [True]


def test_clip_weights_of_transformers(tmp_path):
    assert [n.found for n in weights(dict(type='TransformersCLIPFeatures', model='clip'))] == [False]
    (tmp_path / 'clip').mkdir()
    assert [n.found for n in weights(dict(type='TransformersCLIPFeatures', model='clip'))] == [True]
    assert [n.found for n in weights(dict(type='TransformersCLIPFeatures', model='a/b'))] == [False]
    cached(tmp_path, 'a/b', 'model.safetensors')
    assert [n.found for n in weights(dict(type='TransformersCLIPFeatures', model='a/b'))] == [True]


def test_other_features_need_no_clip_weights():
    assert weights(dict(type='DenoiserFeatures')) == weights(dict(type='DenoiserFeatures', timestep=50)) == []
    assert [n.what for n in refiner_needs(dict(type='G4SegRefiner', prior='tiny'), download=False)] == ['prior']


@pytest.mark.parametrize(
    ('row', 'weights', 'place'),
    [
        ('SCLIP, VOC', CLIP, 'model.segmentor.pretrained=FILE'),
        ('GroupViT, VOC', 'nvidia/groupvit-gcc-yfcc', 'model.segmentor.model=FOLDER'),
        ('SeeDiff, VOC', CLIP, 'model.segmentor.image_classes.pretrained=FILE'),
    ],
)
def test_what_the_source_of_the_masks_needs(tmp_path, row, weights, place):
    (found,) = [r for r in find_table('I').rows if r.name == row]
    needs = plan_row(found, places(tmp_path)).needs
    (own,) = [n for n in needs if place in n.how]
    assert not own.found
    assert own.where == str(tmp_path / 'hub' / f'models--{weights.replace("/", "--")}')


def test_rivals_take_no_prior(tmp_path):
    """The options of G4Seg, and another prior for it, are none of dense CRF's; the prior is needed by nobody."""
    table = find_table('XI')
    own = dict(prior='tiny', options={'model.refiner.update.beta': 0.9, 'log_level': 'WARNING'})
    plans = {
        row.name: plan_row(row, places(tmp_path, **own)) for row in table.rows if row.name.startswith('SCLIP, VOC')
    }
    assert [n for n in plans['SCLIP, VOC: dense CRF'].needs if n.what == 'prior'] == []
    config = plans['SCLIP, VOC: dense CRF'].files['config.py'].replace(' ', '')
    assert 'beta' not in config
    assert 'WARNING' in config
    assert 'beta=0.9' in plans['SCLIP, VOC: G4Seg, then dense CRF'].files['config.py'].replace(' ', '')
    segrefiner = plans['SCLIP, VOC: SegRefiner'].needs
    assert [n.where for n in segrefiner if 'SegRefiner' in n.what] == ['checkpoints/segrefiner_hr_latest.pth']
