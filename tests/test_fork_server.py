"""Processes that are forks of the tests' own are as good as new ones."""

import os
import subprocess
import sys
import time

import pytest

from tests.fork_server import Fork, python_command

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='forks are for Linux alone')


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([python_command(), *arguments], capture_output=True, text=True, check=False, **options)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ('code', 'expected', 'said'),
    [
        ('pass', 0, ''),
        ('sys.exit(3)', 3, ''),
        ('sys.exit("no such file")', 1, 'no such file\n'),
        ('1 / 0', 1, 'ZeroDivisionError: division by zero\n'),
        ('os.kill(os.getpid(), 15)', 128 + 15, ''),
    ],
)
def test_how_it_ends(code, expected, said):
    done = run('-c', f'import os, sys; print("begun", flush=True); {code}')
    assert done.returncode == expected
    assert done.stdout == 'begun\n'
    assert done.stderr.endswith(said)


def test_arguments_folder_environment_and_input(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(
        'import os, sys\nprint(sys.argv[1:], os.getcwd(), os.environ["ONE"], "HOME" in os.environ, __name__, input())\n'
    )
    done = run('-u', str(script), 'a', '-u', cwd=tmp_path, env={'ONE': '1'}, input='typed\n')
    assert done.stdout == f"['a', '-u'] {tmp_path} 1 False __main__ typed\n", done.stderr


def test_a_module_that_the_tests_have_imported():
    done = run('-m', 'tests.test_fork_server', 'a')
    assert (done.returncode, done.stdout) == (0, "a script with ['a'], after pytest\n")


def test_what_a_test_patches_is_not_in_it(monkeypatch):
    monkeypatch.setattr('os.getcwd', lambda: 'elsewhere')
    assert run('-c', 'import os; print(os.getcwd())').stdout != 'elsewhere\n'


def test_killed():
    process = Fork(['-c', 'import time; time.sleep(600)'], env=os.environ)
    assert process.poll() is None
    process.kill()
    assert process.poll() == -9


def test_ends_with_who_asked():
    process = Fork(['-c', 'import time; time.sleep(600)'], env=os.environ)
    number = process.pid
    assert is_alive(number)
    del process
    end = time.monotonic() + 60
    while is_alive(number):
        assert time.monotonic() < end
        time.sleep(0.01)


if __name__ == '__main__':
    print(f'a script with {sys.argv[1:]}, {"after" if "pytest" in sys.modules else "without"} pytest')
