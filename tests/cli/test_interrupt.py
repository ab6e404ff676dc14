import pytest

from mmseg_g4seg.cli import check_dataset, convert_dataset, refine_masks, test, train
from mmseg_g4seg.cli.interrupt import interruptible

COMMANDS = [
    (refine_masks.main, refine_masks, 'parse_args', 'interrupted; the same command goes on where it stopped'),
    (check_dataset.main, check_dataset.argparse, 'ArgumentParser', 'interrupted'),
    (test.main, test, 'parse_args', 'interrupted'),
    (train.main, train.argparse, 'ArgumentParser', 'interrupted; --resume goes on from the last checkpoint'),
    (convert_dataset.nightcity, convert_dataset, '_parser', 'interrupted; the same command goes on where it stopped'),
]


@pytest.mark.parametrize(
    ('command', 'owner', 'name', 'said'), COMMANDS, ids=lambda value: getattr(value, '__name__', '')
)
def test_ctrl_c_ends_every_command_with_a_line(monkeypatch, capsys, command, owner, name, said):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupt)
    assert command([]) == 130
    assert capsys.readouterr().err == f'{said}\n'


def test_other_ends_are_left_alone():
    assert interruptible()(lambda argv: len(argv))(['a', 'b']) == 2
    with pytest.raises(TypeError, match='NoneType'):
        interruptible()(lambda argv: len(argv))(None)
