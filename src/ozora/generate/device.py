"""Where does a model compute, and in which numbers? Names that a user gives, checked against what there is."""

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_device(device: str | torch.device | None) -> torch.device:
    """The device of that name; None is CUDA where there is one, else the CPU. ``ValueError`` if it is not there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    name = str(place) if place is None or place.index is not None else place.type
    if place is None or not any(name in (other, other.partition(":")[0]) for other in there):
        raise ValueError(f"device is {str(device)!r}; here it must be one of {', '.join(there)}")
    return place


def find_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The type of number of that name; None is bfloat16 on CUDA, else float32. ``ValueError`` for any other."""
    if dtype is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise ValueError(f"dtype is {dtype}; it must be one of {', '.join(DTYPES)}")
    assert found is not None
    return found
