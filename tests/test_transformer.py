"""facebookresearch's DiT checkpoints: the map into ours, against diffusers' DiT through the same map, and by hand."""

import pytest
import torch
from torch import nn

from minidiff.guidance import Guided
from minidiff.nets.official import OfficialModel, from_official
from minidiff.nets.transformer import positions
from minidiff.samplers import ddim, last

SIZES = [dict(width=64, depth=2, patch=2, size=8, channels=4, out=8, classes=10), 
         dict(width=128, depth=3, patch=4, size=16, channels=3, out=3, classes=5)]  # fmt: skip


def official(width, depth, patch, size, channels, out, classes, seed=0):
    """A state dict as facebookresearch/DiT saves it, random but for the positions, which there are never trained."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "x_embedder.proj.weight": (width, channels, patch, patch),
        "x_embedder.proj.bias": (width,),
        "t_embedder.mlp.0.weight": (width, 256),
        "t_embedder.mlp.0.bias": (width,),
        "t_embedder.mlp.2.weight": (width, width),
        "t_embedder.mlp.2.bias": (width,),
        "y_embedder.embedding_table.weight": (classes + 1, width),
        "final_layer.linear.weight": (patch**2 * out, width),
        "final_layer.linear.bias": (patch**2 * out,),
        "final_layer.adaLN_modulation.1.weight": (2 * width, width),
        "final_layer.adaLN_modulation.1.bias": (2 * width,),
    }
    for n in range(depth):
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width), ("attn.proj", width, width), ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width), ("adaLN_modulation.1", 6 * width, width),
        ):  # fmt: skip
            shapes[f"blocks.{n}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{n}.{name}.bias"] = (rows,)
    state = {k: 0.1 * torch.randn(s, generator=generator) for k, s in shapes.items()}
    state["pos_embed"] = positions(size // patch, width)[None]
    return state


def theirs(state, width, depth, patch, size, channels, out, classes):
    """The same weights in diffusers' DiT, which keeps one embedder of (t, y) in each block."""
    diffusers = pytest.importorskip("diffusers", reason="parity with diffusers needs pip install -e '.[bench]'")
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=width // 64, attention_head_dim=64, in_channels=channels, out_channels=out,
        num_layers=depth, sample_size=size, patch_size=patch, num_embeds_ada_norm=classes, norm_eps=1e-6,
    ).eval()  # fmt: skip
    mapped = {}
    for k, v in state.items():
        leaf = k.rpartition(".")[2]
        if k.startswith("blocks."):
            n, rest = k.split(".")[1], k.split(".", 2)[2].rpartition(".")[0]
            at = f"transformer_blocks.{n}."
            if rest == "attn.qkv":
                for name, part in zip(("to_q", "to_k", "to_v"), v.chunk(3), strict=True):
                    mapped[f"{at}attn1.{name}.{leaf}"] = part
            else:
                name = {"attn.proj": "attn1.to_out.0", "mlp.fc1": "ff.net.0.proj", "mlp.fc2": "ff.net.2",
                        "adaLN_modulation.1": "norm1.linear"}[rest]  # fmt: skip
                mapped[f"{at}{name}.{leaf}"] = v
        elif k.startswith(("t_embedder", "y_embedder")):
            name = {"t_embedder.mlp.0": "timestep_embedder.linear_1", "t_embedder.mlp.2": "timestep_embedder.linear_2",
                    "y_embedder.embedding_table": "class_embedder.embedding_table"}[k.rpartition(".")[0]]  # fmt: skip
            for n in range(depth):
                mapped[f"transformer_blocks.{n}.norm1.emb.{name}.{leaf}"] = v
        elif k != "pos_embed":
            name = {"x_embedder.proj": "pos_embed.proj", "final_layer.linear": "proj_out_2",
                    "final_layer.adaLN_modulation.1": "proj_out_1"}[k.rpartition(".")[0]]  # fmt: skip
            mapped[f"{name}.{leaf}"] = v
    missing, unexpected = net.load_state_dict(mapped, strict=False)
    assert not unexpected and set(missing) <= {"pos_embed.pos_embed"}
    for block in net.transformer_blocks:  # diffusers divides by 127 where the original divides by 128
        assert block.norm1.emb.time_proj.downscale_freq_shift == 1
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    return net


@pytest.mark.parametrize("sizes", SIZES)
@torch.no_grad()
def test_parity_with_diffusers(sizes, generator):
    state = official(**sizes)
    peer = theirs(state, **sizes)
    torch.testing.assert_close(peer.pos_embed.pos_embed[0].float(), state["pos_embed"][0], atol=1e-6, rtol=0)
    x = torch.randn(3, sizes["channels"], sizes["size"], sizes["size"], generator=generator)
    t, y = torch.tensor([0, 500, 999]), torch.tensor([0, 3, sizes["classes"]])
    ours = from_official(state)(x, t, y)
    assert ours.shape[1] == sizes["out"]
    torch.testing.assert_close(ours, peer(x, timestep=t, class_labels=y).sample, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_parity_by_hand(generator):
    """One block written out from the paper's figure 3, with none of our layers, so that it runs without any peer."""
    sizes = dict(width=64, depth=1, patch=2, size=4, channels=1, out=2, classes=3)
    w = official(**sizes)
    x, t, y = torch.randn(1, 1, 4, 4, generator=generator), torch.tensor([321]), torch.tensor([2])

    def linear(name, v):
        return v @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def silu(v):
        return v / (1 + torch.exp(-v))

    def ln(v):
        return (v - v.mean(-1, keepdim=True)) / (v.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()

    angle = t.item() * torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(128) / 128)
    c = linear("t_embedder.mlp.2", silu(linear("t_embedder.mlp.0", torch.cat([angle.cos(), angle.sin()]))))
    c = silu(c + w["y_embedder.embedding_table.weight"][y.item()])
    patches = torch.stack([x[0, :, i : i + 2, j : j + 2].flatten() for i in (0, 2) for j in (0, 2)])
    h = patches @ w["x_embedder.proj.weight"].flatten(1).T + w["x_embedder.proj.bias"] + w["pos_embed"][0]
    shift1, scale1, gate1, shift2, scale2, gate2 = linear("blocks.0.adaLN_modulation.1", c).chunk(6)
    q, k, v = linear("blocks.0.attn.qkv", ln(h) * (1 + scale1) + shift1).chunk(3, 1)
    h = h + gate1 * linear("blocks.0.attn.proj", torch.softmax(q @ k.T / 8, 1) @ v)
    inner = nn.functional.gelu(linear("blocks.0.mlp.fc1", ln(h) * (1 + scale2) + shift2), approximate="tanh")
    h = h + gate2 * linear("blocks.0.mlp.fc2", inner)
    shift, scale = linear("final_layer.adaLN_modulation.1", c).chunk(2)
    h = linear("final_layer.linear", ln(h) * (1 + scale) + shift).view(2, 2, 2, 2, 2)  # rows, columns, p, p, channels
    expected = torch.zeros(2, 4, 4)
    for i in range(2):
        for j in range(2):
            expected[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = h[i, j].permute(2, 0, 1)
    torch.testing.assert_close(from_official(w)(x, t, y)[0], expected, atol=1e-5, rtol=1e-5)


def test_an_official_net_can_be_sampled(tmp_path, generator):
    """As a user would: read the file, sample and guide it like any other model."""
    torch.save(official(**SIZES[0]), tmp_path / "DiT.pt")
    model = OfficialModel(from_official(torch.load(tmp_path / "DiT.pt", weights_only=True)))
    x, labels = torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([1, 2])
    with torch.no_grad():
        out = last(ddim(Guided(model, 2.0), x, model.schedule.grid(3), labels))
    assert out.shape == x.shape and torch.isfinite(out).all()


@torch.no_grad()
def test_an_official_net_is_asked_at_its_own_times(generator):
    """Where alpha^2 is alpha_bar of an integer time, the eps is the net's first channels at that time."""
    net = from_official(official(**SIZES[0]))
    model, x, labels = OfficialModel(net), torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([1, 2])
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    for number in (10, 400, 900):
        t = model.schedule.time((alpha_bar[number] / (1 - alpha_bar[number])).log()).float()
        x0, eps = model(x, t, labels)
        alpha, sigma = alpha_bar[number].sqrt().float(), (1 - alpha_bar[number]).sqrt().float()
        torch.testing.assert_close(eps, net(x, torch.full((2,), number), labels)[:, :4], atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(alpha * x0 + sigma * eps, x,
                                   atol=1e-3, rtol=0)  # fmt: skip


def test_heads_and_bad_checkpoints():
    state = official(**SIZES[0])
    assert from_official(state).blocks[0].attention.layer.heads == 1
    assert from_official(state, heads=4).blocks[0].attention.layer.heads == 4
    wide = official(width=1152, depth=1, patch=2, size=4, channels=1, out=1, classes=2)
    assert from_official(wide).blocks[0].attention.layer.heads == 16
    with pytest.raises(ValueError, match="pos_embed is missing"):
        from_official({k: v for k, v in state.items() if k != "pos_embed"})
    with pytest.raises(ValueError, match="blocks.1.mlp.layer.2.bias is missing"):
        from_official({k: v for k, v in state.items() if k != "blocks.1.mlp.fc2.bias"})
    with pytest.raises(ValueError, match="decoder.weight is left over"):
        from_official(state | {"decoder.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match="norm.modulation.bias has shape .3,., not .128,."):
        from_official(state | {"final_layer.adaLN_modulation.1.bias": torch.zeros(3)})
