"""With the same seed the plain listing and the script print the same text, digit for digit."""

import re
import subprocess
import sys

import pytest
from helpers import ROOT, SAMPLE, environment


def start(folder, program, *args):
    """Start a program of the project in the folder, as a child that shares nothing with us."""
    return subprocess.Popen([sys.executable, str(ROOT / program), *map(str, args)], cwd=folder,
                            env=environment(), stdout=subprocess.PIPE, text=True)


def print_both(folder, seed, n_epochs, data, *flags):
    """Run both programs side by side; return what each prints on stdout."""
    children = [start(folder, 'tests/listing.py', seed, n_epochs, data),
                start(folder, 'dae_mnist.py', '--seed', seed, '--n_epochs', n_epochs, *flags)]
    texts = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    return texts


@pytest.mark.parametrize('seed', [0, 1, 20160318])
def test_same_digits_on_the_sample(tmp_path, seed):
    listing, script = print_both(tmp_path, seed, 3, SAMPLE, '--data_dir', SAMPLE)
    assert re.fullmatch(r'0 \S+\n1 \S+\n2 \S+\n', listing)
    assert script == listing


def test_same_digits_on_mnist_and_the_usual_costs(tmp_path, real_mnist):
    """The script finds MNIST by itself."""
    listing, script = print_both(tmp_path, 42, 2, real_mnist)
    assert script == listing
    costs = [float(line.split()[1]) for line in script.splitlines()]
    assert len(costs) == 2
    assert 105_000 < costs[0] < 118_000 and 91_000 < costs[1] < 100_000


def test_the_listing_shares_no_code_with_the_script():
    code = (ROOT / 'tests' / 'listing.py').read_text()
    imports = re.findall(r'^\s*(?:import|from) (\S+)', code, re.M)
    assert set(imports) == {'gzip', 'os', 'sys', 'numpy', 'tensorflow.compat.v1'}
