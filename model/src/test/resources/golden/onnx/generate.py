"""Writes the graphs beside this file; needs torch, transformers, onnx and onnxscript."""
import gzip
import io
import pathlib

import onnx
import torch
from transformers import BertModel

here = pathlib.Path(__file__).parent


class Outputs(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.m = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.m(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out[0], out[1]


names = ["input_ids", "attention_mask", "token_type_ids"]
for name, attention, opset, dynamo in [("ts14-eager", "eager", 14, False), ("ts17-sdpa", "sdpa", 17, False),
                                       ("dyn18-sdpa", "sdpa", 18, True), ("dyn20-eager", "eager", 20, True)]:
    model = BertModel.from_pretrained(here.parent / "tasks" / "bert-embedding", attn_implementation=attention).eval()
    model.config.return_dict = False
    ids, mask = torch.randint(1, 60, (2, 7)), torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    kw = dict(input_names=names, output_names=["last_hidden_state", "pooler_output"], opset_version=opset, dynamo=dynamo)
    if dynamo:
        batch, seq = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("seq", min=2, max=20)
        kw.update(dynamic_shapes=({0: batch, 1: seq},) * 3, external_data=False)
    else:
        kw.update(dynamic_axes={k: {0: "b", 1: "t"} for k in names})
    path = here / (name + ".onnx")
    torch.onnx.export(Outputs(model), (ids, mask, torch.zeros_like(ids)), path, **kw)
    graph = onnx.load(path)
    path.unlink()
    for part in [*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer, graph.graph, graph]:
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    del graph.graph.value_info[:]
    (here / (name + ".onnx.gz")).write_bytes(gzip.compress(graph.SerializeToString(), 9, mtime=0))
