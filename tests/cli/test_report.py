from mmseg_g4seg.cli.report import main
from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.files import PAGE, write_report
from tests.evaluation.examples import CLASSES, make_records


def test_writes_the_page_once_more(tmp_path, capsys):
    write_report(build_report(make_records(), CLASSES), tmp_path)
    first = (tmp_path / PAGE).read_text()
    (tmp_path / PAGE).unlink()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / PAGE)
    assert (tmp_path / PAGE).read_text() == first


def test_a_folder_without_figures_is_an_error_in_words(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert 'metrics.json is missing: expected the folder of a run' in capsys.readouterr().err
