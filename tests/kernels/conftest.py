import numpy as np, pytest
@pytest.fixture
def rng(): return np.random.default_rng(0)
