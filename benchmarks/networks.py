"""Networks of the benchmarks by (source, name), built with random weights.

Sources: ``tv`` torchvision.models, ``seg`` torchvision.models.segmentation, ``timm``.
"""

import torch
import torchvision
from torch import nn

_TV = """alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 mobilenet_v2
    mobilenet_v3_small mobilenet_v3_large efficientnet_b0 efficientnet_v2_s shufflenet_v2_x1_0
    squeezenet1_1 googlenet regnet_y_400mf convnext_tiny mnasnet1_0""".split()
_SEG = "fcn_resnet50 deeplabv3_resnet50 lraspp_mobilenet_v3_large".split()
_TIMM = """resnet18 resnet26d resnet50 resnext50_32x4d seresnet50 ecaresnet26t resnetv2_50
    densenet121 dla34 efficientnet_b0 efficientnet_lite0 mnasnet_100 spnasnet_100 fbnetc_100
    hardcorenas_a tinynet_e mobilenetv2_100 mobilenetv3_small_050 ghostnet_100 rexnet_100
    regnetx_002 regnety_002 nf_regnet_b0 dm_nfnet_f0 cspresnet50 cspdarknet53 ese_vovnet19b_dw
    legacy_xception inception_v4 nasnetalarge vgg11_bn repvgg_a0 mobileone_s0 convnext_atto
    convmixer_768_32 fasternet_t0 inception_next_atto hgnet_tiny starnet_s1 edgenext_xx_small
    legacy_seresnet18 legacy_senet154 xcit_nano_12_p16_224 poolformerv2_s12 mobilevit_xxs
    swiftformer_xs""".split()

NETWORKS = (
    [("tv", name) for name in _TV]
    + [("seg", name) for name in _SEG]
    + [("timm", name) for name in _TIMM]
)
_INCEPTION_SIZE = 299
_DEFAULT_SIZE = 224


def image_size(source: str, name: str) -> int:
    """Return the side of a network's input images, in pixels."""
    if source != "timm":
        return _INCEPTION_SIZE if "inception" in name else _DEFAULT_SIZE
    import timm  # noqa: PLC0415  # optional: only these networks need it

    return int(timm.get_pretrained_cfg(name).input_size[-1])


def build(source: str, name: str) -> nn.Module:
    """Return a network whose affine parameters and statistics are drawn from U(0.5, 1.5).

    With the initial values (gamma 1 or 0, beta 0, mean 0, variance 1), wrong slices go unnoticed.
    """
    torch.manual_seed(0)
    if source == "timm":
        import timm  # noqa: PLC0415  # optional: only these networks need it

        model: nn.Module = timm.create_model(name)
    elif source == "seg":
        builder = getattr(torchvision.models.segmentation, name)
        model = builder(weights=None, weights_backbone=None)
    else:
        options = {"init_weights": False} if name == "googlenet" else {}
        model = torchvision.models.get_model(name, **options)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    return model.eval()
