"""With the same seed the plain listing and the script print the same text, digit for digit."""

import re

from helpers import ROOT, call_main, start_python


def test_same_digits_in_thirty_epochs(flags, current_folder):
    _, folder, *_ = flags
    listing = start_python(ROOT / 'tests' / 'listing.py', 20160318, 30, folder)
    run = call_main('--seed', 20160318, '--n_epochs', 30, '--data_dir', folder)
    assert run.out == listing.communicate(timeout=200)[0]
    assert [line.split()[0] for line in run.out.splitlines()] == [str(i) for i in range(30)]


def test_same_digits_on_mnist_and_the_usual_costs(printed_on_mnist):
    script, listing = printed_on_mnist
    assert script == listing
    first, second = (float(line.split()[1]) for line in script.splitlines())
    assert 105_000 < first < 118_000 and 91_000 < second < 100_000


def test_the_listing_shares_no_code_with_the_script():
    code = (ROOT / 'tests' / 'listing.py').read_text()
    imports = re.findall(r'^\s*(?:import|from) (\S+)', code, re.M)
    assert set(imports) == {'gzip', 'os', 'sys', 'numpy', 'tensorflow.compat.v1'}
