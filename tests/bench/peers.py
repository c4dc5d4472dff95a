"""The nets that are compared, ours and others', each at one size and called as f(x, t) with t in [0, 1].

Peers come with pip install -e '.[bench]'. All are built for 32x32 colour pictures: U-Nets of width 64, 1-2-2, two
blocks a level, attention at 16x16; transformers 256 wide, 8 deep, four heads.
"""

import torch

from minidiff.nets import DiT, UNet


def ours_unet():
    net = UNet(3, 32, None, 64, (1, 2, 2), 2, (16,))
    return net, net


def diffusers_unet():
    from diffusers import UNet2DModel

    net = UNet2DModel(
        sample_size=32, block_out_channels=(64, 128, 128), layers_per_block=2, attention_head_dim=64,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return net, lambda x, t: net(x, 1000 * t).sample


def lucidrains_unet():
    """Linear attention where the others have none costs it little; a width of 72 brings it to the others' size."""
    from denoising_diffusion_pytorch import Unet

    net = Unet(dim=72, dim_mults=(1, 2, 2), full_attn=(False, True, False))
    return net, lambda x, t: net(x, 1000 * t)


def smalldiffusion_unet():
    from smalldiffusion import Unet

    net = Unet(32, 3, 3, ch=64, ch_mult=(1, 2, 2), num_res_blocks=2, attn_resolutions=(16,), dropout=0.0)
    return net, net


def ours_dit(patch):
    net = DiT(3, 32, 10, 256, 8, patch=patch)
    return net, net


def diffusers_dit(patch):
    from diffusers import DiTTransformer2DModel

    net = DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=64, in_channels=3, out_channels=3, num_layers=8, sample_size=32,
        patch_size=patch, num_embeds_ada_norm=10,
    )  # fmt: skip
    labels = torch.zeros(256, dtype=torch.long)
    return net, lambda x, t: net(x, timestep=1000 * t, class_labels=labels[: len(x)]).sample


def smalldiffusion_dit(patch):
    from smalldiffusion import DiT as Theirs

    net = Theirs(32, 3, patch, 8, 64, 4)
    return net, net


TASKS = {
    "U-Net": {
        "minidiff": ours_unet,
        "diffusers": diffusers_unet,
        "lucidrains": lucidrains_unet,
        "smalldiffusion": smalldiffusion_unet,
    },
    "DiT, patch 4": {
        "minidiff": lambda: ours_dit(4),
        "diffusers": lambda: diffusers_dit(4),
        "smalldiffusion": lambda: smalldiffusion_dit(4),
    },
    "DiT, patch 2": {
        "minidiff": lambda: ours_dit(2),
        "diffusers": lambda: diffusers_dit(2),
        "smalldiffusion": lambda: smalldiffusion_dit(2),
    },
}
