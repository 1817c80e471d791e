"""With the same seed the plain listing and the script print the same text, digit for digit."""

import re

import pytest
from helpers import ROOT, SAMPLE, call_main, start_python


@pytest.mark.parametrize('seed, n_epochs, data', [(1, 2, 'sample'), (20160318, 30, 'tiny')])
def test_same_digits(seed, n_epochs, data, flags, current_folder):
    folder = SAMPLE if data == 'sample' else flags[1]
    listing = start_python(ROOT / 'tests' / 'listing.py', seed, n_epochs, folder)
    run = call_main('--seed', seed, '--n_epochs', n_epochs, '--data_dir', folder)
    assert run.out == listing.communicate(timeout=200)[0]
    assert [line.split()[0] for line in run.out.splitlines()] == [str(i) for i in range(n_epochs)]


def test_same_digits_on_mnist_and_the_usual_costs(printed_on_mnist):
    script, listing = printed_on_mnist
    assert script == listing
    first, second = (float(line.split()[1]) for line in script.splitlines())
    assert 105_000 < first < 118_000 and 91_000 < second < 100_000


def test_the_listing_shares_no_code_with_the_script():
    code = (ROOT / 'tests' / 'listing.py').read_text()
    imports = re.findall(r'^\s*(?:import|from) (\S+)', code, re.M)
    assert set(imports) == {'gzip', 'os', 'sys', 'numpy', 'tensorflow.compat.v1'}
