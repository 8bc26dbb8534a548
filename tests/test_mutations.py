"""The proof that gradcheck finds mistakes: every broken backward of tests/mutations.py is refused."""

import pytest
from mutations import MUTATIONS

import tinyalex as ta


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_gradcheck_refuses(mutation):
    with pytest.raises(ta.GradcheckError, match="WRONG"):
        ta.gradcheck(mutation.function, mutation.inputs)
