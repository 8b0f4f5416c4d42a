"""Networks of one everyday operator between two convolutions: the table and its export.

``python -m tests.corpus.operator_networks`` exports them to ``operators.json.xz`` and records what
the analysis finds in ``operators.json``; `operators` reads both.
"""

import base64
import io
import json
import lzma
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from secateur.engine.program.exported import export
from tests.corpus.operators import STORED, record


class Operator(nn.Module):
    """Convolution, a function, convolution."""

    def __init__(self, function: Callable[..., Any], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.function, self.layer = function, layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y = self.function(y) if self.layer is None else self.function(y, self.layer)
        z: Tensor = self.b(y)
        return z


def old_norm(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return a convolution with a deprecated norm, which users' networks still have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return norm(nn.Conv2d(16, 16, 1))


def flat(y: Tensor) -> Tensor:
    return y.flatten(2)


def assign_slice(y: Tensor) -> Tensor:
    z = y.clone()
    z[:, :8] = y[:, 8:]
    return z


def shift_in_space(y: Tensor) -> Tensor:
    z = torch.zeros_like(y)
    z[..., 1:] = y[..., :-1]
    return z


def add_to_slice(y: Tensor) -> Tensor:
    y = y * 1
    y[:, :, 0] += 1
    return y


def multiply_view(y: Tensor) -> Tensor:
    y = y.clone()
    y[:, 4:8].mul_(2)
    return y


def clear_negative(y: Tensor) -> Tensor:
    z = y.clone()
    z[z < 0] = 0
    return z


def attend(y: Tensor, layer: nn.Module) -> Tensor:
    t = flat(y).mT
    result: Tensor = layer(t, t, t, need_weights=False)[0].mT.reshape(-1, 16, 8, 8)
    return result


def without_gradient(y: Tensor) -> Tensor:
    with torch.no_grad():
        z = y.mean((2, 3), keepdim=True)
    return y - z


def with_autocast(y: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = y * 2
    return z.float()


def without_autocast(y: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return y.float() * 2


OPERATORS = {
    "multiply": Operator(lambda y: torch.multiply(y, y)),
    "subtract": Operator(lambda y: torch.subtract(y, 1)),
    "divide": Operator(lambda y: torch.divide(y, 2)),
    "true_divide": Operator(lambda y: torch.true_divide(y, 2)),
    "float_power": Operator(lambda y: y.abs().float_power(2).float()),
    "square": Operator(torch.square),
    "sign": Operator(torch.sign),
    "log10": Operator(lambda y: torch.log10(y.abs() + 1)),
    "sinh": Operator(torch.sinh),
    "asin": Operator(lambda y: torch.asin(y.clamp(-1, 1))),
    "acos": Operator(lambda y: torch.acos(y.clamp(-1, 1))),
    "special_erf": Operator(torch.special.erf),
    "hypot": Operator(lambda y: torch.hypot(y, y)),
    "logaddexp": Operator(lambda y: torch.logaddexp(y, y)),
    "rad2deg": Operator(torch.rad2deg),
    "frac": Operator(torch.frac),
    "relu_thresh": Operator(lambda y: F.threshold(y, 0.1, 0)),
    "rrelu": Operator(F.rrelu),
    "softmin": Operator(lambda y: F.softmin(y, 1)),
    "tanhshrink": Operator(F.tanhshrink),
    "softmax2d": Operator(nn.Softmax2d()),
    "gumbel_free": Operator(lambda y: F.softmax(y / 0.5, 1)),
    "heaviside": Operator(lambda y: (y > 0).float() * y),
    "where_scalar": Operator(lambda y: torch.where(y > 0, y, 0.1 * y)),
    "bool_mask_mul": Operator(lambda y: y * (y > 0)),
    "masked_fill": Operator(lambda y: y.masked_fill(y < 0, 0)),
    "clip": Operator(lambda y: torch.clip(y, 0, 1)),
    "clamp_tensor": Operator(lambda y: torch.clamp(y, torch.zeros(()), torch.ones(()))),
    "sigmoid_": Operator(lambda y: y.clone().sigmoid_()),
    "hardswish_inplace": Operator(lambda y: F.hardswish(y * 1, inplace=True)),
    "dropout2d": Operator(lambda y: F.dropout2d(y, 0.5, False)),
    "fliplr": Operator(torch.fliplr),
    "rot90": Operator(lambda y: torch.rot90(y, 1, [2, 3])),
    "roll_space": Operator(lambda y: torch.roll(y, 1, 2)),
    "roll_channels": Operator(lambda y: torch.roll(y, 1, 1)),
    "diff": Operator(lambda y: torch.diff(y, dim=2, prepend=y[:, :, :1])),
    "cumsum_space": Operator(lambda y: y.cumsum(2)),
    "cumprod": Operator(lambda y: y.cumprod(2)),
    "movedim": Operator(lambda y: y.movedim(1, -1).movedim(-1, 1)),
    "moveaxis": Operator(lambda y: torch.moveaxis(y, 1, -1).moveaxis(-1, 1)),
    "swapdims": Operator(lambda y: y.swapdims(1, 2).swapdims(1, 2)),
    "mT": Operator(lambda y: y.mT.mT),
    "adjoint": Operator(lambda y: y.adjoint().adjoint()),
    "hstack": Operator(lambda y: torch.hstack([y[:, :8], y[:, 8:]])),
    "concatenate": Operator(lambda y: torch.concatenate([y[:, :8], y[:, 8:]], 1)),
    "vsplit_hsplit": Operator(lambda y: torch.cat(torch.hsplit(y, 2), 1)),
    "dstack_free": Operator(lambda y: torch.stack([y, y], 4).sum(4)),
    "tensor_split": Operator(lambda y: torch.cat(torch.tensor_split(y, 2, 1), 1)),
    "split_neg_dim": Operator(lambda y: torch.cat(y.split(8, -3), -3)),
    "chunk": Operator(lambda y: torch.cat(y.chunk(2, 1)[::-1], 1)),
    "narrow_copy": Operator(lambda y: torch.narrow_copy(y, 1, 0, 16)),
    "take_along": Operator(lambda y: y.gather(1, torch.arange(16).view(1, 16, 1, 1).expand_as(y))),
    "index_list": Operator(lambda y: y[:, list(range(16))]),
    "index_perm_tensor": Operator(lambda y: y[:, torch.arange(15, -1, -1)]),
    "index_select": Operator(lambda y: y.index_select(1, torch.arange(16))),
    "space_index": Operator(lambda y: y[:, :, ::2][:, :, :, ::2]),
    "ellipsis_none": Operator(lambda y: y[..., None].squeeze(-1)),
    "assign_slice": Operator(assign_slice),
    "assign_shift_space": Operator(shift_in_space),
    "iadd_slice": Operator(add_to_slice),
    "mul_view": Operator(multiply_view),
    "index_put_mask": Operator(lambda y: torch.where(y < 0, torch.zeros_like(y), y)),
    "y[y<0]=0": Operator(clear_negative),
    "slice_scatter": Operator(lambda y: torch.slice_scatter(y, y[:, :8], 1, 8, 16)),
    "select_scatter": Operator(lambda y: torch.select_scatter(y, y[:, :, 0], 2, 0)),
    "copy_": Operator(lambda y: torch.empty_like(y).copy_(y)),
    "topk_space": Operator(lambda y: y * flat(y).topk(4, 2)[0].mean(2)[..., None, None]),
    "sort_space": Operator(lambda y: flat(y).sort(2)[0].view_as(y)),
    "argsort": Operator(lambda y: y + flat(y).argsort(2).view_as(y)),
    "kthvalue": Operator(lambda y: y - flat(y).kthvalue(3, 2)[0][..., None, None]),
    "median": Operator(lambda y: y - flat(y).median(2)[0][..., None, None]),
    "max_channels": Operator(lambda y: y * y.max(1, keepdim=True)[0]),
    "argmax": Operator(lambda y: y * (y.argmax(1, keepdim=True) > 0)),
    "std": Operator(lambda y: y / (y.std((2, 3), keepdim=True) + 1e-05)),
    "var_mean": Operator(
        lambda y: (
            (y - y.mean(1, keepdim=True))
            / torch.sqrt(y.var(1, keepdim=True, unbiased=False) + 1e-06)
        )
    ),
    "nanmean": Operator(lambda y: y - y.nanmean((2, 3), keepdim=True)),
    "aminmax": Operator(lambda y: y - torch.aminmax(y, dim=2, keepdim=True)[0]),
    "logcumsumexp": Operator(lambda y: torch.logcumsumexp(y, 2)),
    "norm_p": Operator(lambda y: y / y.norm(dim=1, keepdim=True)),
    "F.normalize": Operator(lambda y: F.normalize(y, dim=1)),
    "linalg_norm": Operator(lambda y: y / torch.linalg.norm(y, dim=1, keepdim=True)),
    "frobenius": Operator(lambda y: y / torch.norm(y)),
    "cosine_similarity": Operator(lambda y: y * F.cosine_similarity(y, y, dim=1).unsqueeze(1)),
    "pairwise_distance": Operator(
        lambda y: y * F.pairwise_distance(flat(y), flat(y)).unsqueeze(-1).unsqueeze(-1)
    ),
    "cdist": Operator(
        lambda y: (torch.softmax(torch.cdist(flat(y).mT, flat(y).mT), -1) @ flat(y).mT).mT.reshape(
            -1, 16, 8, 8
        )
    ),
    "instance_norm": Operator(F.instance_norm),
    "instance_norm_affine": Operator(lambda y, m: m(y), nn.InstanceNorm2d(16, affine=True)),
    "instance_norm_stats": Operator(
        lambda y, m: m(y), nn.InstanceNorm2d(16, track_running_stats=True)
    ),
    "batch_norm_no_stats": Operator(
        lambda y, m: m(y), nn.BatchNorm2d(16, track_running_stats=False)
    ),
    "batch_norm_no_affine": Operator(lambda y, m: m(y), nn.BatchNorm2d(16, affine=False)),
    "group_norm": Operator(lambda y, m: m(y), nn.GroupNorm(4, 16)),
    "layer_norm_chw": Operator(lambda y, m: m(y), nn.LayerNorm([16, 8, 8])),
    "layer_norm_last": Operator(
        lambda y, m: m(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(16)
    ),
    "rms_norm": Operator(lambda y, m: m(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.RMSNorm(16)),
    "local_response": Operator(lambda y: F.local_response_norm(y, 5)),
    "prelu_channels": Operator(lambda y, m: m(y), nn.PReLU(16)),
    "prelu_one": Operator(lambda y, m: m(y), nn.PReLU()),
    "layer_scale": Operator(lambda y, m: y * m.weight.view(1, -1, 1, 1), nn.PReLU(16)),
    "spectral_norm": Operator(lambda y, m: m(y), old_norm(torch.nn.utils.spectral_norm)),
    "parametrized_spectral": Operator(
        lambda y, m: m(y), parametrizations.spectral_norm(nn.Conv2d(16, 16, 1))
    ),
    "weight_norm_old": Operator(lambda y, m: m(y), old_norm(torch.nn.utils.weight_norm)),
    "weight_norm": Operator(lambda y, m: m(y), parametrizations.weight_norm(nn.Conv2d(16, 16, 1))),
    "lp_pool2d": Operator(lambda y: F.lp_pool2d(y, 2, 2)),
    "max_pool_indices": Operator(lambda y: F.max_pool2d(y, 2, return_indices=True)[0]),
    "max_unpool2d": Operator(
        lambda y: F.max_unpool2d(*F.max_pool2d(y, 2, return_indices=True), [2, 2])
    ),
    "fractional_max_pool": Operator(lambda y: F.fractional_max_pool2d(y, 2, output_size=4)),
    "adaptive_max_pool": Operator(lambda y: F.adaptive_max_pool2d(y, 4)),
    "adaptive_avg_none": Operator(lambda y: F.adaptive_avg_pool2d(y, (1, None))),
    "interp_nearest_exact": Operator(
        lambda y: F.interpolate(y, scale_factor=2, mode="nearest-exact")
    ),
    "interp_bicubic": Operator(lambda y: F.interpolate(y, scale_factor=2, mode="bicubic")),
    "interp_area": Operator(lambda y: F.interpolate(y, size=(4, 4), mode="area")),
    "interp_antialias": Operator(
        lambda y: F.interpolate(y, size=(4, 4), mode="bilinear", antialias=True)
    ),
    "interp_sizes_of_other": Operator(
        lambda y: F.interpolate(F.max_pool2d(y, 2), size=y.shape[2:], mode="bilinear")
    ),
    "upsample_module": Operator(nn.Upsample(scale_factor=1.5, mode="bilinear")),
    "grid_sample": Operator(
        lambda y: F.grid_sample(
            y, torch.zeros(1, 8, 8, 2).expand(y.shape[0], -1, -1, -1), align_corners=False
        )
    ),
    "unfold_fold": Operator(lambda y: F.fold(F.unfold(y, 2, stride=2), (8, 8), 2, stride=2)),
    "tensor_unfold": Operator(lambda y: y.unfold(2, 2, 2).mean(-1)),
    "pixel_shuffle": Operator(lambda y: F.pixel_unshuffle(F.pixel_shuffle(y, 2), 2)),
    "channel_shuffle_op": Operator(lambda y: F.channel_shuffle(y, 4)),
    "channel_shuffle_view": Operator(
        lambda y: y.view(-1, 4, 4, 8, 8).transpose(1, 2).reshape(-1, 16, 8, 8)
    ),
    "pad_reflect": Operator(lambda y: F.pad(y, (1, 1, 1, 1), mode="reflect")),
    "pad_replicate": Operator(lambda y: F.pad(y, (1, 1, 1, 1), mode="replicate")),
    "pad_circular": Operator(lambda y: F.pad(y, (1, 1, 1, 1), mode="circular")),
    "conv_circular": Operator(
        lambda y, m: m(y), nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular")
    ),
    "conv_padding_same": Operator(lambda y, m: m(y), nn.Conv2d(16, 16, 4, padding="same")),
    "conv_groups": Operator(lambda y, m: m(y), nn.Conv2d(16, 16, 3, padding=1, groups=4)),
    "conv_transpose_groups": Operator(
        lambda y, m: m(y), nn.ConvTranspose2d(16, 16, 2, 2, groups=4)
    ),
    "conv_transpose_depthwise": Operator(
        lambda y, m: m(y), nn.ConvTranspose2d(16, 16, 2, 2, groups=16)
    ),
    "functional_conv_weight_sum": Operator(
        lambda y, m: F.conv2d(y, m.weight + 0.1, padding=1), nn.Conv2d(16, 16, 3)
    ),
    "ws_conv": Operator(
        lambda y, m: F.conv2d(
            y,
            (m.weight - m.weight.mean((1, 2, 3), keepdim=True))
            / (m.weight.std((1, 2, 3), keepdim=True) + 1e-05),
            padding=1,
        ),
        nn.Conv2d(16, 16, 3),
    ),
    "fixed_blur": Operator(
        lambda y: F.conv2d(y, torch.ones(16, 1, 3, 3) / 9, padding=1, groups=16)
    ),
    "mha": Operator(
        attend,
        nn.MultiheadAttention(16, 4, batch_first=True),
    ),
    "encoder_layer": Operator(
        lambda y, m: m(flat(y).mT).mT.reshape(-1, 16, 8, 8),
        nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
    ),
    "nonlocal": Operator(
        lambda y, m: (
            y
            + (torch.softmax(flat(m(y)).mT @ flat(m(y)), -1) @ flat(m(y)).mT).mT.reshape(
                -1, 16, 8, 8
            )
        ),
        nn.Conv2d(16, 16, 1),
    ),
    "se_block": Operator(
        lambda y, m: y * torch.sigmoid(m(y.mean((2, 3), keepdim=True))), nn.Conv2d(16, 16, 1)
    ),
    "lstm_space": Operator(
        lambda y, m: m(y.mean(2).mT)[0].mT.unsqueeze(2), nn.LSTM(16, 16, batch_first=True)
    ),
    "gru_space": Operator(
        lambda y, m: m(y.mean(2).mT)[0].mT.unsqueeze(2), nn.GRU(16, 16, batch_first=True)
    ),
    "rnn_tanh": Operator(
        lambda y, m: m(y.mean(2).mT)[0].mT.unsqueeze(2), nn.RNN(16, 16, batch_first=True)
    ),
    "lstm_cell": Operator(
        lambda y, m: m(y.mean((2, 3)))[0][..., None, None] + y, nn.LSTMCell(16, 16)
    ),
    "bilinear": Operator(
        lambda y, m: y * m(y.mean((2, 3)), y.amax((2, 3)))[..., None, None], nn.Bilinear(16, 16, 16)
    ),
    "einsum_letters": Operator(
        lambda y, m: torch.einsum("nchw,oc->nohw", y, m.weight), nn.Linear(16, 16)
    ),
    "einsum_implicit": Operator(lambda y: torch.einsum("nchw,n->nchw", y, y.mean((1, 2, 3)))),
    "tensordot": Operator(
        lambda y, m: torch.tensordot(y, m.weight, dims=([1], [1])).permute(0, 3, 1, 2),
        nn.Linear(16, 16),
    ),
    "linear_channels_last": Operator(
        lambda y, m: m(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(16, 16)
    ),
    "embedding_pos": Operator(
        lambda y, m: y + m(torch.arange(16)).view(1, 16, 8, 8), nn.Embedding(16, 64)
    ),
    "outer": Operator(lambda y: y * torch.outer(torch.arange(8.0), torch.arange(8.0))),
    "fft": Operator(lambda y: torch.fft.irfft2(torch.fft.rfft2(y), s=(8, 8))),
    "complex_mul": Operator(
        lambda y: torch.view_as_real(torch.view_as_complex(torch.stack([y, y], -1))).sum(-1)
    ),
    "stft_free": Operator(
        lambda y: (
            torch.stft(y.flatten(1), 16, return_complex=True, window=torch.ones(16))
            .abs()
            .mean((1, 2))[:, None, None, None]
            * y
        )
    ),
    "rand_noise": Operator(lambda y: y + torch.randn_like(y) * 0.1),
    "rand_new": Operator(lambda y: y + torch.randn(y.shape[0], 1, 8, 8)),
    "bernoulli": Operator(lambda y: y * torch.bernoulli(torch.ones(1, 16, 1, 1))),
    "one_hot": Operator(lambda y: y * F.one_hot(y.argmax(1), 16).permute(0, 3, 1, 2)),
    "half_cast": Operator(lambda y: y.half().float()),
    "double_cast": Operator(lambda y: y.double().float()),
    "int_cast": Operator(lambda y: y.int().float()),
    "to_other": Operator(lambda y: y.to(torch.float32)),
    "type_as": Operator(lambda y: y.type_as(y)),
    "tensor_new": Operator(lambda y: y + y.new_tensor(1.0)),
    "torch.tensor_const": Operator(lambda y: y * torch.tensor([1.0, 2.0]).sum()),
    "item_const": Operator(lambda y: y * torch.tensor(3.0).item()),
    "full_of_buffer": Operator(
        lambda y, m: y * torch.full((8, 8), m.weight[0].detach()), nn.PReLU(1)
    ),
    "no_grad": Operator(without_gradient),
    "autocast": Operator(with_autocast),
    "autocast_off": Operator(without_autocast),
    "checkpoint": Operator(
        lambda y, m: torch.utils.checkpoint.checkpoint(m, y, use_reentrant=False),
        nn.Conv2d(16, 16, 1),
    ),
    "shape_arith": Operator(lambda y: y.reshape(y.shape[0] * 2, 8, 8, 8).reshape(-1, 16, 8, 8)),
    "batch_fold": Operator(lambda y: y.reshape(-1, 1, 8, 8).reshape(y.shape[0], -1, 8, 8)),
    "truediv_size": Operator(lambda y: y * (y.shape[0] / y.shape[0])),
    "sym_max": Operator(lambda y: y[: max(y.shape[0], 1)]),
    "expand_batch": Operator(lambda y: y + torch.zeros(1, 1, 1, 1).expand(y.size(0), -1, -1, -1)),
    "repeat_batch": Operator(lambda y: y.repeat(2, 1, 1, 1)[: y.shape[0]]),
    "split_list_out": Operator(lambda y: torch.cat([t * 2 for t in torch.split(y, [4, 12], 1)], 1)),
    "meshgrid": Operator(
        lambda y: (
            y
            + torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")).sum(
                0
            )
        )
    ),
    "arange_device": Operator(lambda y: y + torch.arange(8, device=y.device, dtype=y.dtype)),
    "bucketize": Operator(lambda y: y + torch.bucketize(y, torch.linspace(0, 1, 5))),
    "cross": Operator(lambda y: torch.cross(y[:, :3], y[:, :3], dim=1).repeat(1, 6, 1, 1)[:, :16]),
    "searchsorted_free": Operator(lambda y: y.round().remainder(2)),
    "ste_round": Operator(lambda y: y + (y.round() - y).detach()),
    "nan_to_num": Operator(torch.nan_to_num),
    "polar_free": Operator(lambda y: torch.atan2(y, y + 1)),
    "detach": Operator(lambda y: y.detach()),
    "contiguous_cl": Operator(lambda y: y.contiguous(memory_format=torch.channels_last)),
    "T": Operator(lambda y: y.flatten(1).T.T.view(-1, 16, 8, 8)),
    "unflatten": Operator(lambda y: y.unflatten(1, (4, 4)).flatten(1, 2)),
    "ravel": Operator(lambda y: y.ravel().view(-1, 16, 8, 8)),
    "diagonal": Operator(lambda y: y + torch.diagonal(y, dim1=2, dim2=3)[..., None]),
    "triu": Operator(torch.triu),
    "trace_free": Operator(lambda y: torch.eye(8) * y),
    "baddbmm": Operator(lambda y: torch.baddbmm(flat(y), flat(y) @ flat(y).mT, flat(y)).view_as(y)),
    "addmm": Operator(
        lambda y, m: y * torch.addmm(m.bias, y.mean((2, 3)), m.weight.t())[..., None, None],
        nn.Linear(16, 16),
    ),
    "mv": Operator(
        lambda y, m: y * torch.mv(y.mean((2, 3)), m.bias)[:, None, None, None], nn.Linear(16, 16)
    ),
    "chain_matmul": Operator(
        lambda y: (flat(y).mT @ flat(y)).softmax(-1).mean(1).view(-1, 1, 8, 8) * y
    ),
}


def main() -> None:
    """Export every network, and record what the analysis finds."""
    warnings.simplefilter("ignore")  # the exporter's own deprecations
    torch.manual_seed(0)
    stored = {name: _exported(network) for name, network in OPERATORS.items()}
    text = json.dumps(stored, separators=(",", ":"))
    STORED.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    record()
    sys.stdout.write(f"{len(stored)} networks, {STORED.stat().st_size} bytes\n")


def _exported(network: nn.Module) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.export.save(export(network.eval(), (torch.randn(2, 3, 8, 8),)), buffer)
    entries: dict[str, Any] = {}
    constants: dict[str, str] = {}
    with zipfile.ZipFile(buffer) as archive:
        for full in archive.namelist():
            name = full.partition("/")[2]
            if name == "models/model.json" or name.endswith("_config.json"):
                entries[name] = json.loads(archive.read(full))
            elif name.startswith("data/constants/"):
                constants[Path(name).name] = base64.b64encode(archive.read(full)).decode()
    _strip(entries["models/model.json"])
    return {"entries": entries, "constants": constants}


def _strip(value: Any) -> None:
    """Remove the stack traces, which hold this machine's paths, also from nested graphs."""
    if isinstance(value, dict):
        if "metadata" in value:
            value["metadata"] = {}
        for each in value.values():
            _strip(each)
    elif isinstance(value, list):
        for each in value:
            _strip(each)


if __name__ == "__main__":
    main()
