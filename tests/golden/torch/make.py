"""Writes the files of this folder with torch (made with torch 1.13): values of every kind that the reader of torch files knows, in both forms and several protocols."""
import sys
from collections import OrderedDict

import torch

out = sys.argv[1]
base = torch.arange(24, dtype=torch.float32) - 3.5
parameter = torch.nn.Parameter(base[:6].clone().reshape(2, 3))
values = OrderedDict(
    parameter=parameter,
    step=3,
    items=[1, 2.5, None, True, False, "x"],
    pair=(1, (2, "two"), 3, 4),
    bytes=b"abc\xff",
    big=2**70,
    negative=-(2**40),
    turned=base.reshape(2, 3, 4).permute(2, 0, 1),
    sliced=base[5:20:3],
    half=(base[:6] / 3).half().reshape(2, 3).t(),
    bfloat16=(base[:5] / 3).bfloat16(),
    double=base.double() / 7,
    int64=torch.tensor([1, -(2**60)]),
    int32=torch.tensor([[7], [-7]], dtype=torch.int32),
    int16=torch.tensor([-300], dtype=torch.int16),
    int8=torch.tensor([-1, 1], dtype=torch.int8),
    uint8=torch.tensor([255], dtype=torch.uint8),
    bool=torch.tensor([True, False, True]),
    scalar=torch.tensor(0.25),
    empty=torch.zeros(0, 4),
    set={5},
    size=torch.Size([2, 3]),
    dtype=torch.float32,
    device=torch.device("cpu"),
    nested={"state": {0: {"exp_avg": base[:2].clone()}}, "lr": 1e-3},
)
torch.save(values, f"{out}/values.pt")
torch.save(values, f"{out}/values_protocol4.pt", pickle_protocol=4)
torch.save(values, f"{out}/values_protocol5.pt", pickle_protocol=5)
torch.save(values, f"{out}/values_older.pt", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(3, 2), f"{out}/whole_module.pt")
torch.save(torch.tensor([1.0]).expand(1000), f"{out}/expanded.pt")
